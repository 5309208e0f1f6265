/**
 * What a trained tokenizer must have as one token so that tasks can be asked with it: the completions of their prompts,
 * and the names that the prompts are made of, at the beginning of a line and after a space.
 */
import { Rng } from "../util/rng.ts";
import { POOLS } from "./grammar/names.ts";
import type { Cut } from "./pretokenize.ts";
import { drawOf, probeVariants, type TaskEnv, type TaskSpec, variantNames } from "./task.ts";

/** Drafts read of each variant; completions are few and common. */
const DRAFTS = 60;

/** In the order of code units: the same tasks give the same tokenizer. Completions that `cut` divides are left out. */
export function requiredPieces(tasks: readonly TaskSpec[], cut: Cut): string[] {
  const isPiece = (text: string): boolean => cut(text).length === 1;
  const env: TaskEnv = { pools: POOLS, isSingle: isPiece };
  const pieces = new Set<string>();
  for (const task of tasks) {
    for (const variant of [...variantNames(task), ...probeVariants(task)]) {
      const draw = drawOf(task, variant);
      for (let i = 0; i < DRAFTS; i++) {
        const { pos, neg } = draw(Rng.of("required pieces", task.name, variant, i), env);
        pieces.add(pos.target).add(neg.target);
      }
    }
  }
  if (tasks.length > 0) for (const name of Object.values(POOLS).flat()) pieces.add(name).add(` ${name}`);
  return [...pieces].filter(isPiece).sort();
}
