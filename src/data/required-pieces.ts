/**
 * What a trained tokenizer must have as one token so that tasks can be asked with it: the completions of their prompts,
 * and every name that the tasks' generators ask to be a single token.
 */
import { Rng } from "../util/rng.ts";
import { taskEnv } from "./pairs.ts";
import type { Cut } from "./pretokenize.ts";
import { drawOf, probeVariants, type TaskSpec, variantNames } from "./task.ts";

/** Drafts read of each variant; completions are few and common. */
const DRAFTS = 60;

/** In the order of code units: the same tasks give the same tokenizer. What `cut` divides can be no token, and is left out. */
export function requiredPieces(tasks: readonly TaskSpec[], cut: Cut): string[] {
  const pieces = new Set<string>();
  const require = (text: string): boolean => {
    const isPiece = cut(text).length === 1;
    if (isPiece) pieces.add(text);
    return isPiece;
  };
  for (const task of tasks) {
    const env = taskEnv({ isSingle: require });
    for (const variant of [...variantNames(task), ...probeVariants(task)]) {
      const draw = drawOf(task, variant);
      for (let i = 0; i < DRAFTS; i++) {
        const { pos, neg } = draw(Rng.of("required pieces", task.name, variant, i), env);
        require(pos.target);
        require(neg.target);
      }
    }
  }
  return [...pieces].sort();
}
