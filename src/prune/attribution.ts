/**
 * Node attributions by integrated gradients of the mask (as EAP-IG does for edges: Hanna et al. 2024): the gradient of
 * the task loss with respect to each node's mask, averaged while all masks go from 0 (ablated) to 1 (full model).
 */
import { setImmediate } from "node:timers/promises";
import type { PairBatch } from "../data/pairs.ts";
import { descending } from "./learned-masks.ts";
import type { MaskGradient } from "./masked-model.ts";
import { chunks } from "./pair-scores.ts";

export interface AttributionOptions {
  readonly signal?: AbortSignal | undefined;
  readonly progress?: ((done: number, of: number) => void) | undefined;
}

/**
 * Orders of nodes by |mean gradient|, most important first: one for each number of steps. 1 step is the gradient of
 * the full model; more steps go evenly from 0 to 1, the end included. Points that several share are computed once.
 * When the signal is set it returns no orders.
 */
export async function attributionOrders(
  model: MaskGradient,
  batch: PairBatch,
  steps: readonly number[],
  { signal, progress }: AttributionOptions = {},
): Promise<Int32Array[]> {
  const points = new Map<number, Float64Array>();
  for (const m of steps) for (let i = 1; i <= m; i++) points.set(i / m, new Float64Array(model.nodes));
  let done = 0;
  for (const [level, sum] of points) {
    const mask = new Float32Array(model.nodes).fill(level);
    for (const chunk of chunks(batch)) {
      const { gradient } = model.gradient(chunk, mask);
      const share = chunk.rows / batch.rows;
      for (let n = 0; n < sum.length; n++) sum[n]! += share * gradient[n]!;
      await setImmediate();
      if (signal?.aborted) return [];
    }
    progress?.(++done, points.size);
  }
  return steps.map((m) => {
    const mean = new Float64Array(model.nodes);
    for (let i = 1; i <= m; i++) {
      const gradient = points.get(i / m)!;
      for (let n = 0; n < mean.length; n++) mean[n]! += gradient[n]! / m;
    }
    return descending(mean.map(Math.abs));
  });
}
