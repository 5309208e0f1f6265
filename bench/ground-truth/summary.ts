/** What the results of a method come to, over all cases. */
import { median } from "../alternate.ts";
import type { TruthResult } from "./measure.ts";
import { METHODS, type Method } from "./methods.ts";

export interface TruthSummary {
  readonly method: Method;
  readonly cases: number;
  /** Cases in which the method ends with no more nodes and edges than were planted. */
  readonly plantedOrSmaller: number;
  /** Cases in which, besides, all that it found was planted. */
  readonly inside: number;
  /** Means over the cases without noise; null when there are none. */
  readonly cleanNodeAuroc: number | null;
  readonly cleanEdgeAuroc: number | null;
  readonly medianSeconds: number;
}

export function summarize(results: readonly TruthResult[]): TruthSummary[] {
  return METHODS.flatMap((method) => {
    const own = results.filter((r) => r.method === method);
    if (own.length === 0) return [];
    const clean = own.filter((r) => r.noise === 0);
    const within = own.filter((r) => r.plantedOrSmaller);
    return {
      method,
      cases: own.length,
      plantedOrSmaller: within.length,
      inside: within.filter((r) => r.nodePrecision === 1 && r.edgePrecision === 1).length,
      cleanNodeAuroc: mean(clean.map((r) => r.nodeAuroc)),
      cleanEdgeAuroc: mean(clean.map((r) => r.edgeAuroc)),
      medianSeconds: median(own.map((r) => r.seconds)),
    };
  });
}

/** A method that found nothing has ranked nothing: as good as chance. */
function mean(values: readonly (number | null)[]): number | null {
  return values.length === 0 ? null : values.reduce<number>((sum, x) => sum + (x ?? 0.5), 0) / values.length;
}
