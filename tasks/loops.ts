/**
 * Group `loops`: which loop is it, and where? (Gao et al. 2025, Table 1.)
 *
 *     for_while            for value                         completes with   in
 *                          while value                       completes with  : + newline
 *     enumerate_range      for i, x in                       completes with   enumerate
 *                          for i in                          completes with   range
 *     indent_for           a loop in a function              completes with  7 spaces
 *                          a loop at the top level           completes with  3 spaces
 *     while_return_true    while True                        completes with  : + newline
 *                          return True                       completes with  newline
 *
 * The last space of an indentation belongs to the word after it, so 8 and 4 spaces are a token of 7 and of 3.
 */
import { PROFILES } from "../src/data/grammar.ts";
import {
  type Draft,
  defineTask,
  drawName,
  drawNames,
  sideText,
  type TaskEnv,
  type TaskSpec,
} from "../src/data/task.ts";
import type { Rng } from "../src/util/rng.ts";
import { nested, neutralLine, neutralLines, numbers } from "./lines.ts";

function forOrWhile(rng: Rng, env: TaskEnv, depth: number): Draft {
  const name = drawName(rng, env, rng.bool() ? "loops" : "ints");
  const { before, indent } = nested(rng, env, depth);
  const list = drawName(rng, env, "lists");
  const body = `${indent}    ${neutralLine(rng, env)}`;
  return {
    pos: { prompt: `${before}${indent}for ${name}`, target: " in", tail: ` ${list}:\n${body}` },
    neg: { prompt: `${before}${indent}while ${name}`, target: ":\n", tail: body },
  };
}

const forWhile = defineTask({
  name: "for_while",
  group: "loops",
  doc: "after a name, in for a for loop and colon for a while loop",
  draft: (rng, env) => forOrWhile(rng, env, 0),
  variants: { deep: (rng, env) => forOrWhile(rng, env, rng.int(1, 2)) },
  focus: { for: 6, while: 8, assign: 2, augment: 1, list: 0.5, quote: 0.5 },
});

function enumerateOrRange(rng: Rng, env: TaskEnv, earlier = 0): Draft {
  const [index, item] = drawNames(rng, env, "loops", 2);
  const list = drawName(rng, env, "lists");
  const [count] = numbers(rng, 1);
  const heads = {
    pos: { prompt: `for ${index}, ${item} in`, target: " enumerate", tail: `(${list}):\n` },
    neg: { prompt: `for ${index} in`, target: " range", tail: `(${count}):\n` },
  };
  const whole = { pos: sideText(heads.pos), neg: sideText(heads.neg) };
  const bodies = Array.from({ length: earlier + 1 }, () => `    ${neutralLine(rng, env)}`);
  const side = (which: "pos" | "neg", other: "pos" | "neg") => {
    const before = bodies.slice(1).map((body) => whole[other] + body);
    const { prompt, target, tail } = heads[which];
    return { prompt: before.join("") + prompt, target, tail: tail + bodies[0] };
  };
  return { pos: side("pos", "neg"), neg: side("neg", "pos") };
}

const enumerateRange = defineTask({
  name: "enumerate_range",
  group: "loops",
  doc: "enumerate for two loop variables, range for one",
  draft: (rng, env) => enumerateOrRange(rng, env),
  probes: {
    loops: {
      doc: "earlier loops of the other kind",
      values: [0, 1, 2],
      draw: (rng, env, x) => enumerateOrRange(rng, env, x),
    },
  },
  focus: { for: 8, assign: 2, augment: 1, list: 0.5, quote: 0.5 },
});

/** A loop one block deeper on one side than on the other, both `depth` blocks inside others. */
function indentedLoop(rng: Rng, env: TaskEnv, depth: number, before = ""): Draft {
  const head = `for ${drawName(rng, env, "loops")} in ${drawName(rng, env, "lists")}:\n`;
  const line = rng.bool() ? neutralLine(rng, env) : "";
  const body = neutralLine(rng, env);
  const around = nested(rng, env, depth, false);
  const callee = drawName(rng, env, "funcs");
  const { indent } = around;
  const side = (opener: string, inner: string) => ({
    prompt: `${before}${around.before}${indent}${opener}${line && inner + line}${inner}${head}`,
    target: `${inner}    `.slice(1),
    tail: ` ${body}`,
  });
  return { pos: side(`def ${callee}():\n`, `${indent}    `), neg: side(`${callee}()\n`, indent) };
}

const indentFor = defineTask({
  name: "indent_for",
  group: "loops",
  doc: "indent a loop's body by where the loop stands",
  draft: (rng, env) => indentedLoop(rng, env, 0),
  variants: { deep: (rng, env) => indentedLoop(rng, env, 1) },
  probes: {
    finished: {
      doc: "functions that ended before",
      values: [0, 1, 2],
      draw: (rng, env, x) => {
        const functions = Array.from(
          { length: x },
          () => `def ${drawName(rng, env, "funcs")}():\n    ${neutralLine(rng, env)}`,
        );
        return indentedLoop(rng, env, 0, functions.join(""));
      },
    },
  },
  focus: { for: 6, def: 6, assign: 2, augment: 1, list: 0.5, quote: 0.5 },
});

function whileOrReturn(rng: Rng, env: TaskEnv, depth: number): Draft {
  const { before, indent } = nested(rng, env, depth);
  const lines = neutralLines(rng, env, rng.int(0, 1)).replace(/^(?=.)/gm, indent);
  return {
    pos: { prompt: `${before}${lines}${indent}while True`, target: ":\n", tail: `${indent}    break\n` },
    neg: { prompt: `${before}${lines}${indent}return True`, target: "\n" },
  };
}

const whileReturnTrue = defineTask({
  name: "while_return_true",
  group: "loops",
  doc: "after True, colon for a loop and newline for a return",
  draft: (rng, env) => whileOrReturn(rng, env, 1),
  variants: { deep: (rng, env) => whileOrReturn(rng, env, rng.int(2, 3)) },
  focus: PROFILES.loops.weights,
});

export const LOOP_TASKS: readonly TaskSpec[] = [forWhile, enumerateRange, indentFor, whileReturnTrue];
