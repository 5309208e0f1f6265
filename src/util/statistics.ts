/** Summaries of a few positive numbers: their geometric mean, and how far it might have been another. */
import { assert } from "./errors.ts";
import type { Rng } from "./rng.ts";

/** exp of the mean logarithm; 0 when one of the values is 0. There must be at least one. */
export function geometricMean(values: readonly number[]): number {
  assert(values.length > 0, "the mean of no values");
  return rounded(Math.exp(values.reduce((sum, x) => sum + Math.log(x), 0) / values.length));
}

/** Without the last digits, which differ between machines and make 9 of the mean of nines something else. */
function rounded(x: number): number {
  return Number(x.toPrecision(12));
}

const RESAMPLES = 10_000;
const LEVEL = 0.95;

/**
 * Percentile bootstrap interval of the geometric mean of positive values (Efron 1979): the middle 95% of the means of
 * 10,000 samples of as many values, drawn with replacement. Undefined for fewer than two values, which have none.
 */
export function bootstrapInterval(values: readonly number[], rng: Rng): [low: number, high: number] | undefined {
  const n = values.length;
  if (n < 2) return undefined;
  const logs = values.map(Math.log);
  const means = Float64Array.from({ length: RESAMPLES }, () => {
    let sum = 0;
    for (let i = 0; i < n; i++) sum += rng.pick(logs);
    return Math.exp(sum / n);
  }).sort();
  const outside = Math.floor((RESAMPLES * (1 - LEVEL)) / 2);
  return [rounded(means[outside]!), rounded(means[RESAMPLES - 1 - outside]!)];
}
