/**
 * Which entries of a weight the L0 projection keeps (paper A.2): the largest magnitudes, with the largest few of every
 * neuron or channel kept first. Pure functions; the rule that every engine must follow to the last tie.
 */
import type { Protect } from "../engine.ts";

/** The k-th largest of the first n values, k from 1. Reorders them. */
export function kthLargest(values: Float32Array, n: number, k: number): number {
  let lo = 0;
  let hi = n - 1;
  const target = k - 1;
  while (lo < hi) {
    const pivot = values[(lo + hi) >>> 1]!;
    let i = lo;
    let j = hi;
    while (i <= j) {
      while (values[i]! > pivot) i++;
      while (values[j]! < pivot) j--;
      if (i <= j) {
        const t = values[i]!;
        values[i++] = values[j]!;
        values[j--] = t;
      }
    }
    if (target <= j) hi = j;
    else if (target >= i) lo = i;
    else break;
  }
  return values[target]!;
}

/**
 * 1 where kept, row-major. `keep` entries of largest magnitude; the `minPerNeuron` largest of every row or column come
 * first and count towards `keep`; if they alone are `keep` or more, exactly they are kept. Among equal magnitudes
 * (zeros too) the lowest row-major index wins. Protection applies to matrices only.
 */
export function keepLargest(
  values: Float32Array,
  shape: readonly number[],
  keep: number,
  protect: Protect,
  minPerNeuron: number,
): Uint8Array {
  const kept = new Uint8Array(values.length);
  const scratch = new Float32Array(values.length);
  let count = 0;
  if (protect && minPerNeuron > 0 && shape.length === 2) {
    const [rows, cols] = shape as readonly [number, number];
    const [lines, length] = protect === "row" ? [rows, cols] : [cols, rows];
    const lineStep = protect === "row" ? cols : 1;
    const step = protect === "row" ? 1 : cols;
    for (let line = 0; line < lines; line++) {
      count += keepOfLine(values, kept, scratch, line * lineStep, step, length, minPerNeuron);
    }
  }
  if (keep > count) keepOfLine(values, kept, scratch, 0, 1, values.length, keep - count);
  return kept;
}

/** Keeps `more` entries of a line that are not kept yet; returns how many it could. */
function keepOfLine(
  values: Float32Array,
  kept: Uint8Array,
  scratch: Float32Array,
  first: number,
  step: number,
  length: number,
  more: number,
): number {
  const end = first + length * step;
  let free = 0;
  for (let i = first; i < end; i += step) if (!kept[i]) scratch[free++] = Math.abs(values[i]!);
  const take = Math.min(more, free);
  if (take === 0) return 0;
  const cut = take < free ? kthLargest(scratch, free, take) : -1;
  let ties = take;
  for (let i = first; i < end; i += step) if (!kept[i] && Math.abs(values[i]!) > cut) ties--;
  for (let i = first; i < end; i += step) {
    if (kept[i]) continue;
    const size = Math.abs(values[i]!);
    if (size > cut || (size === cut && ties-- > 0)) kept[i] = 1;
  }
  return take;
}
