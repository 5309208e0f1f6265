/**
 * The shapes of planted circuits. Each plants its weights and tokens and returns how contrast pairs are drawn. Channels
 * hold codes of +1 and -1. Pairs are such that every planted node is needed: the two answers of a pair differ in one bit,
 * and both are among what a circuit without the node cannot tell apart.
 */
import type { Rng } from "../../src/util/rng.ts";
import { type Channels, LAYERS, LENGTH, type Plant } from "./plant.ts";

/** Two prompts of LENGTH tokens; the right answer of one is the wrong answer of the other. */
interface DrawnPair {
  readonly prompts: readonly [number[], number[]];
  readonly answers: readonly [number, number];
}
export type Draw = (rng: Rng) => DrawnPair;

export const SHAPES = ["copy", "binding", "counting", "and", "xor"] as const;
export type Shape = (typeof SHAPES)[number];

/** Names have this many bits. */
const BITS = 2;
const NAMES = [0, 1, 2, 3];

/** The bits of `value` as +1 and -1. */
function code(channels: readonly number[], value: number): Channels {
  return channels.map((c, bit) => [c, (value >> bit) & 1 ? 1 : -1] as const);
}

/** `what` and fillers in random order, then `last`. */
function prompt(rng: Rng, fillers: readonly number[], what: readonly number[], last: number): number[] {
  const rest = Array.from({ length: LENGTH - 1 - what.length }, () => rng.pick(fillers));
  return [...rng.shuffle([...what, ...rest]), last];
}

/** The same with another token in the place of each of some. */
function exchanged(tokens: readonly number[], exchange: ReadonlyMap<number, number>): number[] {
  return tokens.map((t) => exchange.get(t) ?? t);
}

/** Two names of four, each with one of two values that differ in one bit; the values of the other names are of the two. */
function drawValues(rng: Rng, bits: number): { asked: readonly [number, number]; values: number[] } {
  const first = rng.int(0, 2 ** bits - 1);
  const second = first ^ (1 << rng.int(0, bits - 1));
  const [a, b] = rng.sample(NAMES, 2) as [number, number];
  const values = NAMES.map(() => (rng.bool() ? first : second));
  values[a] = first;
  values[b] = second;
  return { asked: [a, b], values };
}

/** Items (name, value), then a name: the answer is its value. One head: queries meet keys of the same name. */
function copy(plant: Plant): Draw {
  const [ask, key, from, to] = [BITS, BITS, BITS, BITS].map((n) => plant.channels(n)) as [
    number[],
    number[],
    number[],
    number[],
  ];
  const items = NAMES.map((name) => NAMES.map((value) => plant.token([...code(key, name), ...code(from, value)])));
  const queries = NAMES.map((name) => plant.token(code(ask, name)));
  const answers = NAMES.map((value) => plant.answer(code(to, value)));
  const fillers = plant.fillers();
  const layer = plant.rng.int(0, LAYERS - 1);
  plant.attend({ layer, query: ask, key, moves: from.map((c, bit) => ({ read: [[c, 1]], write: to[bit]! })) });
  return (rng) => {
    const { asked, values } = drawValues(rng, BITS);
    const [a, b] = asked;
    const tokens = prompt(
      rng,
      fillers,
      values.map((value, name) => items[name]![value]!),
      queries[a]!,
    );
    return {
      prompts: [tokens, [...tokens.slice(0, -1), queries[b]!]],
      answers: [answers[values[a]!]!, answers[values[b]!]!],
    };
  };
}

/**
 * Definitions (name, holder), holders with a value, then a name: the answer is the value of its holder. The head of layer
 * 0 finds the name's definition and brings the holder; that of layer 1 finds the holder and brings the value.
 */
function binding(plant: Plant): Draw {
  const two = () => plant.channels(BITS);
  const [ask, name, bound, hop, holder] = [two(), two(), two(), two(), two()];
  const [value, to] = plant.channels(2) as [number, number];
  const definitions = NAMES.map((n) => NAMES.map((h) => plant.token([...code(name, n), ...code(bound, h)])));
  const holders = NAMES.map((h) => [0, 1].map((v) => plant.token([...code(holder, h), ...code([value], v)])));
  const queries = NAMES.map((n) => plant.token(code(ask, n)));
  const answers = [0, 1].map((v) => plant.answer(code([to], v)));
  const fillers = plant.fillers();
  plant.attend({
    layer: 0,
    query: ask,
    key: name,
    moves: bound.map((c, bit) => ({ read: [[c, 1]], write: hop[bit]! })),
  });
  plant.attend({ layer: 1, query: hop, key: holder, moves: [{ read: [[value, 1]], write: to }] });
  return (rng) => {
    const { asked, values } = drawValues(rng, 1);
    const [a, b] = asked;
    const holderOf = rng.shuffle([...NAMES]);
    const what = NAMES.flatMap((n) => [definitions[n]![holderOf[n]!]!, holders[holderOf[n]!]![values[n]!]!]);
    const tokens = prompt(rng, fillers, what, queries[a]!);
    return {
      prompts: [tokens, [...tokens.slice(0, -1), queries[b]!]],
      answers: [answers[values[a]!]!, answers[values[b]!]!],
    };
  };
}

/** Whether openings outnumber closings by 3 or more: uniform attention counts them, a neuron has the threshold. */
function counting(plant: Plant): Draw {
  const [open, close, count, to] = plant.channels(4) as [number, number, number, number];
  const [opening, closing, ask] = [plant.token([[open, LENGTH]]), plant.token([[close, LENGTH]]), plant.token([])];
  const [yes, no] = [plant.answer([[to, 1]], -1), plant.answer([[to, -1]], 1)];
  const fillers = plant.fillers();
  const layer = plant.rng.int(0, LAYERS - 1);
  const read: Channels = [
    [open, 1],
    [close, -1],
  ];
  plant.attend({ layer, query: [], key: [], moves: [{ read, write: count }] });
  // 0 up to a count of 2, 2 at a count of 3; an answer's bias is 1.
  plant.neuron({ layer: plant.rng.int(layer, LAYERS - 1), read: [[count, 2]], bias: -4, write: [[to, 1]] });
  return (rng) => {
    const closings = rng.int(0, 3);
    const [more, less] = [rng.int(3, 4), rng.int(1, 2)];
    // A filler that is nowhere else, to put in the place of openings.
    const [mark, ...others] = rng.sample(fillers, fillers.length) as [number, ...number[]];
    const what = [...Array(closings).fill(closing), ...Array(closings + less).fill(opening)] as number[];
    const fewer = prompt(rng, others, [...what, ...(Array(more - less).fill(mark) as number[])], ask);
    return { prompts: [exchanged(fewer, new Map([[mark, opening]])), fewer], answers: [yes, no] };
  };
}

/** Two tokens of a bit each: whether both are set, or exactly one. A head brings them, neurons compute. */
function logic(plant: Plant, gate: "and" | "xor"): Draw {
  const [ask, carrier, a, b, atA, atB, to] = plant.channels(7) as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const bits = [a, b].map((c) =>
    [0, 1].map((bit) =>
      plant.token([
        [carrier, 1],
        [c, bit === 1 ? 2 : -2],
      ]),
    ),
  );
  const query = plant.token([[ask, 1]]);
  const [yes, no] = [plant.answer([[to, 1]], -1), plant.answer([[to, -1]], 1)];
  const fillers = plant.fillers();
  const layer = plant.rng.int(0, LAYERS - 1);
  // Each of the two gets half of the attention: their bits of +-2 arrive as +-1.
  const moves = [
    { read: [[a, 1]], write: atA },
    { read: [[b, 1]], write: atB },
  ] as const;
  plant.attend({ layer, query: [ask], key: [carrier], moves });
  const mlp = plant.rng.int(layer, LAYERS - 1);
  // 2 where the gate is on, else 0; an answer's bias is 1.
  const neurons: Channels[] =
    gate === "and"
      ? [
          [
            [atA, 1],
            [atB, 1],
          ],
        ]
      : [
          [
            [atA, 1],
            [atB, -1],
          ],
          [
            [atA, -1],
            [atB, 1],
          ],
        ];
  for (const read of neurons) plant.neuron({ layer: mlp, read, write: [[to, 1]] });
  return (rng) => {
    const on =
      gate === "and"
        ? [1, 1]
        : rng.pick([
            [0, 1],
            [1, 0],
          ]);
    const flipped = rng.int(0, 1);
    const tokens = prompt(
      rng,
      fillers,
      on.map((bit, i) => bits[i]![bit]!),
      query,
    );
    const exchange = new Map([[bits[flipped]![on[flipped]!]!, bits[flipped]![1 - on[flipped]!]!]]);
    return { prompts: [tokens, exchanged(tokens, exchange)], answers: [yes, no] };
  };
}

export const PLANTERS: Record<Shape, (plant: Plant) => Draw> = {
  copy,
  binding,
  counting,
  and: (plant) => logic(plant, "and"),
  xor: (plant) => logic(plant, "xor"),
};
