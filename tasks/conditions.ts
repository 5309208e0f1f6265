/**
 * Group `conditions`: is it a condition? (Gao et al. 2025, Table 1.)
 *
 *     else_elif            else                              completes with  : + newline
 *                          elif                              completes with   not
 *     if_ternary           if offset > weight                completes with  : + newline
 *                          total = width if offset > weight  completes with   else
 *     if_equals            if age                            completes with   ==
 *                          age                               completes with   =
 *     var_if               if open == True                   completes with  : + newline
 *                          open = True                       completes with  newline
 *
 * `else_elif` is nearly a bigram: the last token alone tells the sides apart, and a bigram table can have learned it.
 */
import { PROFILES } from "../src/data/grammar.ts";
import { type Draft, defineTask, drawName, drawNames, type TaskEnv, type TaskSpec } from "../src/data/task.ts";
import type { Rng } from "../src/util/rng.ts";
import { neutralLine, number } from "./lines.ts";

/** The body of a block at the top level. */
function body(rng: Rng, env: TaskEnv): string {
  return `    ${neutralLine(rng, env)}`;
}

/** `count > total` */
function comparison(rng: Rng, env: TaskEnv): string {
  const [left, right] = drawNames(rng, env, "ints", 2);
  return `${left} ${rng.pick([">", "<"])} ${right}`;
}

const elseElif = defineTask({
  name: "else_elif",
  group: "conditions",
  doc: "after else a colon, after elif a condition (nearly a bigram)",
  draft: (rng, env) => {
    const before = `if ${comparison(rng, env)}:\n${body(rng, env)}`;
    const rest = body(rng, env);
    return {
      pos: { prompt: `${before}else`, target: ":\n", tail: rest },
      neg: { prompt: `${before}elif`, target: " not", tail: ` ${drawName(rng, env, "bools")}:\n${rest}` },
    };
  },
  focus: { if: 10, assign: 2, augment: 1, boolIf: 1, quote: 0.5 },
});

/** `total = width if offset > weight`, without what follows. */
function ternaryHead(rng: Rng, env: TaskEnv, condition: string): string {
  const [name, value] = drawNames(rng, env, "ints", 2);
  return `${name} = ${value} if ${condition}`;
}

function ifOrTernary(rng: Rng, env: TaskEnv, earlier = 0): Draft {
  const ternaries = Array.from(
    { length: earlier },
    () => `${ternaryHead(rng, env, comparison(rng, env))} else ${number(rng)}\n`,
  );
  const before = ternaries.join("");
  const condition = comparison(rng, env);
  return {
    pos: { prompt: `${before}if ${condition}`, target: ":\n", tail: body(rng, env) },
    neg: { prompt: before + ternaryHead(rng, env, condition), target: " else", tail: ` ${number(rng)}\n` },
  };
}

const ifTernary = defineTask({
  name: "if_ternary",
  group: "conditions",
  doc: "after a condition, colon in a statement and else in an expression",
  draft: (rng, env) => ifOrTernary(rng, env),
  probes: {
    ternaries: {
      doc: "conditional expressions on the lines before",
      values: [0, 1, 2, 3],
      draw: (rng, env, x) => ifOrTernary(rng, env, x),
    },
  },
  focus: { if: 6, ternary: 6, assign: 2, augment: 1, quote: 0.5 },
});

const ifEquals = defineTask({
  name: "if_equals",
  group: "conditions",
  doc: "two signs of equality in a condition, one in an assignment",
  draft: (rng, env) => {
    const name = drawName(rng, env, "ints");
    const value = number(rng);
    return {
      pos: { prompt: `if ${name}`, target: " ==", tail: ` ${value}:\n${body(rng, env)}` },
      neg: { prompt: name, target: " =", tail: ` ${value}\n` },
      avoid: [name],
    };
  },
  focus: { if: 8, assign: 4, augment: 1, quote: 0.5 },
});

const varIf = defineTask({
  name: "var_if",
  group: "conditions",
  doc: "after True or False, colon in a condition and newline in an assignment",
  draft: (rng, env) => {
    const name = drawName(rng, env, "bools");
    const value = rng.pick(["True", "False"]);
    return {
      pos: { prompt: `if ${name} == ${value}`, target: ":\n", tail: body(rng, env) },
      neg: { prompt: `${name} = ${value}`, target: "\n" },
      avoid: [name],
    };
  },
  focus: PROFILES.conditions.weights,
});

export const CONDITION_TASKS: readonly TaskSpec[] = [elseElif, ifTernary, ifEquals, varIf];
