/** Text that the tasks of several groups put around their decisions. */
import { drawNames, type TaskEnv } from "../src/data/task.ts";
import type { Rng } from "../src/util/rng.ts";

/** Of numbers in the corpus too. */
export function number(rng: Rng): string {
  return String(rng.int(0, 99));
}

export function numbers(rng: Rng, count: number): string[] {
  return Array.from({ length: count }, () => number(rng));
}

/** A line that decides nothing: a number's name bound to a number or to what a call gives. */
function neutralLine(rng: Rng, env: TaskEnv, avoid: readonly string[] = []): string {
  const [name] = drawNames(rng, env, "ints", 1, avoid);
  return `${name} = ${rng.bool(0.7) ? number(rng) : `${rng.pick(env.pools.funcs)}()`}\n`;
}

export function neutralLines(rng: Rng, env: TaskEnv, count: number, avoid: readonly string[] = []): string {
  return Array.from({ length: count }, () => neutralLine(rng, env, avoid)).join("");
}
