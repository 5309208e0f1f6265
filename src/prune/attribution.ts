/**
 * Node attributions by integrated gradients of the mask (as EAP-IG does for edges: Hanna et al. 2024): the gradient of
 * the task loss with respect to each node's mask, averaged while all masks go from 0 (ablated) to 1 (full model).
 */
import { setImmediate } from "node:timers/promises";
import type { PairBatch } from "../data/pairs.ts";
import { descending } from "./learned-masks.ts";
import type { MaskedModel } from "./masked-model.ts";

/**
 * |mean gradient| of every node, flat site order. `steps` 1 is the gradient of the full model; more steps go evenly
 * from 0 to 1, the end included.
 */
export async function integratedGradients(model: MaskedModel, batch: PairBatch, steps: number): Promise<Float64Array> {
  const sum = new Float64Array(model.nodes);
  for (let i = 1; i <= steps; i++) {
    const { gradient } = model.gradient(batch, new Float32Array(model.nodes).fill(i / steps));
    for (let n = 0; n < sum.length; n++) sum[n]! += gradient[n]!;
    await setImmediate();
  }
  return sum.map((g) => Math.abs(g) / steps);
}

/** Orders of nodes, most important first, one for each number of steps. */
export async function attributionOrders(
  model: MaskedModel,
  batch: PairBatch,
  steps: readonly number[],
): Promise<Int32Array[]> {
  const orders: Int32Array[] = [];
  for (const m of steps) orders.push(descending(await integratedGradients(model, batch, m)));
  return orders;
}
