/**
 * Engines over many steps: the optimizer with its projection against the reference, the same bytes from the same
 * inputs at any thread count, and memory that stays flat.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { AdamStep, Engine, Param, Protect, SparseParam } from "../../src/engine/engine.ts";
import { ReferenceEngine } from "../../src/engine/reference.ts";
import { Rng } from "../../src/util/rng.ts";
import { expectClose, expectSameBytes } from "../support/close.ts";
import { engines, natives, tensorflows } from "../support/engines.ts";
import { checkProperty } from "../support/property.ts";
import { TinyModel, type TinyShape } from "../support/tiny-model.ts";

const SHAPE: TinyShape = {
  batch: 2,
  length: 37,
  width: 20,
  heads: 3,
  headWidth: 7,
  neurons: 50,
  vocabulary: 29,
  layers: 2,
  density: 0.5,
};

function train(engine: Engine, steps: number, shape = SHAPE): { losses: number[]; model: TinyModel } {
  const model = new TinyModel(engine, shape);
  const losses: number[] = [];
  for (let i = 0; i < steps; i++) losses.push(model.train(model.batch(i), 1 - (0.9 * i) / steps));
  return { losses, model };
}

function bytesOf(engine: Engine, model: TinyModel): Float32Array[] {
  return model.params.flatMap((p) => (["value", "m", "v"] as const).map((field) => engine.readParam(p, field)));
}

const stepArbitrary = fc.record({
  seed: fc.nat(),
  rows: fc.integer({ min: 1, max: 40 }),
  cols: fc.integer({ min: 1, max: 40 }),
  kind: fc.constantFrom("sparse" as const, "matrix" as const, "vector" as const),
  protect: fc.constantFrom<Protect>("row", "col", null),
  minPerNeuron: fc.oneof(fc.integer({ min: 0, max: 5 }), fc.constantFrom(16, 17, 64)),
  keeps: fc.array(fc.oneof(fc.constantFrom(0, 1), fc.double({ min: 0, max: 1, noNaN: true })), {
    minLength: 1,
    maxLength: 6,
  }),
  ties: fc.boolean(),
});

for (const subject of [...natives, ...tensorflows]) {
  test(`${subject.name}: adam, projection and decay agree with the reference`, () => {
    const engine = subject.open();
    // TensorFlow.js adds up in float32.
    const sumTolerance = { abs: 0, rel: tensorflows.includes(subject) ? 1e-5 : 1e-6 };
    checkProperty(stepArbitrary, 60, ({ seed, rows, cols, kind, protect, minPerNeuron, keeps, ties }) => {
      const rng = Rng.of("adam", seed);
      const oracle = new ReferenceEngine();
      const make = (e: Engine): Param => {
        if (kind === "sparse") return e.sparse("p", [rows, cols], protect);
        return e.dense("p", kind === "matrix" ? [rows, cols] : [rows * cols]);
      };
      const both = [engine, oracle].map((e) => ({ e, p: make(e) }));
      const size = rows * cols;
      const draw = () => Float32Array.from({ length: size }, () => (ties ? rng.int(-3, 3) / 4 : rng.normal()));
      const start = draw();
      for (const { e, p } of both) e.writeParam(p, "value", start);
      for (const [i, fraction] of keeps.entries()) {
        const step: AdamStep = {
          gradScale: 0.5 + rng.float(),
          lr: ties && rng.bool() ? 0 : 0.1,
          beta1: 0.9,
          beta2: 0.95,
          eps: 0.1,
          correction1: 1 - 0.9 ** (i + 1),
          correction2: 1 - 0.95 ** (i + 1),
          weightDecay: rng.bool() ? 0.1 : 0,
          // All entries, more than all, or some.
          keep: rng.bool(0.1) ? undefined : rng.bool(0.1) ? size + 3 : Math.floor(fraction * size),
          protect: kind === "sparse" ? protect : null,
          minPerNeuron: kind === "sparse" ? minPerNeuron : 0,
          gap: kind === "sparse" ? rng.int(1, 3) : 1,
          keptOnly: kind === "sparse" && rng.bool(0.4) ? { droppedM: 0.5, droppedV: 0.25 } : undefined,
        };
        const grad = rng.bool(0.2) ? null : draw();
        for (const { e, p } of both) {
          e.clearGrads([p]);
          if (grad) e.writeParam(p, "grad", grad);
          e.adam(p, step);
        }
        const [actual, expected] = both.map(({ e, p }) => e.readParam(p, "value")) as [Float32Array, Float32Array];
        const pattern = (values: Float32Array) => values.map((value) => (value === 0 ? 0 : 1));
        expectSameBytes(pattern(actual), pattern(expected), `kept entries after step ${i}`);
        expect(engine.nonzeros(both[0]!.p)).toBe(oracle.nonzeros(both[1]!.p));
        for (const field of ["value", "m", "v"] as const) {
          const [a, b] = both.map(({ e, p }) => e.readParam(p, field)) as [Float32Array, Float32Array];
          expectClose(a, b, `${field} after step ${i}`, { abs: 1e-6, rel: 1e-5 });
          // From the same bytes again, so that rounding does not add up to another choice between near equals.
          engine.writeParam(both[0]!.p, field, b);
        }
        if (kind === "sparse") {
          const kept = both.map(({ e, p }) => e.keptGradSumSquares(p as SparseParam));
          expectClose([kept[0]!], [kept[1]!], "sum of squares at nonzero entries", sumTolerance);
        }
        const sums = both.map(({ e, p }) => e.gradSumSquares([p]));
        expectClose([sums[0]!], [sums[1]!], "sum of squares", sumTolerance);
      }
    });
    engine.dispose();
  });

  test(`${subject.name}: twelve training steps follow the reference`, () => {
    const expected = train(new ReferenceEngine({ poison: true }), 12);
    const engine = subject.open();
    const actual = train(engine, 12);
    expectClose(actual.losses, expected.losses, "losses", { abs: 2e-3, rel: 0 });
    engine.dispose();
  });

  test.runIf(natives.includes(subject))(`${subject.name}: the same bytes on one thread and on two`, () => {
    const shape: TinyShape = { ...SHAPE, batch: 3, length: 100, width: 70, neurons: 130, vocabulary: 150 };
    const [one, two] = [1, 2].map((threads) => {
      const engine = subject.open({ threads });
      expect(engine.info.threads).toBe(threads);
      const { losses, model } = train(engine, 6, shape);
      const bytes = bytesOf(engine, model);
      engine.dispose();
      return { losses, bytes };
    });
    expect(two!.losses).toEqual(one!.losses);
    for (const [i, bytes] of one!.bytes.entries()) expectSameBytes(two!.bytes[i]!, bytes, `parameter array ${i}`);
  });
}

for (const subject of engines) {
  describe(subject.name, () => {
    test("two runs give the same bytes and learn", () => {
      const [first, second] = [0, 1].map(() => {
        const engine = subject.open();
        const { losses, model } = train(engine, 30);
        const bytes = bytesOf(engine, model);
        engine.dispose();
        return { losses, bytes };
      });
      expect(second!.losses).toEqual(first!.losses);
      for (const [i, bytes] of first!.bytes.entries()) expectSameBytes(second!.bytes[i]!, bytes, `array ${i}`);
      expect(first!.losses.at(-1)!).toBeLessThan(first!.losses[0]! - 0.2);
    });

    test("memory is flat over a thousand steps", () => {
      const engine = subject.open();
      const shape: TinyShape = {
        ...SHAPE,
        batch: 2,
        length: 16,
        width: 8,
        heads: 2,
        headWidth: 4,
        neurons: 16,
        layers: 1,
      };
      const model = new TinyModel(engine, shape);
      const batch = model.batch(0);
      for (let i = 0; i < 200; i++) model.train(batch, 0.25);
      const held = engine.memoryBytes();
      const resident = process.memoryUsage().rss;
      for (let i = 0; i < 800; i++) {
        model.train(batch, 0.25);
        expect(engine.memoryBytes()).toBe(held);
      }
      // TensorFlow.js makes objects for every tensor, and its heap settles at some 35 MiB more.
      const most = tensorflows.includes(subject) ? 48 : 24;
      expect((process.memoryUsage().rss - resident) / 2 ** 20, "MiB of growth").toBeLessThan(most);
      engine.dispose();
    });

    test("gradients replace after clearing and add afterwards; moments start at zero", () => {
      const engine = subject.open();
      const p = engine.dense("p", [3]);
      const sum = () => Array.from(engine.readParam(p, "grad"));
      expect([sum(), Array.from(engine.readParam(p, "m")), Array.from(engine.readParam(p, "v"))]).toEqual([
        [0, 0, 0],
        [0, 0, 0],
        [0, 0, 0],
      ]);
      const x = engine.activation({ batch: 1, length: 2 }, 3);
      engine.write(x, Float32Array.of(1, 2, 3, 10, 20, 30));
      engine.biasBackward(x, p);
      expect(sum()).toEqual([11, 22, 33]);
      engine.biasBackward(x, p);
      expect(sum()).toEqual([22, 44, 66]);
      expect(engine.gradSumSquares([p])).toBe(22 ** 2 + 44 ** 2 + 66 ** 2);
      engine.clearGrads([p]);
      expect(sum()).toEqual([0, 0, 0]);
      expect(engine.gradSumSquares([p])).toBe(0);
      engine.biasBackward(x, p);
      expect(sum()).toEqual([11, 22, 33]);
      engine.dispose();
    });
  });
}
