/**
 * One suite over every implementation of the ops: each engine against the reference, values and gradients, at sizes
 * that fill no block evenly. Expected numbers come from the reference engine, whose gradients gradients.test.ts holds
 * to finite differences and whose values the parity fixtures hold to PyTorch.
 */
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import type { Engine } from "../../src/engine/engine.ts";
import { ReferenceEngine } from "../../src/engine/reference.ts";
import { expectClose, expectSameBytes } from "../support/close.ts";
import type { Dims } from "../support/draw.ts";
import { absent, type EngineCase, guarded, natives, reference, tensorflows } from "../support/engines.ts";
import { type Evaluation, evaluate } from "../support/evaluate.ts";
import { opCases } from "../support/op-cases.ts";
import { checkProperty } from "../support/property.ts";

/** float32 against float64 sums of some hundred terms. */
const TOLERANCE = { abs: 1e-5, rel: 1e-4 };
const RUNS = 30;
/** Of TensorFlow.js, where a kernel takes milliseconds whatever it does, and of the reference, which is compared with itself. */
const FEW_RUNS = 10;

/** Lengths and widths of heads that the native kernels cut into several tiles; of TensorFlow.js, which has none, the first. */
const TILES = [
  [140, 8],
  [200, 16],
  [300, 24],
  [70, 70],
] as const;

const around = (...sizes: number[]) => fc.constantFrom(...sizes.flatMap((size) => [size - 1, size, size + 1]));

/** Mostly small and odd; sometimes at the edges of vectors (16), token blocks (64), panels (128) and beyond groups (256). */
const dimsArbitrary: fc.Arbitrary<Dims> = fc.record({
  seed: fc.nat(),
  batch: fc.integer({ min: 1, max: 3 }),
  length: fc.oneof(fc.integer({ min: 1, max: 40 }), around(16, 32, 64)),
  width: fc.oneof(fc.integer({ min: 1, max: 40 }), around(16, 64, 128), fc.constant(277)),
  other: fc.oneof(fc.integer({ min: 1, max: 40 }), around(16, 64, 128), fc.constant(277)),
  heads: fc.integer({ min: 1, max: 3 }),
  headWidth: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.constantFrom(16, 32)),
  fraction: fc.oneof(fc.constantFrom(0, 0.25, 1), fc.double({ min: 0, max: 1, noNaN: true })),
});

const optionsArbitrary = fc.record({
  dims: dimsArbitrary,
  style: fc.constantFrom("normal" as const, "ties" as const),
  padded: fc.boolean(),
  alsoDirect: fc.boolean(),
  passes: fc.constantFrom(1, 2),
  wants: fc.constantFrom("weights" as const, "kept" as const),
});

function compare(actual: Evaluation, expected: Evaluation, exact: boolean): void {
  const check = (a: Float32Array[], e: Float32Array[], what: string) => {
    for (let i = 0; i < e.length; i++) {
      if (exact) expectSameBytes(a[i]!.map(positiveZero), e[i]!.map(positiveZero), `${what} ${i}`);
      else expectClose(a[i]!, e[i]!, `${what} ${i}`, TOLERANCE);
    }
  };
  check(actual.outputs, expected.outputs, "output");
  expectClose([actual.loss], [expected.loss], "loss", { abs: 1e-4, rel: 1e-4 });
  check(actual.inputGrads, expected.inputGrads, "gradient of input");
  check(actual.paramGrads, expected.paramGrads, "gradient of parameter");
}

const positiveZero = (x: number) => (x === 0 ? 0 : x);

for (const { name, reason } of absent) test.skip(`${name} is absent: ${reason}`, () => {});

test.runIf(process.env.CI)("CI has the native engine", () => {
  const reasons = absent.map(({ name, reason }) => `${name}: ${reason}`).join("; ");
  const wanted = process.arch === "x64" ? ["native-plain", "native-avx2"] : ["native-plain"];
  expect(
    natives.map(({ name }) => name),
    reasons,
  ).toEqual(expect.arrayContaining(wanted));
});

// The reference itself under the guards: shows that its kernels respect views and write all of their results.
const named = [reference, ...natives, ...tensorflows].map((subject) => [subject.name, subject] as const);
const runsOf = (subject: EngineCase): number => (natives.includes(subject) ? RUNS : FEW_RUNS);

const opened = new Map<EngineCase, Engine>();
const open = (subject: EngineCase): Engine => {
  const engine = opened.get(subject) ?? subject.open();
  opened.set(subject, engine);
  return engine;
};
afterAll(() => {
  for (const engine of opened.values()) engine.dispose();
});

describe.each(opCases)("$name", (op) => {
  /** What the reference gives, by what was drawn: all engines draw the same. */
  const known = new Map<string, Evaluation>();
  afterAll(() => known.clear());

  test.each(named)("%s agrees with the reference", (_, subject) => {
    checkProperty(optionsArbitrary, runsOf(subject), (drawn) => {
      const { dims, style, padded, ...options } = drawn;
      const key = JSON.stringify([dims, style, options]);
      const instance = op.make(dims, style);
      const expected = known.get(key) ?? evaluate(new ReferenceEngine({ poison: true }), instance, options);
      known.set(key, expected);
      compare(evaluate(guarded(open(subject), padded), instance, options), expected, op.exact ?? false);
    });
  });
});

describe("attention over several tiles", () => {
  const known = new Map<string, Evaluation>();
  afterAll(() => known.clear());

  test.each(named)("%s agrees with the reference", (_, subject) => {
    for (const op of opCases.filter(({ name }) => name.startsWith("attention"))) {
      for (const [length, headWidth] of tensorflows.includes(subject) ? TILES.slice(0, 1) : TILES) {
        const dims = { seed: length, batch: 2, length, width: 1, other: 1, heads: 2, headWidth, fraction: 1 };
        const instance = op.make(dims, "normal");
        const key = `${op.name} ${length}`;
        const expected = known.get(key) ?? evaluate(new ReferenceEngine(), instance);
        known.set(key, expected);
        compare(evaluate(guarded(open(subject), true), instance), expected, false);
      }
    }
  });
});

test.each(named)("write, read, fill and slice: %s", (_, subject) => {
  const engine = open(subject);
  checkProperty(dimsArbitrary, runsOf(subject), ({ seed, batch, length, width, other }) => {
    const tokens = { batch, length };
    const x = engine.activation(tokens, width + other);
    const values = Float32Array.from({ length: batch * length * (width + other) }, (_, i) => Math.sin(seed + i));
    engine.write(x, values);
    expectSameBytes(engine.read(x), values, "read");
    const part = engine.slice(x, width, other);
    const columns = (keep: (c: number) => boolean) => values.filter((_, i) => keep(i % (width + other)));
    expectSameBytes(
      engine.read(part),
      columns((c) => c >= width),
      "slice",
    );
    engine.fill(part, 2);
    expect(engine.read(part).every((v) => v === 2)).toBe(true);
    engine.write(part, new Float32Array(batch * length * other).fill(3));
    expectSameBytes(
      engine.read(engine.slice(x, 0, width)),
      columns((c) => c < width),
      "rest",
    );
    engine.release(x);
  });
});
