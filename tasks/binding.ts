/**
 * Group `binding`: what was a name bound to? (Gao et al. 2025, Table 1.)
 *
 *     set_or_string        node = set() ... node           completes with  .add
 *                          node = "" ... node              completes with   +=
 *     var_swap             total, count = count,           completes with   total
 *                          count, total = total,           completes with   count
 *     class_init           self.total =                    completes with   total
 *                          self.index =                    completes with   index
 *
 * `set_or_string_fixedvarname` is the first with the name `current` always.
 */
import { HELD_OUT } from "../src/data/grammar/names.ts";
import {
  type Draft,
  type Draw,
  defineTask,
  drawName,
  drawNames,
  type TaskEnv,
  type TaskSpec,
} from "../src/data/task.ts";
import type { Rng } from "../src/util/rng.ts";
import { neutralLines, number, numbers } from "./lines.ts";

type Held = "set" | "str";

const EMPTY = { set: "set()", str: '""' } as const;
const OTHER = { set: "str", str: "set" } as const;

interface SetOrString {
  /** Neutral lines between binding and use. */
  readonly gaps: number;
  /** Loops that the use stands in. */
  readonly loops: number;
  /** Names bound to the other type in between. */
  readonly others?: number;
  /** Earlier bindings of the name itself, to either type in turn, the last one to the other. */
  readonly rebindings?: number;
}

function setOrString(rng: Rng, env: TaskEnv, fixed: string | undefined, form: SetOrString): Draft {
  const { gaps, loops, others = 0, rebindings = 0 } = form;
  const name = fixed ?? drawName(rng, env, "sets");
  const gap = neutralLines(rng, env, gaps, [name]);
  const between = drawNames(rng, env, "sets", others, [name]);
  const items = drawNames(rng, env, "loops", loops);
  const values = drawNames(rng, env, "lists", loops);
  const lists = values.map((list) => `${list} = [${numbers(rng, 3).join(", ")}]\n`).join("");
  const heads = items.map((item, depth) => `${"    ".repeat(depth)}for ${item} in ${values[depth]}:\n`).join("");
  const word = drawName(rng, env, "words");
  const bind = (variable: string, held: Held): string => `${variable} = ${EMPTY[held]}\n`;
  const before = (held: Held): string => {
    const bindings = Array.from({ length: rebindings }, (_, i) =>
      bind(name, (rebindings - i) % 2 === 0 ? held : OTHER[held]),
    );
    const rest = between.map((variable) => bind(variable, OTHER[held])).join("");
    return `${lists}${bindings.join("")}${bind(name, held)}${rest}${gap}${heads}${"    ".repeat(loops)}${name}`;
  };
  return {
    pos: { prompt: before("set"), target: ".add", tail: `("${word}")\n` },
    neg: { prompt: before("str"), target: " +=", tail: ` "${word}"\n` },
    avoid: [name, ...between],
  };
}

/** The two tasks are one but for the name: a fixed one, or any of the pool. */
function setOrStringTask(name: string, doc: string, fixed?: string): TaskSpec {
  const draw =
    (form: (rng: Rng) => SetOrString): Draw =>
    (rng, env) =>
      setOrString(rng, env, fixed, form(rng));
  const usual = (rng: Rng): SetOrString => ({ gaps: rng.int(0, 2), loops: rng.bool(0.4) ? 1 : 0 });
  return defineTask({
    name,
    group: "binding",
    doc,
    draft: draw(usual),
    variants: {
      far: draw((rng) => ({ gaps: rng.int(3, 8), loops: rng.int(0, 1) })),
      deep: draw((rng) => ({ gaps: rng.int(0, 2), loops: 2 })),
    },
    probes: {
      others: {
        doc: "names bound to the other type between binding and use",
        values: [0, 1, 2, 3],
        draw: (rng, env, x) => setOrString(rng, env, fixed, { ...usual(rng), others: x }),
      },
      rebinding: {
        doc: "earlier bindings of the name, to either type in turn: the last one counts",
        values: [0, 1, 2, 3],
        draw: (rng, env, x) => setOrString(rng, env, fixed, { ...usual(rng), rebindings: x }),
      },
    },
    focus: { setstr: 6, assign: 2, swap: 1, quote: 0.5, list: 0.5, augment: 0.5 },
  });
}

/** Each of `names` is bound, then they move one place on; the sides exchange the first two. */
function rotation(rng: Rng, names: readonly string[]): Draft {
  const [first, second, ...rest] = names as [string, string, ...string[]];
  const bindings = rng.shuffle([...names]).map((name) => `${name} = ${number(rng)}\n`);
  const side = (order: readonly string[]) => ({
    prompt: `${bindings.join("")}${order.join(", ")} = ${order.slice(1).join(", ")},`,
    target: ` ${order[0]}`,
    tail: "\n",
  });
  return { pos: side([first, second, ...rest]), neg: side([second, first, ...rest]), avoid: names };
}

const varSwap = defineTask({
  name: "var_swap",
  group: "binding",
  doc: "end the swap of two variables with the one that is missing",
  draft: (rng, env) => rotation(rng, drawNames(rng, env, "ints", 2, HELD_OUT.swapped)),
  variants: {
    /** Numbers that the corpus never swaps. */
    names: (rng, env) => rotation(rng, drawNames(rng, env, HELD_OUT.swapped, 2)),
  },
  probes: {
    rotation: {
      doc: "variables that change places",
      values: [2, 3, 4],
      draw: (rng, env, x) => rotation(rng, drawNames(rng, env, "ints", x, HELD_OUT.swapped)),
    },
  },
  focus: { swap: 6, assign: 2, setstr: 1, quote: 0.5, list: 0.5, augment: 0.5 },
});

/** The sides store one of two attributes after the same others; with `strangers` no parameter is called so. */
function classInit(rng: Rng, env: TaskEnv, count: number, strangers = false): Draft {
  const names = drawNames(rng, env, "ints", count + 2);
  const params = names.slice(0, count);
  const stored = params.slice(0, rng.int(1, count - 2));
  const [first, second] = strangers ? names.slice(count) : rng.sample(params.slice(stored.length), 2);
  const head = `class ${drawName(rng, env, "classes")}:\n    def __init__(self, ${params.join(", ")}):\n`;
  const lines = stored.map((name) => `        self.${name} = ${name}\n`).join("");
  const side = (name: string) => ({
    prompt: `${head}${lines}        self.${name} =`,
    target: ` ${name}`,
    tail: "\n",
  });
  return { pos: side(first!), neg: side(second!) };
}

const classInitTask = defineTask({
  name: "class_init",
  group: "binding",
  doc: "store a parameter under its own name",
  heldOutWindow: 32,
  draft: (rng, env) => classInit(rng, env, rng.int(3, 5)),
  variants: { long: (rng, env) => classInit(rng, env, rng.int(8, 12)) },
  probes: {
    stranger: {
      doc: "1: the attribute has the name of no parameter",
      values: [0, 1],
      draw: (rng, env, x) => classInit(rng, env, rng.int(3, 5), x > 0),
    },
  },
  focus: { class: 6, assign: 2, setstr: 1, quote: 0.5, list: 0.5, augment: 0.5 },
});

export const BINDING_TASKS: readonly TaskSpec[] = [
  setOrStringTask("set_or_string", "was the name bound to an empty set or to an empty string?"),
  setOrStringTask("set_or_string_fixedvarname", "the same where the name is always `current`", "current"),
  varSwap,
  classInitTask,
];
