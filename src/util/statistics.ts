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

/** Resamples of a mean: the interval's ends are good to a twentieth of its width. */
const MEAN_RESAMPLES = 1000;

export interface MeanInterval {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

/** A mean and its percentile bootstrap interval, as `bootstrapInterval`; of one value the interval is the value. */
export function meanInterval(values: ArrayLike<number>, rng: Rng): MeanInterval {
  return meanIntervalOfDraws([values], rng);
}

/**
 * The mean over several draws of the same values, as many in each; resamples are of draws and of values (the pigeonhole
 * bootstrap, Owen 2007), so that the interval says how far other draws might have moved the mean too.
 */
export function meanIntervalOfDraws(draws: readonly ArrayLike<number>[], rng: Rng): MeanInterval {
  const [d, n] = [draws.length, draws[0]!.length];
  const value = mean(draws.map(mean));
  const means = Float64Array.from({ length: MEAN_RESAMPLES }, () => {
    const chosen = d === 1 ? draws : draws.map(() => rng.pick(draws));
    let sum = 0;
    for (let i = 0; i < n; i++) {
      const at = rng.int(0, n - 1);
      for (const draw of chosen) sum += draw[at]!;
    }
    return sum / (n * d);
  }).sort();
  const outside = Math.floor((MEAN_RESAMPLES * (1 - LEVEL)) / 2);
  return { value, low: means[outside]!, high: means[MEAN_RESAMPLES - 1 - outside]! };
}

/** Arithmetic mean; NaN of nothing. */
export function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return sum / values.length;
}

/** Lower middle value; NaN of nothing. */
export function median(values: ArrayLike<number>): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[(sorted.length - 1) >> 1] ?? Number.NaN;
}

/** Spearman's rank correlation, ties at their mean rank; 0 where one side does not vary. */
export function rankCorrelation(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const [x, y] = [ranks(a), ranks(b)];
  const middle = (x.length - 1) / 2;
  let [xy, xx, yy] = [0, 0, 0];
  for (let i = 0; i < x.length; i++) {
    const [dx, dy] = [x[i]! - middle, y[i]! - middle];
    xy += dx * dy;
    xx += dx * dx;
    yy += dy * dy;
  }
  return xx > 0 && yy > 0 ? xy / Math.sqrt(xx * yy) : 0;
}

function ranks(values: ArrayLike<number>): Float64Array {
  const order = Array.from({ length: values.length }, (_, i) => i).sort((i, j) => values[i]! - values[j]!);
  const rank = new Float64Array(values.length);
  for (let from = 0; from < order.length; ) {
    let to = from;
    while (to + 1 < order.length && values[order[to + 1]!] === values[order[from]!]) to++;
    for (let i = from; i <= to; i++) rank[order[i]!] = (from + to) / 2;
    from = to + 1;
  }
  return rank;
}
