/**
 * Learned masks (Gao et al. 2025, A.5): one parameter tau a node, node kept where tau > 0; the backward pass takes the
 * derivative of sigmoid(tau / temperature) for that of the step. Objective: task loss + kCoef * kept nodes. AdamW with
 * gradient clipping and linear decay; tau is clamped to [-1, 1] after every step.
 */
import type { PairBatch } from "../data/pairs.ts";
import type { SiteSpec } from "../model/sites.ts";
import { Rng } from "../util/rng.ts";
import type { MaskedModel } from "./masked-model.ts";

export interface MaskConfig {
  readonly steps: number;
  readonly lr: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly weightDecay: number;
  readonly kCoef: number;
  readonly temperature: number;
  readonly initNoise: number;
  readonly initBias: number;
  /** Largest norm of the gradient; 0 leaves it. */
  readonly gradClip: number;
  readonly warmupFrac: number;
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
  /** One entry a node, flat site order. */
  readonly tau: Float32Array;
  private readonly model: MaskedModel;
  private readonly config: MaskConfig;
  private readonly m: Float32Array;
  private readonly v: Float32Array;
  /** Flat indices of tied queries and keys; the query's entry decides. */
  private readonly tied: readonly (readonly [query: number, key: number])[];
  private i = 0;

  /** Starts at bias + noise * normal, or at the given `tau`. */
  constructor(model: MaskedModel, config: MaskConfig, seed: number, tau?: Float32Array) {
    this.model = model;
    this.config = config;
    const rng = Rng.of(seed, "masks");
    this.tau =
      tau?.slice() ??
      Float32Array.from({ length: model.nodes }, () => clamp(config.initBias + config.initNoise * rng.normal()));
    this.m = new Float32Array(model.nodes);
    this.v = new Float32Array(model.nodes);
    this.tied = config.tiedQk ? queryKeyPairs(model.specs) : [];
    this.tie();
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
    return { taskLoss, objective, kept, ...this.update(gradient) };
  }

  private update(gradient: Float32Array): { lr: number; gradNorm: number } {
    const c = this.config;
    let squares = 0;
    for (const g of gradient) squares += g * g;
    const gradNorm = Math.sqrt(squares);
    const clip = c.gradClip > 0 ? Math.min(1, c.gradClip / (gradNorm + 1e-6)) : 1;
    const warm = Math.floor(c.warmupFrac * c.steps);
    const lr = c.lr * (this.i < warm ? this.i / warm : 1 - (this.i - warm) / (c.steps - warm));
    const c1 = 1 - c.beta1 ** (this.i + 1);
    const c2 = 1 - c.beta2 ** (this.i + 1);
    for (let n = 0; n < gradient.length; n++) {
      const g = gradient[n]! * clip;
      const m = c.beta1 * this.m[n]! + (1 - c.beta1) * g;
      const v = c.beta2 * this.v[n]! + (1 - c.beta2) * g * g;
      this.m[n] = m;
      this.v[n] = v;
      const decayed = this.tau[n]! * (1 - lr * c.weightDecay);
      this.tau[n] = clamp(decayed - (lr * (m / c1)) / (Math.sqrt(v / c2) + c.eps));
    }
    this.tie();
    this.i++;
    return { lr, gradNorm };
  }
}

function queryKeyPairs(specs: readonly SiteSpec[]): [query: number, key: number][] {
  return specs
    .filter(({ site }) => site === "attn.q")
    .flatMap((q) => {
      const k = specs.find(({ site, layer }) => site === "attn.k" && layer === q.layer)!;
      return Array.from({ length: q.width }, (_, c): [number, number] => [q.offset + c, k.offset + c]);
    });
}

function clamp(x: number): number {
  return Math.max(-1, Math.min(1, x));
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
