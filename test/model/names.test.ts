/** Names, shapes, training rules and initial values against the PyTorch reference. */
import { describe, expect, it } from "vitest";
import { mapReleaseConfig } from "../../src/model/import/release.ts";
import {
  BIGRAM,
  initParams,
  LM_HEAD,
  LOGITS_BIAS,
  paramSpecs,
  shapeSize,
  sinusoidTable,
  WPE,
  WTE,
} from "../../src/model/names.ts";
import type { JsonObject } from "../../src/util/json.ts";
import { folders, readJson } from "../support/fixtures.ts";

interface Hyper {
  sparse_biases: boolean;
  trained_parameters: string[];
  n_trained: number;
  rules: Record<string, { sparsified: boolean; protect: "row" | "col" | null; weight_decay: boolean; numel: number }>;
}

const released = (name: string) => mapReleaseConfig(readJson<JsonObject>(name, "config.json"), name);

const TRAJECTORIES = folders("trajectory-");

it("finds the fixtures", () => {
  expect(TRAJECTORIES.length).toBeGreaterThanOrEqual(3);
});

describe.each(TRAJECTORIES)("%s", (name) => {
  const hyper = readJson<Hyper>(name, "hyper.json");
  // Its positional table is zero and not trained: no positions.
  const specs = paramSpecs({ ...released(name), positions: "none" });
  const trained = specs.filter((s) => s.trained);

  it("trains the parameters that the reference trains, in its order", () => {
    expect(trained.map((s) => s.name)).toEqual(hyper.trained_parameters);
    expect(trained.reduce((n, s) => n + shapeSize(s.shape), 0)).toBe(hyper.n_trained);
  });

  it("has the reference's rules", () => {
    const rules = trained.map((s) => [
      s.name,
      {
        sparsified: s.sparsified === "matrix" || (s.sparsified === "bias" && hyper.sparse_biases),
        protect: s.protect,
        weight_decay: s.decays,
        numel: shapeSize(s.shape),
      },
    ]);
    expect(Object.fromEntries(rules)).toEqual(hyper.rules);
  });

  it("stores the tensors that the reference stores, in its order", () => {
    const { tensors } = readJson<{ tensors: { name: string; shape: number[] }[] }>(name, "init.json");
    expect(paramSpecs(released(name)).map(({ name, shape }) => ({ name, shape }))).toEqual(
      tensors.map(({ name, shape }) => ({ name, shape })),
    );
  });
});

const base = mapReleaseConfig(
  {
    block_size: 12,
    vocab_size: 24,
    n_layer: 2,
    n_head: 2,
    d_head: 8,
    d_model: 16,
    d_mlp: 32,
    rms_norm: true,
    tied_unembed: false,
    enable_bigram_table: true,
    learnable_bigram_table: true,
    sink: true,
  },
  "test",
);
const find = (config: Parameters<typeof paramSpecs>[0], name: string) =>
  paramSpecs(config).find((s) => s.name === name);

describe("parameters", () => {
  it("depend on the options", () => {
    expect(find({ ...base, positions: "none" }, WPE)).toBeUndefined();
    expect(find({ ...base, positions: "added" }, WPE)).toMatchObject({
      shape: [12, 16],
      trained: true,
      sparsified: "never",
      kind: "dense",
    });
    const learned = { ...base, positions: "learned-channels" as const, positionChannels: 5 };
    expect(find(learned, WPE)).toMatchObject({ shape: [12, 5], trained: true });
    expect(find({ ...learned, positions: "sinusoid-channels" }, WPE)).toMatchObject({ shape: [12, 5], trained: false });
    expect(find(learned, "transformer.h.1.ln_p2.weight")).toMatchObject({ shape: [5] });
    expect(find(learned, "transformer.h.0.attn.c_attn.weight")?.shape).toEqual([48, 21]);
    expect(find(learned, "transformer.h.0.mlp.c_fc.weight")?.shape).toEqual([32, 21]);
    expect(find({ ...base, tiedUnembed: true }, LM_HEAD)).toBeUndefined();
    expect(find({ ...base, bigram: "fixed" }, BIGRAM)).toMatchObject({ trained: false });
    expect(find({ ...base, bigram: "none" }, BIGRAM)).toBeUndefined();
    expect(find(base, LOGITS_BIAS)).toMatchObject({ trained: false, kind: "dense" });
    expect(find({ ...base, bias: false }, "transformer.h.0.attn.c_attn.bias")).toBeUndefined();
    expect(find({ ...base, norm: "layer", normBias: true }, "transformer.ln_f.bias")).toMatchObject({
      sparsified: "never",
    });
    expect(find({ ...base, norm: "rms", normBias: true }, "transformer.ln_f.bias")).toBeUndefined();
  });

  it("are sparse exactly if they are matrices of linear maps or embeddings", () => {
    for (const s of paramSpecs({ ...base, positions: "added" })) {
      expect(s.kind, s.name).toBe(/c_\w+\.weight$|wte|lm_head/.test(s.name) ? "sparse" : "dense");
    }
  });
});

describe("the sinusoid table", () => {
  const cases = readJson<{ sinusoid: { block_size: number; d_pos_emb: number; table: number[][] }[] }>(
    "unit.json",
  ).sinusoid;

  it.each(cases.map((c) => [c.block_size, c.d_pos_emb, c.table] as const))(
    "of %i positions and %i channels equals PyTorch's",
    (length, channels, table) => {
      // Same float32 steps as in PyTorch: what is left is the last bit of sine and cosine.
      const ours = sinusoidTable(length, channels);
      expect(ours.length).toBe(length * channels);
      for (const [i, expected] of table.flat().entries()) expect(Math.abs(ours[i]! - expected)).toBeLessThan(1e-6);
    },
  );
});

describe("initial values", () => {
  const config = { ...base, positions: "none" as const, width: 64, neurons: 256, headWidth: 32, vocabSize: 100 };
  const params = initParams(config, 7);
  const std = (name: string): number => {
    const values = params.get(name)!;
    return Math.sqrt(values.reduce((sum, v) => sum + v * v, 0) / values.length);
  };

  it("have the scales of the release", () => {
    expect(std(WTE)).toBeCloseTo(0.02, 3);
    expect(std("transformer.h.0.mlp.c_fc.weight")).toBeCloseTo(0.02, 3);
    expect(std("transformer.h.1.mlp.c_proj.weight")).toBeCloseTo(0.02 / Math.sqrt(4), 3);
    const bigram = params.get(BIGRAM)!;
    expect(Math.min(...bigram)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...bigram)).toBeLessThanOrEqual(Math.fround(0.02));
    expect(bigram.reduce((a, b) => a + b, 0) / bigram.length).toBeCloseTo(0.01, 3);
    expect(new Set(params.get("transformer.h.0.ln_1.weight"))).toEqual(new Set([1]));
    for (const name of ["transformer.h.0.mlp.c_fc.bias", "transformer.h.0.attn.attn_imp.sink_logit", LOGITS_BIAS]) {
      expect(new Set(params.get(name)), name).toEqual(new Set([0]));
    }
  });

  it("have positions where they are learned or fixed", () => {
    const learned = initParams({ ...config, contextLength: 200, positions: "added" }, 1).get(WPE)!;
    expect(Math.sqrt(learned.reduce((sum, v) => sum + v * v, 0) / learned.length)).toBeCloseTo(0.02, 3);
    const fixed = initParams({ ...config, positions: "sinusoid-channels", positionChannels: 4 }, 1).get(WPE)!;
    expect(fixed).toEqual(sinusoidTable(12, 4));
  });

  it("depend on the seed, and not on what else the model has", () => {
    expect(initParams(config, 7)).toEqual(params);
    expect(initParams(config, 8).get(WTE)).not.toEqual(params.get(WTE));
    expect(initParams({ ...config, bigram: "none", sink: false }, 7).get(WTE)).toEqual(params.get(WTE));
  });
});
