/** The unit cases written by an independent PyTorch reference: projection, AbsTopK with ties, GELU, and epsilons. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { keepLargest } from "../../src/engine/reference/projection.ts";
import { expectClose } from "../support/close.ts";
import { engines } from "../support/engines.ts";

interface UnitCases {
  weight_topk: { shape: number[]; w: number[]; k: number; protect: "row" | "col" | null; j: number; keep: number[] }[];
  abs_topk: { x: number[][]; k: number; y: number[][]; mask?: number[][] }[];
  gelu: { x: number[]; y: number[] };
  rms_eps: number;
  layernorm_eps: number;
}

const folder = process.env.FIXTURES_DIR ?? join(import.meta.dirname, "../fixtures/parity");
const unit = JSON.parse(readFileSync(join(folder, "unit.json"), "utf8")) as UnitCases;

describe("weight_topk", () => {
  for (const [i, { shape, w, k, protect, j, keep }] of unit.weight_topk.entries()) {
    const name = `case ${i}: [${shape}] k ${k} ${protect ?? "unprotected"} j ${j}`;
    test(`keepLargest, ${name}`, () => {
      expect(Array.from(keepLargest(Float32Array.from(w), shape, k, protect, j))).toEqual(keep);
    });
    for (const subject of engines) {
      test(`${subject.name}, ${name}`, () => {
        const engine = subject.open();
        const p = shape.length === 2 ? engine.sparse("w", [shape[0]!, shape[1]!], protect) : engine.dense("w", shape);
        engine.writeParam(p, "value", Float32Array.from(w));
        const still = {
          gradScale: 1,
          lr: 0,
          beta1: 0,
          beta2: 0,
          eps: 1,
          correction1: 1,
          correction2: 1,
          weightDecay: 0,
        };
        engine.adam(p, { ...still, keep: k, protect, minPerNeuron: shape.length === 2 ? j : 0 });
        const expected = Float32Array.from(w, (value, e) => (keep[e] ? value : 0));
        expect(Array.from(engine.readParam(p, "value"), (x) => x + 0)).toEqual(Array.from(expected, (x) => x + 0));
        engine.dispose();
      });
    }
  }
});

describe.each(engines)("$name", ({ open }) => {
  for (const [i, { x, k, y, mask }] of unit.abs_topk.entries()) {
    test(`abs_topk case ${i}: k ${k}`, () => {
      const engine = open();
      const tokens = { batch: 1, length: x.length };
      const width = x[0]!.length;
      const input = engine.activation(tokens, width);
      const out = engine.activation(tokens, width);
      const kept = engine.keptSet(tokens, width);
      engine.write(input, Float32Array.from(x.flat()));
      engine.absTopK(input, k, out, kept);
      // + 0 turns -0 into 0: the sign of a zeroed entry is nobody's business.
      expect(Array.from(engine.read(out), (value) => value + 0)).toEqual(
        Array.from(Float32Array.from(y.flat()), (v) => v + 0),
      );
      if (mask) expect(Array.from(engine.readKept(kept))).toEqual(mask.flat());
      engine.dispose();
    });
  }

  test("gelu", () => {
    const engine = open();
    const input = engine.activation({ batch: 1, length: 1 }, unit.gelu.x.length);
    const out = engine.activation({ batch: 1, length: 1 }, unit.gelu.x.length);
    engine.write(input, Float32Array.from(unit.gelu.x));
    engine.nonlinearity("gelu", input, out);
    // Absolute: the tails of the expected numbers carry float32's cancellation.
    expectClose(engine.read(out), unit.gelu.y, "gelu", { abs: 2e-7, rel: 1e-6 });
    engine.dispose();
  });

  test("norms of almost nothing show their epsilons", () => {
    const engine = open();
    const tokens = { batch: 1, length: 1 };
    const [x, out] = [0, 1].map(() => engine.activation(tokens, 2)) as [never, never];
    const stats = engine.activation(tokens, 2);
    const weight = engine.dense("weight", [2]);
    const size = 1e-6;
    engine.write(x, Float32Array.of(size, -size));
    engine.writeParam(weight, "value", Float32Array.of(1, 1));
    for (const [kind, eps] of [
      ["rms", unit.rms_eps],
      ["layer", unit.layernorm_eps],
    ] as const) {
      engine.norm(kind, x, weight, null, out, stats);
      const expected = size / Math.sqrt(size ** 2 + eps);
      expectClose(engine.read(out), [expected, -expected], kind, { abs: 0, rel: 1e-5 });
    }
    engine.dispose();
  });
});
