/** Text that the tasks of several groups put around their decisions. */
import { type Draft, drawName, knownNames, sideText, type TaskEnv } from "../src/data/task.ts";
import type { Rng } from "../src/util/rng.ts";

/** Of numbers in the corpus too. */
export function number(rng: Rng): string {
  return String(rng.int(0, 99));
}

export function numbers(rng: Rng, count: number): string[] {
  return Array.from({ length: count }, () => number(rng));
}

/** Words of strings and comments, some of them the same. */
export function wordList(rng: Rng, env: TaskEnv, count: number, from?: readonly string[]): string[] {
  const known = knownNames(env, from ?? "words", Math.min(1, count));
  return Array.from({ length: count }, () => rng.pick(known));
}

/** A line that decides nothing: a number's name bound to a number or to what a call gives. */
export function neutralLine(rng: Rng, env: TaskEnv, avoid: readonly string[] = []): string {
  const name = drawName(rng, env, "ints", avoid);
  return `${name} = ${rng.bool(0.7) ? number(rng) : `${drawName(rng, env, "funcs")}()`}\n`;
}

export function neutralLines(rng: Rng, env: TaskEnv, count: number, avoid: readonly string[] = []): string {
  return Array.from({ length: count }, () => neutralLine(rng, env, avoid)).join("");
}

/** Heads of `depth` open blocks, the first of them (unless it is asked not to be) a function's, and the indentation inside. */
export function nested(rng: Rng, env: TaskEnv, depth: number, inFunction = true): { before: string; indent: string } {
  let before = "";
  for (let level = 0; level < depth; level++) {
    const head =
      level === 0 && inFunction
        ? `def ${drawName(rng, env, "funcs")}(${drawName(rng, env, "ints")}):`
        : `for ${drawName(rng, env, "loops")} in ${drawName(rng, env, "lists")}:`;
    before += `${"    ".repeat(level)}${head}\n`;
  }
  return { before, indent: "    ".repeat(depth) };
}

/** A draft after `count` others like it, each of them completed as the other side of the pair is. */
export function afterOthers(count: number, draw: () => Draft): Draft {
  const others = Array.from({ length: count }, draw);
  const before = (side: "pos" | "neg"): string => others.map((other) => sideText(other[side])).join("");
  const { pos, neg, ...rest } = draw();
  return {
    pos: { ...pos, prompt: before("neg") + pos.prompt },
    neg: { ...neg, prompt: before("pos") + neg.prompt },
    ...rest,
  };
}
