/** What a method of the benchmark is given and what it returns. */
import type { Model } from "../../src/model/model.ts";
import type { Ablation } from "../../src/prune/ablation.ts";
import type { GroundTruth } from "./generate.ts";

export interface Problem {
  readonly truth: Pick<GroundTruth, "pairs" | "wiring" | "nodes">;
  readonly model: Model;
  readonly means: Float32Array;
  /** Task loss to reach, nats. */
  readonly target: number;
  readonly seed: number;
  /** Steps of learned masks. */
  readonly maskSteps: number;
}

export interface Finding {
  /** One byte a node, flat site order. */
  readonly kept: Uint8Array;
  /** One a node, flat site order; highest for what belongs to the circuit most. */
  readonly scores: Float64Array;
}

export function ablationOf({ means }: Pick<Problem, "means">): Ablation {
  return { kind: "mean", draws: [means], frozenNorm: false };
}
