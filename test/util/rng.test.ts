import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { nearest } from "../../src/util/nearest.ts";
import { hash32, Rng } from "../../src/util/rng.ts";

describe("Rng", () => {
  it("gives the same numbers for the same key, others for another", () => {
    const draw = (...key: (string | number)[]) =>
      Array.from(
        { length: 5 },
        (
          (rng) => () =>
            rng.uint32()
        )(Rng.of(...key)),
      );
    expect(draw("a", 1)).toEqual(draw("a", 1));
    expect(draw("a", 1)).not.toEqual(draw("a", 2));
    expect(draw("a", 12)).not.toEqual(draw("a1", 2));
  });

  it("goes on from a stored state", () => {
    const rng = Rng.of("state");
    for (let i = 0; i < 7; i++) rng.uint32();
    const copy = Rng.fromState(rng.state());
    expect([copy.uint32(), copy.float()]).toEqual([rng.uint32(), rng.float()]);
  });

  it("draws normals of mean 0 and variance 1", () => {
    const rng = Rng.of("normal");
    const values = Array.from({ length: 20_000 }, () => rng.normal());
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    const variance = values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length;
    expect(Math.abs(mean)).toBeLessThan(0.03);
    expect(Math.abs(variance - 1)).toBeLessThan(0.04);
  });

  it("stays within the bounds of an integer range and reaches both ends", () => {
    fc.assert(
      fc.property(fc.integer({ min: -5, max: 5 }), fc.integer({ min: 0, max: 4 }), fc.string(), (lo, span, key) => {
        const rng = Rng.of(key);
        const seen = new Set(Array.from({ length: 200 }, () => rng.int(lo, lo + span)));
        return seen.size === span + 1 && Math.min(...seen) === lo && Math.max(...seen) === lo + span;
      }),
      { seed: 1 },
    );
  });

  it("shuffles without losing anything, and picks by weight", () => {
    const rng = Rng.of("shuffle");
    expect(rng.shuffle([1, 2, 3, 4]).sort()).toEqual([1, 2, 3, 4]);
    const counts = { a: 0, b: 0, never: 0 };
    for (let i = 0; i < 4000; i++) counts[rng.weighted({ a: 3, b: 1, never: 0 })]++;
    expect(counts.never).toBe(0);
    expect(counts.a / counts.b).toBeGreaterThan(2.5);
    expect(counts.a / counts.b).toBeLessThan(3.6);
  });

  it("hashes text to 32 bits, the same every time", () => {
    expect(hash32("circuit")).toBe(hash32("circuit"));
    expect(hash32("circuit")).not.toBe(hash32("circuits"));
  });
});

describe("nearest", () => {
  it.each([
    ["qoutes", ["quotes", "binding"], "quotes"],
    ["--densty", ["--seed", "--density"], "--density"],
    ["SVG", ["dot", "svg"], "svg"],
  ])("finds the name meant by %s", (typed, names, expected) => {
    expect(nearest(typed, names)).toBe(expected);
  });

  it("has nothing to offer without names", () => {
    expect(nearest("x", [])).toBeUndefined();
  });
});
