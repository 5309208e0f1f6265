/**
 * Learned masks (Gao et al. 2025, A.5): one parameter tau a node, node kept where tau > 0; the backward pass takes the
 * derivative of sigmoid(tau / temperature) for that of the step. Objective: task loss + kCoef * kept nodes. AdamW with
 * gradient clipping and linear decay; tau is clamped to [-1, 1] after every step.
 */
import type { PairBatch } from "../data/pairs.ts";
import type { SiteSpec } from "../model/sites.ts";
import { Rng } from "../util/rng.ts";
import type { MaskGradient } from "./masked-model.ts";
import { Tau, type TauConfig } from "./tau.ts";

export interface MaskConfig extends TauConfig {
  readonly kCoef: number;
  readonly temperature: number;
  readonly initNoise: number;
  readonly initBias: number;
  /** Whether query and key of one channel are one decision: both kept or both ablated. Still two nodes in the count. */
  readonly tiedQk: boolean;
}

/** The centre of the paper's hyperparameter search (its Table 2). */
export const PAPER_MASKS: MaskConfig = {
  steps: 1000,
  lr: 3e-3,
  beta1: 0.9,
  beta2: 0.95,
  eps: 1e-8,
  weightDecay: 1e-3,
  kCoef: 1e-4,
  temperature: 1,
  initNoise: 1e-2,
  initBias: 1e-1,
  gradClip: 1,
  warmupFrac: 0.05,
  tiedQk: false,
};

export interface MaskStep {
  readonly taskLoss: number;
  readonly objective: number;
  /** Kept nodes before the update. */
  readonly kept: number;
  readonly lr: number;
  readonly gradNorm: number;
}

export class LearnedMasks {
  private readonly model: MaskGradient;
  private readonly config: MaskConfig;
  private readonly parameters: Tau;
  /** Flat indices of tied queries and keys; the query's entry decides. */
  private readonly tied: readonly (readonly [query: number, key: number])[];

  /** Starts at bias + noise * normal, or at the given `tau`. */
  constructor(model: MaskGradient, config: MaskConfig, seed: number, tau?: Float32Array) {
    this.model = model;
    this.config = config;
    const rng = Rng.of(seed, "masks");
    const drawn = () =>
      Float32Array.from({ length: model.nodes }, () => config.initBias + config.initNoise * rng.normal());
    this.parameters = new Tau(tau ?? drawn(), config);
    this.tied = config.tiedQk ? queryKeyPairs(model.specs) : [];
    this.tie();
  }

  /** One entry a node, flat site order. */
  get tau(): Float32Array {
    return this.parameters.values;
  }

  private tie(): void {
    for (const [query, key] of this.tied) this.tau[key] = this.tau[query]!;
  }

  /** Objective and its gradient with respect to tau at the current point; that of a tied pair is at the query. */
  objective(batch: PairBatch): { taskLoss: number; objective: number; kept: number; gradient: Float32Array } {
    const { kCoef, temperature } = this.config;
    const mask = this.tau.map((t) => (t > 0 ? 1 : 0));
    const { loss, gradient } = this.model.gradient(batch, mask);
    const kept = mask.reduce((sum, x) => sum + x, 0);
    for (let n = 0; n < gradient.length; n++) {
      const s = 1 / (1 + Math.exp(-this.tau[n]! / temperature));
      gradient[n] = ((gradient[n]! + kCoef) * s * (1 - s)) / temperature;
    }
    for (const [query, key] of this.tied) {
      gradient[query]! += gradient[key]!;
      gradient[key] = 0;
    }
    return { taskLoss: loss, objective: loss + kCoef * kept, kept, gradient };
  }

  step(batch: PairBatch): MaskStep {
    const { taskLoss, objective, kept, gradient } = this.objective(batch);
    const updated = this.parameters.step(gradient);
    this.tie();
    return { taskLoss, objective, kept, ...updated };
  }
}

/** Flat indices of the query and the key of each channel of each head. */
export function queryKeyPairs(specs: readonly SiteSpec[]): [query: number, key: number][] {
  return specs
    .filter(({ site }) => site === "attn.q")
    .flatMap((q) => {
      const k = specs.find(({ site, layer }) => site === "attn.k" && layer === q.layer)!;
      return Array.from({ length: q.width }, (_, c): [number, number] => [q.offset + c, k.offset + c]);
    });
}

/** Indices of the values from largest to smallest; ties: lowest index. */
export function descending(values: ArrayLike<number>): Int32Array {
  return Int32Array.from({ length: values.length }, (_, i) => i).sort((a, b) => values[b]! - values[a]! || a - b);
}

/** A mask of the first k nodes of an order. */
export function topNodes(order: Int32Array, k: number): Uint8Array {
  const mask = new Uint8Array(order.length);
  for (let i = 0; i < k; i++) mask[order[i]!] = 1;
  return mask;
}

/**
 * The paper's discretisation: integer bisection on [0, n] for a k whose top-k nodes reach the target. The loss need not
 * fall with k, so this k is not the smallest in general. Undefined when all nodes miss the target.
 */
export function bisectSize(
  order: Int32Array,
  lossOf: (mask: Uint8Array) => number,
  target: number,
): { k: number | undefined; trace: [k: number, loss: number][] } {
  const trace: [number, number][] = [];
  const loss = (k: number): number => {
    const value = lossOf(topNodes(order, k));
    trace.push([k, value]);
    return value;
  };
  let lo = 0;
  let hi = order.length;
  if (loss(hi) > target) return { k: undefined, trace };
  while (hi - lo > 1) {
    const mid = Math.floor((lo + hi) / 2);
    if (loss(mid) <= target) hi = mid;
    else lo = mid;
  }
  return { k: hi, trace };
}
