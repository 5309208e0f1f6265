/**
 * How far kept nodes are from what they carry in the full model, as a loss with gradients: the mean over nodes, weighted by
 * their masks, of 1 - exp(-u), where u is the fraction of a node's variance over the prompts' tokens that is unexplained.
 * For small u that is u, and no node counts as more than 1 (`nodeErrors` has the exact measure, with a cap instead).
 */
import type { PairBatch } from "../data/pairs.ts";
import type { SiteName, SiteSpec } from "../model/sites.ts";

/** Values by site, row-major (tokens, channels): all tokens of a batch, or those that are answered in the last layer. */
export type SiteValues = ReadonlyMap<SiteName, Float32Array>;

export interface ValueLoss {
  readonly loss: number;
  /** d(loss)/d(mask) of the weights alone, flat. */
  readonly ofMask: Float32Array;
  /** d(loss)/d(values) of each site. */
  readonly ofValues: SiteValues;
}

/** Variance that counts as none, by the mean square. */
const NO_VARIANCE = 1e-9;

/** Times `factor`. `values`: of the nodes before they are masked; `full`: the same of the full model. */
export function valueLoss(
  specs: readonly SiteSpec[],
  batch: PairBatch,
  mask: Float32Array,
  { values, full }: { readonly values: SiteValues; readonly full: SiteValues },
  factor: number,
): ValueLoss {
  const weight = mask.reduce((a, b) => a + b, 0) / factor || 1;
  const worth = new Float32Array(mask.length);
  const ofValues = new Map<SiteName, Float32Array>();
  let loss = 0;
  for (const { name, offset, width } of specs) {
    const [x, y] = [values.get(name)!, full.get(name)!];
    const rows = readRows(batch, x.length / width);
    const gradient = new Float32Array(x.length);
    for (let c = 0; c < width; c++) {
      const m = mask[offset + c]!;
      if (m === 0) continue;
      let [sum, squares, error] = [0, 0, 0];
      for (const row of rows) {
        const [a, b] = [x[row * width + c]!, y[row * width + c]!];
        sum += b;
        squares += b * b;
        error += (a - b) ** 2;
      }
      const variance = squares / rows.length - (sum / rows.length) ** 2;
      if (variance <= NO_VARIANCE * (squares / rows.length)) continue;
      const u = error / rows.length / variance;
      const part = 1 - Math.exp(-u);
      loss += (m * part) / weight;
      worth[offset + c] = part;
      const slope = ((m / weight) * Math.exp(-u) * 2) / (rows.length * variance);
      for (const row of rows) gradient[row * width + c] = slope * (x[row * width + c]! - y[row * width + c]!);
    }
    ofValues.set(name, gradient);
  }
  const ofMask = new Float32Array(mask.length);
  for (let n = 0; n < mask.length; n++) if (mask[n]) ofMask[n] = (worth[n]! - loss / factor) / weight;
  return { loss, ofMask, ofValues };
}

/** Rows of a site up to each prompt's answer. */
function readRows(batch: PairBatch, rows: number): number[] {
  if (rows === batch.rows) return Array.from({ length: rows }, (_, row) => row);
  return Array.from({ length: rows }, (_, row) => row).filter(
    (row) => row % batch.length <= batch.last[Math.floor(row / batch.length)]!,
  );
}
