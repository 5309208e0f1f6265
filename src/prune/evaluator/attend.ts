/** One attention head of a circuit: kept channels vary from token to token, ablated ones are constants. */
import { exponential } from "./exponential.ts";
import type { PrefixTree } from "./prefix-tree.ts";

export interface HeadInputs {
  /** First channel of the head, and how many. */
  readonly first: number;
  readonly width: number;
  /** Kept queries and keys by channel, true values. */
  readonly q: ReadonlyMap<number, Float32Array>;
  readonly k: ReadonlyMap<number, Float32Array>;
  /** Ablation values by channel. */
  readonly qFill: Float32Array;
  readonly kFill: Float32Array;
  readonly sink: number | null;
}

/**
 * outputs[i][n] = sum over s of attention[n, s] * values[i][s], for the tokens in `rows`; total[n] = sum of attention,
 * below 1 where there is a sink.
 */
export function attend(
  tree: PrefixTree,
  head: HeadInputs,
  values: readonly Float32Array[],
  outputs: readonly Float32Array[],
  total: Float32Array | undefined,
  rows: Int32Array,
): void {
  const scale = 1 / Math.sqrt(head.width);
  /** Score = constant + fromQuery[t] + fromKey[s] + sum of products of kept pairs. */
  let constant = 0;
  const queryOnly: { column: Float32Array; factor: number }[] = [];
  const keyOnly: { column: Float32Array; factor: number }[] = [];
  const both: { q: Float32Array; k: Float32Array }[] = [];
  for (let c = head.first; c < head.first + head.width; c++) {
    const q = head.q.get(c);
    const k = head.k.get(c);
    if (q && k) both.push({ q, k });
    else if (q) queryOnly.push({ column: q, factor: head.kFill[c]! * scale });
    else if (k) keyOnly.push({ column: k, factor: head.qFill[c]! * scale });
    else constant += head.qFill[c]! * head.kFill[c]! * scale;
  }
  const fromKey = new Float64Array(tree.size);
  for (const { column, factor } of keyOnly) for (let n = 0; n < fromKey.length; n++) fromKey[n]! += factor * column[n]!;
  if (both.length === 0 && spread(fromKey) < SEPARABLE) {
    separable(tree, head.sink, constant, queryOnly, fromKey, values, outputs, total, rows);
    return;
  }
  const scores = new Float64Array(tree.longest);
  const { path, pathStart, position } = tree;
  for (let i = 0; i < rows.length; i++) {
    const n = rows[i]!;
    const start = pathStart[n]!;
    const length = position[n]! + 1;
    for (let t = 0; t < length; t++) scores[t] = fromKey[path[start + t]!]!;
    for (let j = 0; j < both.length; j++) {
      const { q, k } = both[j]!;
      const factor = q[n]! * scale;
      for (let t = 0; t < length; t++) scores[t]! += factor * k[path[start + t]!]!;
    }
    // What all keys share only matters beside a sink.
    let sink = Number.NEGATIVE_INFINITY;
    if (head.sink !== null) {
      sink = head.sink - constant;
      for (const { column, factor } of queryOnly) sink -= column[n]! * factor;
    }
    let best = sink;
    for (let t = 0; t < length; t++) if (scores[t]! > best) best = scores[t]!;
    let sum = 0;
    for (let t = 0; t < length; t++) {
      const e = exponential(scores[t]! - best);
      scores[t] = e;
      sum += e;
    }
    const denominator = sum + (head.sink === null ? 0 : exponential(sink - best));
    for (let j = 0; j < values.length; j++) {
      const value = values[j]!;
      let y = 0;
      for (let t = 0; t < length; t++) y += scores[t]! * value[path[start + t]!]!;
      outputs[j]![n] = y / denominator;
    }
    if (total) total[n] = sum / denominator;
  }
}

/** Widest range of key scores whose exponentials can be added up without underflow. */
const SEPARABLE = 300;

function spread(scores: Float64Array): number {
  let lo = Number.POSITIVE_INFINITY;
  let hi = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < scores.length; i++) {
    if (scores[i]! < lo) lo = scores[i]!;
    if (scores[i]! > hi) hi = scores[i]!;
  }
  return hi - lo;
}

/**
 * No pair of a query and a key varies together: a token's weight is the same for all that attend to it, so outputs are
 * weighted means along the prefix, each from the one before it.
 */
function separable(
  tree: PrefixTree,
  sink: number | null,
  constant: number,
  queryOnly: readonly { column: Float32Array; factor: number }[],
  fromKey: Float64Array,
  values: readonly Float32Array[],
  outputs: readonly Float32Array[],
  total: Float32Array | undefined,
  rows: Int32Array,
): void {
  const { parent, size } = tree;
  let highest = Number.NEGATIVE_INFINITY;
  for (let n = 0; n < size; n++) if (fromKey[n]! > highest) highest = fromKey[n]!;
  const weight = fromKey.map((x) => exponential(x - highest));
  const sums = new Float64Array(size);
  const addUp = (value: Float32Array | undefined): void => {
    for (let n = 0; n < size; n++) {
      const before = parent[n]!;
      sums[n] = weight[n]! * (value ? value[n]! : 1) + (before < 0 ? 0 : sums[before]!);
    }
  };
  addUp(undefined);
  const share = new Float64Array(rows.length);
  for (let i = 0; i < rows.length; i++) {
    const n = rows[i]!;
    let score = constant + highest;
    for (const { column, factor } of queryOnly) score += column[n]! * factor;
    share[i] = 1 / (sums[n]! + (sink === null ? 0 : exponential(sink - score)));
    if (total) total[n] = sums[n]! * share[i]!;
  }
  for (let j = 0; j < values.length; j++) {
    addUp(values[j]!);
    for (let i = 0; i < rows.length; i++) outputs[j]![rows[i]!] = sums[rows[i]!]! * share[i]!;
  }
}
