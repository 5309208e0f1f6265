/** Laws that hold of every engine by themselves, whatever the reference says. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { AdamStep, Protect } from "../../src/engine/engine.ts";
import { keepLargest } from "../../src/engine/reference/projection.ts";
import { Rng } from "../../src/util/rng.ts";
import { expectSameBytes } from "../support/close.ts";
import { engines } from "../support/engines.ts";
import { checkProperty, drawValues, tokensArbitrary, withEngine } from "../support/property.ts";

const RUNS = 25;

/** Leaves the value as it is and projects. */
const projectOnly = (keep: number, protect: Protect, minPerNeuron: number): AdamStep => ({
  gradScale: 1,
  lr: 0,
  beta1: 0.9,
  beta2: 0.95,
  eps: 0.1,
  correction1: 0.1,
  correction2: 0.05,
  weightDecay: 0,
  keep,
  protect,
  minPerNeuron,
});

const matrixArbitrary = fc.record({
  seed: fc.nat(),
  rows: fc.integer({ min: 1, max: 30 }),
  cols: fc.integer({ min: 1, max: 30 }),
  fraction: fc.double({ min: 0, max: 1, noNaN: true }),
  protect: fc.constantFrom<Protect>("row", "col", null),
  j: fc.integer({ min: 0, max: 5 }),
});

/** The obvious projection, by sorting: the oracle of the oracle. */
function keepBySorting(values: Float32Array, cols: number, keep: number, protect: Protect, j: number) {
  const kept = new Uint8Array(values.length);
  const order = Array.from(values.keys()).sort((a, b) => Math.abs(values[b]!) - Math.abs(values[a]!) || a - b);
  const seen = new Map<number, number>();
  let count = 0;
  for (const i of order) {
    if (!protect) break;
    const line = protect === "row" ? Math.floor(i / cols) : i % cols;
    const taken = seen.get(line) ?? 0;
    if (taken < j) {
      kept[i] = 1;
      count++;
      seen.set(line, taken + 1);
    }
  }
  for (const i of order) {
    if (count >= keep) break;
    if (!kept[i]) {
      kept[i] = 1;
      count++;
    }
  }
  return kept;
}

test("keepLargest is what sorting gives, ties included", () => {
  checkProperty(fc.tuple(matrixArbitrary, fc.boolean()), 300, ([{ seed, rows, cols, fraction, protect, j }, ties]) => {
    const values = drawValues(seed, rows * cols, ties);
    const keep = Math.floor(fraction * rows * cols);
    const expected = keepBySorting(values, cols, keep, protect, j);
    expect(keepLargest(values, [rows, cols], keep, protect, j)).toEqual(expected);
  });
});

for (const subject of engines) {
  describe(subject.name, () => {
    test("projection keeps exactly k, or the protected set, and is idempotent", () => {
      withEngine(subject.open, (engine) => {
        checkProperty(matrixArbitrary, RUNS, ({ seed, rows, cols, fraction, protect, j }) => {
          const size = rows * cols;
          const keep = Math.floor(fraction * size);
          const p = engine.sparse("p", [rows, cols], protect);
          engine.writeParam(p, "value", drawValues(seed, size));
          const step = projectOnly(keep, protect, j);
          engine.adam(p, step);
          const guaranteed =
            protect === "row" ? rows * Math.min(j, cols) : protect === "col" ? cols * Math.min(j, rows) : 0;
          expect(engine.nonzeros(p)).toBe(Math.max(keep, guaranteed));
          const once = engine.readParam(p, "value");
          engine.adam(p, step);
          expectSameBytes(engine.readParam(p, "value"), once, "second projection");
        });
      });
    });

    test("a weight reads back as it was written", () => {
      withEngine(subject.open, (engine) => {
        checkProperty(matrixArbitrary, RUNS, ({ seed, rows, cols, fraction, protect }) => {
          const rng = Rng.of("zeros", seed);
          const values = drawValues(seed, rows * cols).map((value) => (rng.bool(fraction) ? value : 0));
          const p = engine.sparse("p", [rows, cols], protect);
          engine.writeParam(p, "value", values);
          expectSameBytes(engine.readParam(p, "value"), values, "value");
          expect(engine.nonzeros(p)).toBe(values.filter((value) => value !== 0).length);
        });
      });
    });

    test("AbsTopK keeps exactly k of each token, none smaller than one that it drops", () => {
      withEngine(subject.open, (engine) => {
        checkProperty(fc.tuple(tokensArbitrary, fc.integer({ min: 0, max: 75 })), RUNS, ([shape, k]) => {
          const { seed, batch, length, width, ties } = shape;
          const values = drawValues(seed, batch * length * width, ties);
          const x = engine.activation({ batch, length }, width);
          const kept = engine.keptSet({ batch, length }, width);
          engine.write(x, values);
          engine.absTopK(x, k, x, kept);
          const bits = engine.readKept(kept);
          const out = engine.read(x);
          for (let n = 0; n < batch * length; n++) {
            let count = 0;
            let smallest = Number.POSITIVE_INFINITY;
            let largest = 0;
            for (let i = n * width; i < (n + 1) * width; i++) {
              const size = Math.abs(values[i]!);
              if (bits[i]) {
                count++;
                smallest = Math.min(smallest, size);
                expect(out[i]).toBe(values[i]);
              } else {
                largest = Math.max(largest, size);
                expect(Math.abs(out[i]!)).toBe(0);
              }
            }
            expect(count).toBe(Math.min(k, width));
            expect(smallest).toBeGreaterThanOrEqual(largest);
          }
          engine.release(x);
          engine.release(kept);
        });
      });
    });

    test("a mask of ones is the identity, one of zeros gives the mean", () => {
      withEngine(subject.open, (engine) => {
        checkProperty(tokensArbitrary, RUNS, ({ seed, batch, length, width }) => {
          const values = drawValues(seed, batch * length * width);
          const means = drawValues(seed + 1, width);
          const x = engine.activation({ batch, length }, width);
          const out = engine.activation({ batch, length }, width);
          const mask = engine.dense("mask", [width]);
          const mean = engine.dense("mean", [width]);
          engine.write(x, values);
          engine.writeParam(mean, "value", means);
          engine.writeParam(mask, "value", new Float32Array(width).fill(1));
          engine.mask(x, mask, mean, out);
          expectSameBytes(engine.read(out), values, "masked by ones");
          engine.writeParam(mask, "value", new Float32Array(width));
          engine.mask(x, mask, mean, out);
          expectSameBytes(
            engine.read(out),
            values.map((_, i) => means[i % width]!),
            "masked by zeros",
          );
          for (const handle of [x, out]) engine.release(handle);
        });
      });
    });
  });
}
