/** What stands in the place of ablated nodes. */
import type { PairBatch } from "../data/pairs.ts";
import { pickPairs } from "./pair-scores.ts";

export const ABLATIONS = ["mean", "zero", "resample"] as const;
export type AblationKind = (typeof ABLATIONS)[number];

export interface Ablation {
  readonly kind: AblationKind;
  /**
   * Value of each node when ablated, flat site order: one vector, or several draws. Pairs are dealt to the draws in turn,
   * so that a loss over pairs is one over draws too.
   */
  readonly draws: readonly Float32Array[];
  /** Whether norms divide by what they divide by in the full model, so that a circuit cannot work through them. */
  readonly frozenNorm: boolean;
}

/** The pairs of each draw, in order. */
export function dealt(batch: PairBatch, draws: number): PairBatch[] {
  if (draws === 1) return [batch];
  const pairs = Array.from({ length: batch.rows / 2 }, (_, pair) => pair);
  return Array.from({ length: draws }, (_, draw) =>
    pickPairs(
      batch,
      pairs.filter((pair) => pair % draws === draw),
    ),
  );
}

/** The inverse of `dealt` for one number a row. */
export function gathered(parts: readonly ArrayLike<number>[], rows: number): Float64Array {
  const draws = parts.length;
  const out = new Float64Array(rows);
  for (const [draw, part] of parts.entries()) {
    for (let i = 0; i < part.length; i++) out[2 * (draw + (i >> 1) * draws) + (i & 1)] = part[i]!;
  }
  return out;
}
