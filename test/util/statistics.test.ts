/** Geometric means and bootstrap intervals: known values, laws, and the coverage that an interval promises. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Rng } from "../../src/util/rng.ts";
import { bootstrapInterval, geometricMean } from "../../src/util/statistics.ts";

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
