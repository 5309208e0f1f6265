/** How far nodes carry in a circuit what they carry in the model. */
import type { NodeValues, Part } from "./pruned.ts";

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
  /** Mean squared difference. */
  readonly squared: number;
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
    return { node, unexplained: Math.min(unexplained, CAP), variance, squared: mse };
  });
}

/** What each prompt of a trace adds to the mean over nodes of what is unexplained: as far as it differs between prompts. */
export function promptErrors(
  errors: readonly NodeError[],
  { own, full }: Traced,
  { batch, prefixes }: Part,
): Float64Array {
  const out = new Float64Array(batch.rows);
  const difference = new Float64Array(prefixes.size);
  for (const { node, unexplained, squared } of errors) {
    const seen = own.get(node);
    if (!seen || squared === 0) continue;
    difference.fill(Number.NaN);
    for (const n of seen.rows) difference[n] = (seen.values[n]! - full.get(node)![n]!) ** 2;
    for (let row = 0; row < batch.rows; row++) {
      let sum = 0;
      let count = 0;
      for (let t = 0; t <= batch.last[row]!; t++) {
        const of = difference[prefixes.path[row * batch.length + t]!]!;
        if (Number.isNaN(of)) continue;
        sum += of;
        count++;
      }
      if (count > 0) out[row]! += (unexplained * sum) / count / squared / errors.length;
    }
  }
  return out;
}
