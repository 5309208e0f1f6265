/** Gradients of all weights only every n steps: what is exact about it, that moments stay consistent, and resuming. */
import { describe, expect, it } from "vitest";
import type { Engine } from "../../src/engine/engine.ts";
import { Tape } from "../../src/engine/tape.ts";
import { nextTokenLoss } from "../../src/model/forward.ts";
import { Model } from "../../src/model/model.ts";
import { initParams } from "../../src/model/names.ts";
import { modelOf, resolveTrainConfig, stepConfigOf } from "../../src/train/config.ts";
import { type StepConfig, Stepper, type StepperState } from "../../src/train/step.ts";
import { readMoments, writeMoments } from "../../src/train/trainer.ts";
import { Rng } from "../../src/util/rng.ts";
import { expectClose, expectSameBytes } from "../support/close.ts";
import { engines } from "../support/engines.ts";

const V = 23;
const TOKENS = { batch: 3, length: 20 };
const config = resolveTrainConfig([{ model: { width: 24, headWidth: 8, contextLength: 20, neurons: 40, sink: true } }]);
const modelConfig = modelOf(config, V);
const stepConfig: StepConfig = { ...stepConfigOf(config), steps: 40, lr: 0.02, density: 0.1, minPerNeuron: 1 };

function batch(i: number): { ids: Int32Array; targets: Int32Array } {
  const rng = Rng.of("batch", i);
  const draw = () => Int32Array.from({ length: TOKENS.batch * TOKENS.length }, () => rng.int(0, V - 1));
  return { ids: draw(), targets: draw() };
}

function modelOn(engine: Engine): Model {
  return new Model(engine, { config: modelConfig, params: initParams(modelConfig, 1) });
}

function run(stepper: Stepper, from: number, to: number): { loss: number; gradRms: number }[] {
  return Array.from({ length: to - from }, (_, k) => {
    const { ids, targets } = batch(from + k);
    const { loss, gradRms } = stepper.step(from + k, ids, targets, TOKENS);
    return { loss, gradRms };
  });
}

/** Gradients of a batch by parameter name. */
function gradients(model: Model, wants: "weights" | "kept"): Map<string, Float32Array> {
  const { engine } = model;
  const { ids, targets } = batch(99);
  engine.clearGrads([...model.params.values()]);
  const tape = new Tape(engine, wants);
  nextTokenLoss(tape, model, ids, targets, TOKENS);
  tape.backward();
  tape.free();
  return new Map([...model.params].map(([name, p]) => [name, engine.readParam(p, "grad")]));
}

function expectSameModel(a: Model, b: Model): void {
  for (const [name, values] of a.store().params) expectSameBytes(b.store().params.get(name)!, values, name);
  const [x, y] = [readMoments(a), readMoments(b)];
  for (const field of ["m", "v"] as const)
    for (const [name, values] of x[field]) expectSameBytes(y[field].get(name)!, values, `${field} of ${name}`);
}

describe.each(engines)("$name", ({ open }) => {
  it("gives nonzero weights the gradients of a dense step, and the others none", () => {
    const engine = open();
    const model = modelOn(engine);
    run(new Stepper(model, { ...stepConfig, steps: 10 }), 0, 8);
    const all = gradients(model, "weights");
    const kept = gradients(model, "kept");
    for (const [name, p] of model.params) {
      const values = engine.readParam(p, "value");
      const expected = all.get(name)!.map((g, i) => (p.kind === "sparse" && values[i] === 0 ? 0 : g));
      expectClose(kept.get(name)!, expected, name, { abs: 1e-6, rel: 1e-4 });
    }
    engine.dispose();
  });

  it("is exact with n = 1", () => {
    const [absent, one] = [undefined, 1].map((denseGradEvery) => {
      const model = modelOn(open());
      return { model, steps: run(new Stepper(model, { ...stepConfig, denseGradEvery }), 0, 12) };
    });
    expect(one!.steps).toEqual(absent!.steps);
    expectSameModel(one!.model, absent!.model);
  });

  it("lets weights regrow in dense steps only, and ends at the density asked for", () => {
    const engine = open();
    const model = modelOn(engine);
    const stepper = new Stepper(model, { ...stepConfig, lr: 0.1, annealEnd: 0.2, denseGradEvery: 4 });
    const weight = model.sparse("transformer.h.0.mlp.c_fc.weight");
    let grown = 0;
    for (let i = 0; i < 40; i++) {
      const before = engine.readParam(weight, "value");
      run(stepper, i, i + 1);
      const regrown = engine.readParam(weight, "value").some((w, at) => w !== 0 && before[at] === 0);
      if (i % 4 !== 0 && i > 8) expect(regrown, `step ${i}`).toBe(false);
      else if (regrown) grown++;
    }
    expect(grown).toBeGreaterThan(0);
    expect(engine.nonzeros(weight)).toBe(Math.floor(0.1 * 40 * 24));
    engine.dispose();
  });

  it("keeps bias-corrected moments those of the gradient, whatever was kept when", () => {
    const engine = open();
    const [rows, cols] = [12, 17];
    const p = engine.sparse("p", [rows, cols], "row");
    const rng = Rng.of("moments");
    const draw = () => Float32Array.from({ length: rows * cols }, () => rng.normal());
    const grad = draw();
    engine.writeParam(p, "value", draw());
    const [beta1, beta2, n] = [0.9, 0.95, 4];
    for (let i = 0, last = -1; i < 14; i++) {
      const dense = i % n === 0;
      const [correction1, correction2] = [1 - beta1 ** (i + 1), 1 - beta2 ** (i + 1)];
      const back = (beta: number, correction: number) => (1 - beta ** (last + 1)) / correction;
      engine.clearGrads([p]);
      engine.writeParam(p, "grad", grad);
      const common = { gradScale: 1, lr: 0.02, beta1, beta2, eps: 0.1, correction1, correction2, weightDecay: 0 };
      const keep = { keep: 150 - 9 * i, protect: "row", minPerNeuron: 2 } as const;
      const dropped = { droppedM: back(beta1, correction1), droppedV: back(beta2, correction2) };
      engine.adam(p, { ...common, ...keep, gap: dense ? i - last : 1, keptOnly: dense ? undefined : dropped });
      if (dense) last = i;
      // Kept entries are at this step, the others at the last dense one.
      const [value, m, v] = (["value", "m", "v"] as const).map((field) => engine.readParam(p, field));
      const done = value!.map((w) => (w !== 0 || dense ? i : last) + 1);
      expectClose(
        m!.map((x, at) => x / (1 - beta1 ** done[at]!)),
        grad,
        `m after step ${i}`,
        { abs: 1e-5, rel: 1e-4 },
      );
      expectClose(
        v!.map((x, at) => x / (1 - beta2 ** done[at]!)),
        grad.map((g) => g * g),
        `v after step ${i}`,
        { abs: 1e-5, rel: 1e-4 },
      );
    }
    engine.dispose();
  });

  it.each([8, 10])("goes on after step %i as if it had not stopped", (stop) => {
    const every = { ...stepConfig, denseGradEvery: 4 };
    const whole = modelOn(open());
    const expected = run(new Stepper(whole, every), 0, 16);
    const first = modelOn(open());
    const stopped = new Stepper(first, every);
    run(stopped, 0, stop);
    const state = JSON.parse(JSON.stringify(stopped.state())) as StepperState;
    const second = new Model(open(), first.store());
    writeMoments(second, readMoments(first));
    const steps = run(new Stepper(second, every, undefined, state), stop, 16);
    expect(steps).toEqual(expected.slice(stop));
    expectSameModel(second, whole);
  });
});
