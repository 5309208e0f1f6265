/** One attention head of a circuit: kept channels vary from token to token, ablated ones are constants. */
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
  if (keyOnly.length === 0 && both.length === 0) {
    uniform(tree, head.sink, constant, queryOnly, values, outputs, total, rows);
    return;
  }
  const scores = new Float64Array(tree.longest);
  const { path, pathStart, position } = tree;
  for (let i = 0; i < rows.length; i++) {
    const n = rows[i]!;
    const start = pathStart[n]!;
    const length = position[n]! + 1;
    let fromQuery = constant;
    for (const { column, factor } of queryOnly) fromQuery += column[n]! * factor;
    let best = head.sink ?? Number.NEGATIVE_INFINITY;
    for (let t = 0; t < length; t++) {
      const s = path[start + t]!;
      let score = fromQuery;
      for (let j = 0; j < keyOnly.length; j++) score += keyOnly[j]!.column[s]! * keyOnly[j]!.factor;
      for (let j = 0; j < both.length; j++) score += both[j]!.q[n]! * both[j]!.k[s]! * scale;
      scores[t] = score;
      if (score > best) best = score;
    }
    let denominator = head.sink === null ? 0 : Math.exp(head.sink - best);
    let sum = 0;
    for (let t = 0; t < length; t++) {
      const e = Math.exp(scores[t]! - best);
      scores[t] = e;
      sum += e;
    }
    denominator += sum;
    for (let j = 0; j < values.length; j++) {
      const value = values[j]!;
      let y = 0;
      for (let t = 0; t < length; t++) y += scores[t]! * value[path[start + t]!]!;
      outputs[j]![n] = y / denominator;
    }
    if (total) total[n] = sum / denominator;
  }
}

/** No key varies: every earlier token gets the same weight, so outputs are means along the prefix. */
function uniform(
  tree: PrefixTree,
  sink: number | null,
  constant: number,
  queryOnly: readonly { column: Float32Array; factor: number }[],
  values: readonly Float32Array[],
  outputs: readonly Float32Array[],
  total: Float32Array | undefined,
  rows: Int32Array,
): void {
  const share = new Float64Array(rows.length);
  for (let i = 0; i < rows.length; i++) {
    const n = rows[i]!;
    let score = constant;
    for (const { column, factor } of queryOnly) score += column[n]! * factor;
    const count = tree.position[n]! + 1;
    share[i] = 1 / (count + (sink === null ? 0 : Math.exp(sink - score)));
    if (total) total[n] = count * share[i]!;
  }
  const sums = new Float64Array(tree.size);
  for (let j = 0; j < values.length; j++) {
    const value = values[j]!;
    for (let n = 0; n < tree.size; n++) {
      const parent = tree.parent[n]!;
      sums[n] = value[n]! + (parent < 0 ? 0 : sums[parent]!);
    }
    for (let i = 0; i < rows.length; i++) outputs[j]![rows[i]!] = sums[rows[i]!]! * share[i]!;
  }
}
