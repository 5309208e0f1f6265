/** Means, medians, rank correlations and bootstrap intervals: known values, laws, and the coverage that an interval promises. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Rng } from "../../src/util/rng.ts";
import {
  bootstrapInterval,
  geometricMean,
  mean,
  meanInterval,
  meanIntervalOfDraws,
  median,
  rankCorrelation,
} from "../../src/util/statistics.ts";

const positives = fc.array(fc.double({ min: 1e-3, max: 1e3, noNaN: true }), { minLength: 2, maxLength: 12 });

describe("geometricMean", () => {
  it.each([
    [[4], 4],
    [[2, 8], 4],
    [[1, 10, 100], 10],
    [[0, 5], 0],
  ])("of %j is %d", (values, mean) => {
    expect(geometricMean(values)).toBeCloseTo(mean, 12);
  });

  it("has no value for nothing", () => {
    expect(() => geometricMean([])).toThrow();
  });
});

describe("bootstrapInterval", () => {
  it("holds the mean, lies within the values, scales with them, and is the same for the same seed", () => {
    fc.assert(
      fc.property(positives, fc.nat(), (values, seed) => {
        const [low, high] = bootstrapInterval(values, Rng.of(seed))!;
        const mean = geometricMean(values);
        const slack = 1 + 1e-9;
        expect(low).toBeLessThanOrEqual(mean * slack);
        expect(high * slack).toBeGreaterThanOrEqual(mean);
        expect(low * slack).toBeGreaterThanOrEqual(Math.min(...values));
        expect(high).toBeLessThanOrEqual(Math.max(...values) * slack);
        const scaled = bootstrapInterval(
          values.map((x) => 3 * x),
          Rng.of(seed),
        )!;
        expect(scaled[0]).toBeCloseTo(3 * low, 6);
        expect(bootstrapInterval(values, Rng.of(seed))).toEqual([low, high]);
      }),
      { seed: 5, numRuns: 10 },
    );
  });

  it("is a point when all values are equal, and none for one value", () => {
    const [low, high] = bootstrapInterval([7, 7, 7], Rng.of(0))!;
    expect([low, high]).toEqual([expect.closeTo(7, 9), expect.closeTo(7, 9)]);
    expect(bootstrapInterval([7], Rng.of(0))).toBeUndefined();
  });

  it("is about 1.96 standard errors on either side for many values", () => {
    const rng = Rng.of("values");
    const logs = Array.from({ length: 200 }, () => rng.normal());
    const mean = logs.reduce((a, b) => a + b) / 200;
    const error = Math.sqrt(logs.reduce((sum, x) => sum + (x - mean) ** 2, 0)) / 200;
    const [low, high] = bootstrapInterval(logs.map(Math.exp), Rng.of(1))!.map(Math.log) as [number, number];
    for (const [end, sign] of [
      [low, -1],
      [high, 1],
    ] as const) {
      expect(Math.abs((end - mean) / error - sign * 1.96)).toBeLessThan(0.1);
    }
  });
});

const numbers = fc.array(fc.integer({ min: -5, max: 5 }), { minLength: 2, maxLength: 30 });

describe("mean and median", () => {
  it.each([
    [[3], 3, 3],
    [[1, 2, 6], 3, 2],
    [[9, 1, 2, 4], 4, 2],
    [[-1, 1], 0, -1],
  ])("of %j are %d and, the lower middle, %d", (values, average, middle) => {
    expect(mean(values)).toBe(average);
    expect(median(values)).toBe(middle);
  });

  it("have no value for nothing", () => {
    expect([mean([]), median([])]).toEqual([Number.NaN, Number.NaN]);
  });
});

describe("meanIntervalOfDraws", () => {
  it("is wider where draws differ more than their values do, and that of one draw is that of its values", () => {
    const values = Array.from({ length: 40 }, (_, i) => Math.sin(i));
    const shifted = (by: number): number[] => values.map((x) => x + by);
    const one = meanInterval(values, Rng.of(0));
    expect(meanIntervalOfDraws([values], Rng.of(0))).toEqual(one);
    const same = meanIntervalOfDraws([values, values, values], Rng.of(0));
    expect(same.value).toBeCloseTo(one.value, 12);
    expect(same.high - same.low).toBeCloseTo(one.high - one.low, 1);
    const { value, low, high } = meanIntervalOfDraws([shifted(-5), values, shifted(5)], Rng.of(0));
    expect(value).toBeCloseTo(one.value, 12);
    expect(low).toBeLessThan(value - 2);
    expect(high).toBeGreaterThan(value + 2);
  });
});

describe("meanInterval", () => {
  it("has the mean in it, lies within the values, moves with them, and is the same for the same seed", () => {
    fc.assert(
      fc.property(numbers, fc.nat(), (values, seed) => {
        const { value, low, high } = meanInterval(values, Rng.of(seed));
        expect(value).toBeCloseTo(mean(values), 12);
        expect(low).toBeLessThanOrEqual(value);
        expect(high).toBeGreaterThanOrEqual(value);
        expect(low).toBeGreaterThanOrEqual(Math.min(...values));
        expect(high).toBeLessThanOrEqual(Math.max(...values));
        const moved = meanInterval(
          values.map((x) => 2 * x + 3),
          Rng.of(seed),
        );
        expect(moved.low).toBeCloseTo(2 * low + 3, 9);
        expect(meanInterval(values, Rng.of(seed))).toEqual({ value, low, high });
      }),
      { seed: 5, numRuns: 20 },
    );
  });

  it("of one value is the value", () => {
    expect(meanInterval([4], Rng.of(0))).toEqual({ value: 4, low: 4, high: 4 });
  });

  it("is about 1.96 standard errors on either side for many values", () => {
    const rng = Rng.of("mean interval");
    const values = Array.from({ length: 400 }, () => 5 + rng.normal());
    const { value, low, high } = meanInterval(values, Rng.of(1));
    const error = Math.sqrt(values.reduce((sum, x) => sum + (x - value) ** 2, 0)) / 400;
    expect(Math.abs((value - low) / error - 1.96)).toBeLessThan(0.2);
    expect(Math.abs((high - value) / error - 1.96)).toBeLessThan(0.2);
  });
});

describe("rankCorrelation", () => {
  it.each([
    [[1, 2, 3], [10, 20, 90], 1],
    [[1, 2, 3], [3, 2, -1], -1],
    // Spearman by hand: differences of ranks 1, -1, 0, 0 of four.
    [[1, 2, 3, 4], [2, 1, 3, 4], 0.8],
    // Ranks 0, 1.5, 1.5, 3 against 0, 1, 2, 3: 4.5 / sqrt(4.5 * 5).
    [[1, 5, 5, 9], [1, 2, 3, 4], 4.5 / Math.sqrt(4.5 * 5)],
    [[7, 7, 7], [1, 2, 3], 0],
    [[], [], 0],
    [[1], [2], 0],
  ])("of %j and %j is %d", (a, b, expected) => {
    expect(rankCorrelation(a, b)).toBeCloseTo(expected, 12);
  });

  it("is Pearson's of mean ranks, of either sign, the same both ways, and blind to how values are spaced", () => {
    const pairs = fc.array(fc.tuple(fc.integer({ min: -4, max: 4 }), fc.integer({ min: -4, max: 4 })), {
      minLength: 2,
    });
    fc.assert(
      fc.property(pairs, (list) => {
        const [a, b] = [list.map(([x]) => x), list.map(([, y]) => y)];
        // Rank: how many are smaller, and half of the others that are equal.
        const ranks = (values: number[]) =>
          values.map((x) => values.filter((y) => y < x).length + (values.filter((y) => y === x).length - 1) / 2);
        const [p, q] = [ranks(a), ranks(b)];
        const center = (values: number[]) => values.map((x) => x - mean(values));
        const [u, v] = [center(p), center(q)];
        const dot = (x: number[], y: number[]) => x.reduce((sum, xi, i) => sum + xi * y[i]!, 0);
        const scale = Math.sqrt(dot(u, u) * dot(v, v));
        const r = rankCorrelation(a, b);
        expect(r).toBeCloseTo(scale > 0 ? dot(u, v) / scale : 0, 9);
        expect(rankCorrelation(b, a)).toBeCloseTo(r, 12);
        const stretched = a.map((x) => x ** 3 - 7);
        expect(rankCorrelation(stretched, b)).toBeCloseTo(r, 12);
        const turned = a.map((x) => -x);
        expect(rankCorrelation(turned, b)).toBeCloseTo(-r, 12);
      }),
      { seed: 5, numRuns: 200 },
    );
  });
});
