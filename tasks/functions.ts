/**
 * Group `functions`: what is being defined? (Gao et al. 2025, Table 1.)
 *
 *     final_kwarg          def parse(step, size=None, end=None, level    completes with  =None
 *                          def parse(step, size, limit, end, level       completes with  ): + newline
 *     lambda_func          parse = lambda func                           completes with  :
 *                          def func                                      completes with  (): + newline
 */
import { HELD_OUT } from "../src/data/grammar/names.ts";
import { type Draft, defineTask, drawName, drawNames, type TaskEnv, type TaskSpec } from "../src/data/task.ts";
import type { Rng } from "../src/util/rng.ts";
import { neutralLine, number } from "./lines.ts";

/** Parameters before the last: `plain` ones and `defaults` with a default, against plain ones of the same length. */
function lastParameter(rng: Rng, env: TaskEnv, plain: number, defaults: number): Draft {
  // A default is a token, a comma and a name are two.
  const instead = plain + defaults + Math.floor(defaults / 2);
  const [last, ...names] = drawNames(rng, env, "ints", 1 + instead) as [string, ...string[]];
  const head = `def ${drawName(rng, env, "funcs")}(`;
  const body = `    ${neutralLine(rng, env)}`;
  const params = names.slice(0, plain + defaults).map((name, i) => (i < plain ? name : `${name}=None`));
  return {
    pos: { prompt: `${head}${[...params, last].join(", ")}`, target: "=None", tail: `):\n${body}` },
    neg: { prompt: `${head}${[...names, last].join(", ")}`, target: "):\n", tail: body },
  };
}

const finalKwarg = defineTask({
  name: "final_kwarg",
  group: "functions",
  doc: "after parameters with a default the last one has one too",
  draft: (rng, env) => lastParameter(rng, env, 1, rng.int(1, 3)),
  variants: { long: (rng, env) => lastParameter(rng, env, rng.int(2, 4), rng.int(4, 6)) },
  focus: { def: 10, assign: 1, augment: 1, lambda: 1, quote: 0.5 },
});

function lambdaOrDef(rng: Rng, env: TaskEnv, func: string): Draft {
  const name = drawName(rng, env, "funcs", [func]);
  return {
    pos: { prompt: `${name} = lambda ${func}`, target: ":", tail: ` ${func} + ${number(rng)}\n` },
    neg: { prompt: `def ${func}`, target: "():\n", tail: `    ${neutralLine(rng, env)}` },
  };
}

const lambdaFunc = defineTask({
  name: "lambda_func",
  group: "functions",
  doc: "after a name, colon in a lambda and parentheses in a definition",
  draft: (rng, env) => lambdaOrDef(rng, env, drawName(rng, env, "funcs", HELD_OUT.defined)),
  variants: {
    /** Functions that the corpus calls and never defines. */
    names: (rng, env) => lambdaOrDef(rng, env, drawName(rng, env, HELD_OUT.defined)),
  },
  focus: { def: 6, lambda: 8, assign: 1, augment: 1, quote: 0.5 },
});

export const FUNCTION_TASKS: readonly TaskSpec[] = [finalKwarg, lambdaFunc];
