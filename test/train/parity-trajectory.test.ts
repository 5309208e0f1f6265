/** Whole training runs against PyTorch's: loss, schedules, nonzeros at each step, weights and moments at the end. */
import { afterAll, describe, expect, it } from "vitest";
import { mapReleaseConfig } from "../../src/model/import/release.ts";
import { Model } from "../../src/model/model.ts";
import { paramSpecs } from "../../src/model/names.ts";
import { Stepper } from "../../src/train/step.ts";
import { engines } from "../support/engines.ts";
import { expectWithin, flatTokens, folders, readJson, readPack, TOLERANCE } from "../support/fixtures.ts";

interface Hyper {
  readonly total_steps: number;
  readonly lr: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly weight_decay: number;
  readonly l0_frac: number;
  readonly warmup_frac: number;
  readonly anneal_start: number;
  readonly anneal_end: number;
  readonly min_per_neuron: number;
  readonly grad_mode: "normalise" | "clip" | "none";
  readonly clip_rms: number;
  readonly sparse_biases: boolean;
  readonly lr_l0_scaling: boolean;
  readonly trained_parameters: string[];
  readonly rules: Record<string, { sparsified: boolean; protect: "row" | "col" | null; weight_decay: boolean }>;
}

interface Step {
  readonly loss: number;
  readonly lr: number;
  readonly l0_frac: number;
  readonly grad_rms: number;
  readonly nnz: Record<string, number>;
}

describe.each(engines)("$name", (engineCase) => {
  const engine = engineCase.open();
  afterAll(() => engine.dispose());

  describe.each(folders("trajectory-"))("%s", (name) => {
    const hyper = readJson<Hyper>(name, "hyper.json");
    const config = mapReleaseConfig(readJson(name, "config.json"), `${name}/config.json`);

    it("sparsifies and decays by the same rules", () => {
      for (const spec of paramSpecs(config)) {
        const rule = hyper.rules[spec.name];
        if (!rule) continue;
        const sparsified = spec.sparsified === "matrix" || (spec.sparsified === "bias" && hyper.sparse_biases);
        expect({ name: spec.name, sparsified, protect: spec.protect, decay: spec.decays }).toEqual({
          name: spec.name,
          sparsified: rule.sparsified,
          protect: rule.protect,
          decay: rule.weight_decay,
        });
      }
    });

    it("follows every step", () => {
      const tokens = readJson<{ shape: number[]; tokens: number[][][] }>(name, "tokens.json").tokens;
      const steps = readJson<Step[]>(name, "steps.json");
      const init = new Map([...readPack(name, "init")].map(([key, t]) => [key, t.values]));
      const model = new Model(engine, { config, params: init });
      const stepper = new Stepper(
        model,
        {
          steps: hyper.total_steps,
          lr: hyper.lr,
          density: hyper.l0_frac,
          anneal: "linear",
          annealStart: hyper.anneal_start,
          annealEnd: hyper.anneal_end,
          warmupFrac: hyper.warmup_frac,
          lrDensityScaling: hyper.lr_l0_scaling,
          beta1: hyper.beta1,
          beta2: hyper.beta2,
          eps: hyper.eps,
          weightDecay: hyper.weight_decay,
          minPerNeuron: hyper.min_per_neuron,
          gradMode: hyper.grad_mode,
          clipRms: hyper.clip_rms,
          sparseBiases: hyper.sparse_biases,
        },
        new Set(hyper.trained_parameters),
      );
      expect(steps.length).toBe(tokens.length);
      for (const [i, expected] of steps.entries()) {
        const rows = tokens[i]!;
        const ids = flatTokens(rows);
        const targets = Int32Array.from(rows.flatMap((row) => [...row.slice(1), -1]));
        const result = stepper.step(i, ids, targets, { batch: rows.length, length: rows[0]!.length });
        expectWithin([result.loss], [expected.loss], TOLERANCE.loss, `loss of step ${i}`);
        expectWithin([result.lr], [expected.lr], TOLERANCE.schedule, `lr of step ${i}`);
        expectWithin([result.density], [expected.l0_frac], TOLERANCE.schedule, `density of step ${i}`);
        expectWithin([result.gradRms], [expected.grad_rms], TOLERANCE.gradient, `gradient RMS of step ${i}`);
        const nonzeros = Object.fromEntries(
          Object.keys(expected.nnz).map((key) => [key, engine.nonzeros(model.params.get(key)!)]),
        );
        expect(nonzeros, `nonzeros after step ${i}`).toEqual(expected.nnz);
      }
      for (const [key, { values }] of readPack(name, "final")) {
        expectWithin(engine.readParam(model.params.get(key)!, "value"), values, TOLERANCE.finalWeight, key);
      }
      for (const [key, { values }] of readPack(name, "adam_final")) {
        const field = key.startsWith("m.") ? "m" : "v";
        const param = model.params.get(key.slice(2))!;
        expectWithin(engine.readParam(param, field), values, TOLERANCE.finalWeight, key);
      }
    });
  });
});
