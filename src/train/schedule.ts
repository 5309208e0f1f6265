/**
 * Schedules of sparse training (Gao et al. 2025, 2.1 and A.2): how dense the weights are at a step, and how fast they
 * learn. Step i of n counts from 0.
 */

export interface Schedule {
  /** n */
  readonly steps: number;
  /** Peak learning rate. */
  readonly lr: number;
  /** Fraction of nonzero entries of each matrix at the end. */
  readonly density: number;
  /** linear: in the density; exponential: in its logarithm, which softens the last steps of annealing. */
  readonly anneal: "linear" | "exponential";
  /** Where annealing starts and ends, as fractions of n. */
  readonly annealStart: number;
  readonly annealEnd: number;
  readonly warmupFrac: number;
  /** Multiply the rate by sqrt(density / density now), so that it is proportional to 1/sqrt(L0). */
  readonly lrDensityScaling: boolean;
}

/** Fraction of entries that each matrix keeps after step i. */
export function densityAt(s: Schedule, i: number): number {
  const start = s.annealStart * s.steps;
  const end = s.annealEnd * s.steps;
  const t = end > start ? Math.min(1, Math.max(0, (i - start) / (end - start))) : i >= start ? 1 : 0;
  return s.anneal === "linear" ? 1 + (s.density - 1) * t : s.density ** t;
}

/** Whether the weights are as sparse after step i as they will be. */
export function isAnnealed(s: Schedule, i: number): boolean {
  return s.density === 1 || i >= s.annealEnd * s.steps;
}

/** "Sharkfin": a short warmup, then linear decay to 0, scaled by the density. */
export function lrAt(s: Schedule, i: number): number {
  const warm = Math.floor(s.warmupFrac * s.steps);
  const shape = i < warm ? i / warm : Math.min(1, 1 - (i - warm) / (s.steps - warm));
  return s.lr * shape * (s.lrDensityScaling ? Math.sqrt(s.density / densityAt(s, i)) : 1);
}
