/**
 * A task whose ways of being done are known to the weight, for tests of checks: prompts hold one mark, which is off or on, and end with
 * a token that asks which. A lane is one way to find out: a head that looks for the mark and reads its bit. What else
 * the model does, and which of its nodes are said to be the circuit, is up to the test.
 */
import { hide } from "../../bench/ground-truth/distractors.ts";
import { type Channels, LENGTH, Plant } from "../../bench/ground-truth/plant.ts";
import type { PairBatch } from "../../src/data/pairs.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { Model } from "../../src/model/model.ts";
import { siteSpecs } from "../../src/model/sites.ts";
import { maskOf } from "../../src/prune/kept.ts";
import type { TokenBatch } from "../../src/prune/means.ts";
import { Rng } from "../../src/util/rng.ts";
import type { Place, Subject } from "../../src/verify/subject.ts";
import { subjectOf } from "./subject.ts";

/** What a lane reads from a mark that is off and from one that is on. */
type Bit = readonly [off: number, on: number];

/** Residual channels. */
interface Lane {
  readonly ask: number;
  readonly mark: number;
  readonly bit: number;
}

const WIDTH = 32;
const DENSITY = 1 / 16;
const LAYER = 1;
const PAIRS = { train: 48, val: 64, test: 64 };
/** Sequences of a batch of text, half of them mirrors of the others. */
const SEQUENCES = 32;
const TEXTS = 4;

export class World {
  readonly plant: Plant;
  readonly lanes: readonly Lane[];
  /** The tokens of marks: off and on, of each family. */
  private readonly marks: readonly (readonly [off: number, on: number])[];
  private readonly ask: number;
  private readonly mirror = new Map<number, number>();
  private answered: readonly [yes: number, no: number] | undefined;

  /** `families`: the lanes that see each family of marks; by default one family that all see. Prompts have marks of the first. */
  constructor(bits: readonly Bit[], families: readonly (readonly number[])[] = [bits.map((_, lane) => lane)]) {
    this.plant = new Plant(WIDTH, Rng.of("world"));
    this.lanes = bits.map(() => {
      const [ask, mark, bit] = this.plant.channels(3) as [number, number, number];
      return { ask, mark, bit };
    });
    const markToken = (seenBy: readonly number[], side: 0 | 1): number =>
      this.plant.token(
        seenBy.flatMap((lane) => {
          const { mark, bit } = this.lanes[lane]!;
          return [[mark, 1] as const, [bit, bits[lane]![side]] as const];
        }),
      );
    this.marks = families.map((seenBy) => [markToken(seenBy, 0), markToken(seenBy, 1)] as const);
    for (const [off, on] of this.marks) this.opposite(off, on);
    this.ask = this.plant.token(this.lanes.map(({ ask }) => [ask, 1] as const));
  }

  /** Tokens that prompts do not have: some with 1 in a channel, as many with -1. */
  strange(channel: number, count: number): void {
    for (let i = 0; i < count; i++) {
      this.opposite(this.plant.token([[channel, 1]]), this.plant.token([[channel, -1]]));
    }
  }

  /** Text has as many of one as of the other, in the same places. */
  private opposite(a: number, b: number): void {
    this.mirror.set(a, b).set(b, a);
  }

  /** A head for a lane, in the last layer: `gain` times the bit of the mark arrives in a channel. Returns its nodes. */
  look(lane: number, to: number, gain = 1): Set<number> {
    const { ask, mark, bit } = this.lanes[lane]!;
    return this.plant.attend({ layer: LAYER, query: [ask], key: [mark], moves: [{ read: [[bit, gain]], write: to }] });
  }

  /** A neuron of the last layer. */
  neuron(read: Channels, write: Channels, bias = 0): Set<number> {
    return this.plant.neuron({ layer: LAYER, read, write, bias });
  }

  /** A lane all the way: the head, and a neuron that reads what it brought. */
  path(lane: number, out: number, gain = 1): Set<number> {
    const to = this.plant.channel();
    return new Set([...this.look(lane, to, gain), ...this.neuron([[to, 1]], [[out, 1]])]);
  }

  /** The margin of a mark that is on is 8 times the sum of what is read and the bias, of one that is off minus that. */
  answers(read: Channels, bias = 0): void {
    this.answered = [
      this.plant.answer(read, bias),
      this.plant.answer(
        read.map(([c, w]) => [c, -w] as const),
        -bias,
      ),
    ];
  }

  /** For each site that has some of the nodes: how many, and the site's nodes that are not planted. */
  alike(nodes: ReadonlySet<number>): { count: number; others: number[] }[] {
    return siteSpecs(this.plant.config).map(({ offset, width }) => {
      const all = Array.from({ length: width }, (_, c) => offset + c);
      return {
        count: all.filter((n) => nodes.has(n)).length,
        others: all.filter((n) => !this.plant.nodes[n]),
      };
    });
  }

  /** To be called last. */
  subject(circuit: Iterable<number>, engine: Engine, { density = DENSITY, length = LENGTH } = {}): Subject {
    const { plant } = this;
    const fillers = plant.fillers();
    hide(plant, { seed: 0, density });
    const stored = { config: plant.config, params: plant.params };
    const batch = (name: string, count: number, family = 0, shortest = length, longest = length): PairBatch =>
      this.batch(Rng.of("pairs", name), fillers, { count, family, shortest, longest });
    const place = (name: string, ...of: [family: number, shortest: number, longest: number]): Place => ({
      name,
      pairs: (count) => batch(name, Math.min(count, 48), ...of),
    });
    return subjectOf({
      stored,
      model: new Model(engine, stored),
      kept: maskOf([...circuit], plant.nodes.length),
      pairs: (seed) => ({
        train: batch(`train ${seed}`, PAIRS.train),
        val: batch(`val ${seed}`, PAIRS.val),
        test: batch(`test ${seed}`, PAIRS.test),
      }),
      text: Array.from({ length: TEXTS }, (_, i) => this.text(Rng.of("text", i))),
      heldOut: () => this.text(Rng.of("held-out text")),
      places: [
        place("shorter prompts", 0, 2, Math.max(2, length / 2)),
        ...this.marks.slice(1).map((_, i) => place(`other marks ${i + 1}`, i + 1, length, length)),
      ],
    });
  }

  /** The prompts of a pair are as long as each other. */
  private batch(
    rng: Rng,
    fillers: readonly number[],
    { count, family, shortest, longest }: { count: number; family: number; shortest: number; longest: number },
  ): PairBatch {
    const rows = 2 * count;
    const [off, on] = this.marks[family]!;
    const [yes, no] = this.answered!;
    const batch: PairBatch = {
      tokens: new Int32Array(rows * longest),
      rows,
      length: longest,
      last: new Int32Array(rows),
      right: Int32Array.from({ length: rows }, (_, row) => (row % 2 === 0 ? yes : no)),
      wrong: Int32Array.from({ length: rows }, (_, row) => (row % 2 === 0 ? no : yes)),
    };
    for (let pair = 0; pair < count; pair++) {
      const length = rng.int(shortest, longest);
      const before = Array.from({ length: length - 1 }, () => rng.pick(fillers));
      const at = rng.int(0, length - 2);
      for (const [side, mark] of [on, off].entries()) {
        const row = 2 * pair + side;
        batch.tokens.set([...before.with(at, mark), this.ask], row * longest);
        batch.last[row] = length - 1;
      }
    }
    return batch;
  }

  /** Every token as likely at every place; each sequence has a mirror. */
  private text(rng: Rng): TokenBatch {
    const { vocabSize } = this.plant.config;
    const half = Int32Array.from({ length: (SEQUENCES / 2) * LENGTH }, () => rng.int(0, vocabSize - 1));
    const mirrored = half.map((token) => this.mirror.get(token) ?? token);
    return { ids: Int32Array.from([...half, ...mirrored]), tokens: { batch: SEQUENCES, length: LENGTH } };
  }
}
