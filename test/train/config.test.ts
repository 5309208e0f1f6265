/** Configuration, schedules and the gradient scale of training. */
import * as path from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ReferenceEngine } from "../../src/engine/reference.ts";
import { Model } from "../../src/model/model.ts";
import { initParams } from "../../src/model/names.ts";
import { modelOf, resolveTrainConfig, settingKeys, stepConfigOf, TRAIN_DEFAULTS } from "../../src/train/config.ts";
import { densityAt, isAnnealed, lrAt, type Schedule } from "../../src/train/schedule.ts";
import { Stepper } from "../../src/train/step.ts";
import { SparseError } from "../../src/util/errors.ts";

function refusal(layers: Parameters<typeof resolveTrainConfig>[0]): SparseError {
  try {
    resolveTrainConfig(layers);
  } catch (error) {
    if (error instanceof SparseError) return error;
    throw error;
  }
  throw new Error("was accepted");
}

describe("resolveTrainConfig", () => {
  it("lets later layers win and keeps the rest", () => {
    const config = resolveTrainConfig([{ training: { lr: 0.5, steps: 7 } }, { training: { lr: 0.25 } }]);
    expect(config.training).toEqual({ ...TRAIN_DEFAULTS.training, lr: 0.25, steps: 7 });
    expect(config.model).toEqual(TRAIN_DEFAULTS.model);
  });

  it("reads back what it resolved", () => {
    const config = resolveTrainConfig([{ seed: 3, data: { weights: { quote: 1, assign: 2 } } }]);
    expect(resolveTrainConfig([JSON.parse(JSON.stringify(config))])).toEqual(config);
  });

  it("makes paths absolute however they are given", () => {
    const { data } = resolveTrainConfig([{ data: { corpus: ["src", "/a.txt"], tokenizer: "t.json" } }]);
    expect([...data.corpus, data.tokenizer]).toEqual([path.resolve("src"), "/a.txt", path.resolve("t.json")]);
    expect(resolveTrainConfig([{ data: { tokenizer: "bpe" } }]).data.tokenizer).toBe("bpe");
  });

  it("names the nearest setting", () => {
    const error = refusal([{ training: { densty: 0.1 } } as never]);
    expect([error.exitCode, error.code]).toEqual([2, "unknown-setting"]);
    expect(error.hint).toContain("training.density");
  });

  it.each([
    [{ training: { density: 0 } }, "training.density"],
    [{ training: { steps: 1.5 } }, "training.steps"],
    [{ model: { width: 60 } }, "model.width"],
    [{ model: { positions: "learned-channels" as const } }, "positionChannels"],
    [{ training: { annealStart: 0.9, annealEnd: 0.1 } }, "annealEnd"],
    [{ data: { profile: "qoutes" } }, "qoutes"],
  ])("refuses %j", (layer, named) => {
    const error = refusal([layer]);
    expect(error.exitCode).toBe(2);
    expect(error.message).toContain(named);
    expect(error.hint).toBeTruthy();
  });

  it("lists every setting by its dotted key", () => {
    const flat = (value: object, path: string): string[] =>
      Object.entries(value).flatMap(([key, v]) =>
        v !== null && typeof v === "object" && !Array.isArray(v) ? flat(v, `${path}${key}.`) : [`${path}${key}`],
      );
    expect(settingKeys().sort()).toEqual(flat(TRAIN_DEFAULTS, "").sort());
  });

  it("limits j by what the density leaves a neuron", () => {
    const j = (density: number, width: number) =>
      stepConfigOf(resolveTrainConfig([{ model: { width }, training: { density } }])).minPerNeuron;
    expect([j(1 / 4, 64), j(1 / 32, 64), j(1 / 128, 64)]).toEqual([4, 2, 1]);
  });
});

describe("schedules", () => {
  const schedules = fc.record({
    steps: fc.integer({ min: 1, max: 2000 }),
    lr: fc.double({ min: 1e-4, max: 1, noNaN: true }),
    density: fc.double({ min: 1e-3, max: 1, noNaN: true }),
    anneal: fc.constantFrom("linear" as const, "exponential" as const),
    annealStart: fc.double({ min: 0, max: 0.3, noNaN: true }),
    annealEnd: fc.double({ min: 0.3, max: 1, noNaN: true }),
    warmupFrac: fc.double({ min: 0, max: 0.2, noNaN: true }),
    lrDensityScaling: fc.boolean(),
  });

  it("anneal from dense to the target and never back", () => {
    fc.assert(
      fc.property(schedules, (s: Schedule) => {
        let before = 1;
        for (let i = 0; i < s.steps; i++) {
          const d = densityAt(s, i);
          if (d > before + 1e-12 || d < s.density - 1e-12) return false;
          before = d;
        }
        return Math.abs(densityAt(s, s.steps) - s.density) < 1e-12;
      }),
      { seed: 2, numRuns: 50 },
    );
  });

  it("are annealed from the step on that has the last density", () => {
    fc.assert(
      fc.property(schedules, (s: Schedule) => {
        for (let i = 0; i < s.steps; i++) {
          const above = densityAt(s, i) - s.density;
          if (isAnnealed(s, i)) expect(above).toBeCloseTo(0, 12);
          else if (s.density < 0.9) expect(above).toBeGreaterThan(0);
        }
      }),
      { seed: 2, numRuns: 50 },
    );
  });

  it("keep the rate between 0 and its peak", () => {
    fc.assert(
      fc.property(schedules, fc.nat(3000), (s: Schedule, i) => {
        const lr = lrAt(s, i % s.steps);
        return lr >= 0 && lr <= s.lr * (1 + 1e-12);
      }),
      { seed: 3 },
    );
  });

  it("hold the rate down while the weights are denser than they will be", () => {
    const s: Schedule = { ...stepConfigOf(TRAIN_DEFAULTS), steps: 100, density: 1 / 16, lr: 1, warmupFrac: 0 };
    expect(lrAt({ ...s, annealStart: 0.5, annealEnd: 0.6 }, 0)).toBeCloseTo(1 / 4, 12);
  });
});

describe("Stepper", () => {
  const config = resolveTrainConfig([{ model: { width: 16, headWidth: 8, contextLength: 8, neurons: 24 } }]);
  const modelConfig = modelOf(config, 11);
  const ids = Int32Array.from({ length: 16 }, (_, i) => (i * 7) % 11);
  const targets = Int32Array.from({ length: 16 }, (_, i) => (i * 3 + 1) % 11);

  function run(steps: number): { model: Model; losses: number[] } {
    const model = new Model(new ReferenceEngine(), { config: modelConfig, params: initParams(modelConfig, 1) });
    const stepper = new Stepper(model, { ...stepConfigOf(config), steps: 40, density: 0.25 });
    const losses = Array.from({ length: steps }, (_, i) => stepper.step(i, ids, targets, { batch: 2, length: 8 }).loss);
    return { model, losses };
  }

  it("learns, and ends at the density asked for", () => {
    const { model, losses } = run(40);
    expect(losses[39]!).toBeLessThan(losses[0]! - 0.5);
    const wte = model.sparse("transformer.wte.weight");
    expect(model.engine.nonzeros(wte)).toBe(Math.floor(0.25 * 11 * 16));
  });

  it("leaves the weights alone when the loss is not finite", () => {
    const { model } = run(3);
    const before = model.store();
    const stepper = new Stepper(model, { ...stepConfigOf(config), steps: 40, density: 0.25 });
    const bias = model.dense("final_logits_bias");
    model.engine.writeParam(bias, "value", new Float32Array(11).fill(Number.NaN));
    expect(stepper.step(3, ids, targets, { batch: 2, length: 8 }).loss).toBeNaN();
    model.engine.writeParam(bias, "value", before.params.get("final_logits_bias")!);
    expect(model.store()).toEqual(before);
  });
});
