/** How far nodes carry in a circuit what they carry in the model. */
import type { NodeValues } from "./pruned.ts";

/** What nodes carry in a circuit and in the full model on the same prompts, by flat index and prefix. */
export interface Traced {
  readonly own: ReadonlyMap<number, NodeValues>;
  readonly full: ReadonlyMap<number, Float32Array>;
}

export interface NodeError {
  readonly node: number;
  /** Fraction of variance unexplained, at most 1: the mean squared difference by the variance in the model. */
  readonly unexplained: number;
  /** Variance in the model. */
  readonly variance: number;
}

/** A node is no worse than this: the mean over nodes would else be that of one whose variance is tiny. */
const CAP = 1;
/** Mean squares of float32 rounding, by that of the values or, where they are small, by 1. */
const ROUNDING = 1e-12;

/** Of each node that is traced, over all prompts. */
export function nodeErrors(traces: readonly Traced[]): NodeError[] {
  const nodes = new Set(traces.flatMap(({ own }) => [...own.keys()]));
  return [...nodes].map((node) => {
    let [count, sum, squares, error] = [0, 0, 0, 0];
    for (const { own, full } of traces) {
      const seen = own.get(node);
      if (!seen) continue;
      const values = full.get(node)!;
      for (const n of seen.rows) {
        count++;
        sum += values[n]!;
        squares += values[n]! ** 2;
        error += (seen.values[n]! - values[n]!) ** 2;
      }
    }
    const variance = Math.max(0, squares / count - (sum / count) ** 2);
    const mse = error / count;
    const rounding = ROUNDING * (1 + squares / count);
    // A node that never varies in the model, but does or is another in the circuit, is wholly unexplained.
    const unexplained = variance > rounding ? mse / variance : mse > rounding ? CAP : 0;
    return { node, unexplained: Math.min(unexplained, CAP), variance };
  });
}
