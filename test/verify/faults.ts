/** Models with a circuit, right or with one known fault, and what must be seen of it. */
import { generate } from "../../bench/ground-truth/generate.ts";
import type { CheckName } from "../../src/circuits/verification.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { Model } from "../../src/model/model.ts";
import type { Pairs } from "../../src/prune/extract.ts";
import { maskOf } from "../../src/prune/kept.ts";
import { rowsOf } from "../../src/prune/pair-scores.ts";
import { Rng } from "../../src/util/rng.ts";
import { searchAgain } from "../../src/verify/search-again.ts";
import type { Subject } from "../../src/verify/subject.ts";
import { labOf, subjectOf } from "./subject.ts";
import { World } from "./world.ts";

export interface Fault {
  readonly name: string;
  /** What the circuit is, for the table. */
  readonly what: string;
  /** The checks that are there for this fault: none of them may pass. */
  readonly caughtBy: readonly CheckName[];
  /** The planted circuit, which passes every check. */
  readonly isPlanted?: true;
  readonly make: (engine: Engine) => Subject | Promise<Subject>;
}

/** Neurons that together do what one does. */
const MANY = 100;

/** One path, and the circuit is that path. */
function planted() {
  const world = new World([[0, 1]]);
  const out = world.plant.channel();
  const path = world.path(0, out);
  world.answers([[out, 2]], -1);
  return { world, path };
}

/** A path, and a second lane that writes the opposite of it and takes that back again. */
function withReversedPath() {
  const world = new World([
    [0, 1],
    [-1, 1],
  ]);
  const [out, back, forth] = world.plant.channels(3) as [number, number, number];
  const path = world.path(0, out);
  const reversed = world.look(1, back);
  world.look(1, forth);
  world.answers(
    [
      [out, 2],
      [back, -3],
      [forth, 3],
    ],
    -1,
  );
  return { world, path, reversed };
}

/** Right and wrong answers exchanged. */
function reversedLabels(pairs: Pairs): Pairs {
  const of = ({ right, wrong, ...batch }: Pairs["train"]): Pairs["train"] => ({ ...batch, right: wrong, wrong: right });
  return { train: of(pairs.train), val: of(pairs.val), test: of(pairs.test) };
}

export const FAULTS: readonly Fault[] = [
  {
    name: "none",
    what: "the planted circuit: one head and one neuron do the task, and they are the circuit",
    caughtBy: [],
    isPlanted: true,
    make: (engine) => {
      const { world, path } = planted();
      return world.subject(path, engine);
    },
  },
  {
    name: "permuted labels",
    what: "fitted to reversed labels: a path that the model takes back again, alone",
    caughtBy: ["sufficiency", "necessity", "completeness", "agreement", "interchange", "nonsense control"],
    make: (engine) => {
      const { world, reversed } = withReversedPath();
      return world.subject(reversed, engine);
    },
  },
  {
    name: "nonsense task",
    what: "the same circuit, verified on the reversed labels that it was fitted to: the task is one that the model does not do",
    caughtBy: ["agreement", "nonsense control"],
    make: (engine) => {
      const { world, reversed } = withReversedPath();
      const subject = world.subject(reversed, engine);
      return { ...subject, pairs: (seed) => reversedLabels(subject.pairs(seed)) };
    },
  },
  {
    name: "two that cancel",
    what: "without the neuron that does the task, but with two that cancel in the model, one of which has lost an input",
    caughtBy: ["necessity", "completeness", "interchange", "relaxation"],
    make: (engine) => {
      const world = new World([
        [0, 1],
        [-1, 1],
      ]);
      const [out, s, t, sum] = world.plant.channels(4) as [number, number, number, number];
      world.path(0, out);
      const seen = world.look(1, s);
      world.look(1, t);
      const { ask } = world.lanes[1]!;
      const plus = world.neuron(
        [
          [s, 1],
          [ask, 5],
        ],
        [[sum, 1]],
      );
      const minus = world.neuron(
        [
          [t, 1],
          [ask, 5],
        ],
        [[sum, -1]],
      );
      world.answers(
        [
          [out, 2],
          [sum, 3],
        ],
        -1,
      );
      const lost = world.plant.index({ layer: 1, site: "mlp.act_in", channel: t });
      const circuit = [...seen, ...plus, ...minus].filter((n) => n !== lost);
      return world.subject(circuit, engine);
    },
  },
  {
    name: "from the mean",
    what: "works by the mean of an ablated neuron, which is off on the task's prompts, where another does what it does",
    caughtBy: ["relaxation", "other ablations"],
    make: (engine) => {
      const world = new World([[1, 3]]);
      const [out, usual, here] = world.plant.channels(3) as [number, number, number];
      const path = world.path(0, out);
      const { ask } = world.lanes[0]!;
      world.neuron([[ask, -2]], [[usual, 1]], 2);
      world.neuron([[ask, 2]], [[here, 1]]);
      world.answers([
        [out, 1],
        [usual, -1],
        [here, -1],
      ]);
      return world.subject(path, engine);
    },
  },
  {
    name: "through the norm",
    what: "a weak path that is enough once a large channel is ablated, which the final norm then no longer divides by",
    caughtBy: ["necessity", "relaxation", "other ablations"],
    make: (engine) => {
      const world = new World([
        [-1, 1],
        [-1, 1],
      ]);
      const [strong, weak, large] = world.plant.channels(3) as [number, number, number];
      world.look(0, strong, 20);
      const path = world.look(1, weak, 0.4);
      world.neuron([[world.lanes[0]!.ask, 20 * 4096]], [[large, 1]]);
      world.answers([
        [strong, 1],
        [weak, 1],
      ]);
      return world.subject(path, engine);
    },
  },
  {
    name: "many together",
    what: "the planted circuit, in a model where many small neurons together take back what one large neuron adds",
    caughtBy: ["curve", "relaxation"],
    make: (engine) => {
      const world = new World([
        [0, 1],
        [0, 1],
      ]);
      const [out, large, small] = world.plant.channels(3) as [number, number, number];
      const path = world.path(0, out);
      const [a, b] = world.lanes.map(({ ask }) => ask) as [number, number];
      world.neuron([[a, 3]], [[large, 1]]);
      for (let i = 0; i < MANY; i++) world.neuron([[b, 3 / MANY]], [[small, 1]]);
      world.answers(
        [
          [out, 2],
          [large, -1],
          [small, 1],
        ],
        -1,
      );
      return world.subject(path, engine, { density: 1 / 64 });
    },
  },
  {
    name: "random nodes",
    what: "as many random nodes of the same sites as the planted circuit has",
    caughtBy: ["sufficiency", "necessity", "agreement", "interchange", "relaxation"],
    make: (engine) => {
      const { world, path } = planted();
      const subject = world.subject([], engine);
      const rng = Rng.of("random circuit");
      const random = world.alike(path).flatMap((site) => rng.sample(site.others, site.count));
      return { ...subject, circuit: { ...subject.circuit, kept: maskOf(random, subject.wiring.nodes) } };
    },
  },
  {
    name: "one of two copies",
    what: "one of two paths of which each is enough",
    caughtBy: ["necessity", "completeness", "stability"],
    make: (engine) => {
      const world = new World([
        [0, 1],
        [0, 1],
      ]);
      const [out, too] = world.plant.channels(2) as [number, number];
      const path = world.path(0, out);
      world.path(1, too);
      world.answers(
        [
          [out, 2],
          [too, 2],
        ],
        -1,
      );
      return world.subject(path, engine);
    },
  },
  {
    name: "spare nodes",
    what: "the planted circuit and ten nodes that do nothing for it",
    caughtBy: ["minimality"],
    make: (engine) => {
      const { world, path } = planted();
      const others = Array.from(world.plant.nodes.keys()).filter((n) => !path.has(n));
      return world.subject([...path, ...Rng.of("spare").sample(others, 10)], engine);
    },
  },
  {
    name: "a shortcut",
    what: "one of two paths, each for marks of its own; prompts have the marks of the first, another place those of the second",
    caughtBy: ["generalisation"],
    make: (engine) => {
      const world = new World(
        [
          [0, 1],
          [0, 1],
        ],
        [[0], [1]],
      );
      const out = world.plant.channel();
      const path = world.path(0, out);
      world.path(1, out);
      world.answers([[out, 2]], -1);
      return world.subject(path, engine);
    },
  },
  {
    name: "two meanings",
    what: "the planted circuit, whose channels other tokens of the text write to in the model",
    caughtBy: ["monosemanticity"],
    make: (engine) => {
      const world = new World([[0, 1]]);
      const [out, odd] = world.plant.channels(2) as [number, number];
      world.strange(odd, 8);
      const { ask, mark, bit } = world.lanes[0]!;
      for (const side of [3, -3]) {
        world.plant.neuron({ layer: 0, read: [[odd, side]], write: [ask, mark, bit].map((c) => [c, Math.sign(side)]) });
      }
      const path = world.path(0, out);
      world.answers([[out, 2]], -1);
      return world.subject(path, engine);
    },
  },
  {
    name: "untrained model",
    what: "found by the search in random weights; the model does not do the task",
    caughtBy: [
      "necessity",

      "agreement",
      "interchange",
      "value fidelity",
      "relaxation",
      "random weights control",
    ],
    make: async (engine) => {
      const world = new World([], [[]]);
      const rng = Rng.of("untrained");
      const channels = Array.from({ length: world.plant.config.width }, (_, c) => c);
      world.answers(channels.filter((c) => c !== world.plant.anchor).map((c) => [c, rng.normal()] as const));
      const subject = world.subject([], engine, { density: 1 / 4, length: 2 });
      const best = await searchAgain(labOf(subject), { ...subject, pairs: subject.pairs(0) });
      if (!best) throw new Error("the search found nothing in random weights");
      return { ...subject, circuit: { ...subject.circuit, kept: maskOf(best.kept, subject.wiring.nodes) } };
    },
  },
  {
    name: "graded",
    what: "a planted circuit that counts, and whose answer is whether the count is over a limit",
    caughtBy: ["binarisation"],
    make: (engine) => {
      const truth = generate({ shape: "counting", width: 32, density: 1 / 16, noise: 0, seed: 0 });
      const { stored, nodes, text } = truth;
      const first = (batch: Pairs["train"]): Pairs["train"] => rowsOf(batch, 0, 2 * 64);
      const pairs = { train: first(truth.pairs.train), val: first(truth.pairs.val), test: first(truth.pairs.test) };
      return subjectOf({ stored, model: new Model(engine, stored), kept: nodes, pairs: () => pairs, text });
    },
  },
];
