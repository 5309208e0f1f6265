/** The timed engine computes the same, counts calls and work, and its parts add up. */
import { expect, it } from "vitest";
import type { Engine } from "../../src/engine/engine.ts";
import { LapSum, Profiler } from "../../src/engine/profile.ts";
import { ReferenceEngine } from "../../src/engine/reference.ts";
import { createEngine } from "../../src/engine/select.ts";
import { Model } from "../../src/model/model.ts";
import { initParams } from "../../src/model/names.ts";
import { modelOf, resolveTrainConfig, stepConfigOf } from "../../src/train/config.ts";
import { Stepper } from "../../src/train/step.ts";

const config = resolveTrainConfig([{ model: { width: 32, contextLength: 12, layers: 2 }, training: { batch: 2 } }]);
const tokens = { batch: 2, length: 12 };
const ids = Int32Array.from({ length: 24 }, (_, i) => (7 * i) % 40);

function stepper(engine: Engine): Stepper {
  const model = modelOf(config, 40);
  return new Stepper(new Model(engine, { config: model, params: initParams(model, 0) }), stepConfigOf(config));
}

it.each(["reference", "auto"] as const)("on the %s engine", async (engine) => {
  const open = async () => (await createEngine({ engine })).engine;
  const plain = stepper(await open());
  const profiler = new Profiler(await open());
  const timed = stepper(profiler.engine);
  const sum = new LapSum();
  for (let i = 0; i < 3; i++) {
    profiler.lap();
    expect(timed.step(i, ids, ids, tokens)).toEqual(plain.step(i, ids, ids, tokens));
    sum.add(profiler.lap());
  }
  const { steps, stepMs, jsMs, jsShare, ops } = sum.report();
  expect(steps).toBe(3);
  expect(ops.reduce((total, op) => total + op.ms, jsMs)).toBeCloseTo(stepMs);
  expect(jsMs / stepMs).toBeCloseTo(jsShare);
  const calls = new Map(ops.map((op) => [op.op, op.calls]));
  expect(calls.get("linear c_fc.weight")).toBe(2);
  expect(calls.get("adam c_proj.weight")).toBe(4);
  expect(ops.map((op) => op.op)).not.toContain("activation");
  const products = ops.filter((op) => op.gflops !== null).map((op) => op.op);
  expect(products).toEqual(expect.arrayContaining(["unembedLoss", "attention", "linearBackwardWeight c_fc.weight"]));
});

it("starts each lap anew", () => {
  const profiler = new Profiler(new ReferenceEngine());
  profiler.engine.clearGrads([]);
  expect(profiler.lap().ops.get("clearGrads")?.calls).toBe(1);
  expect(profiler.lap().ops.size).toBe(0);
});
