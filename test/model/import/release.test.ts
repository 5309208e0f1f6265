/** Released models against what PyTorch saw in the same files. */
import * as fs from "node:fs";
import * as path from "node:path";
import { describe, expect, it } from "vitest";
import { importRelease, mapReleaseConfig } from "../../../src/model/import/release.ts";
import { readTorchStateDict } from "../../../src/model/import/torch.ts";
import { LM_HEAD, LOGITS_BIAS, paramSpecs, shapeSize } from "../../../src/model/names.ts";
import { FIXTURES, folders, readJson } from "../../support/fixtures.ts";
import { refused } from "../../support/refused.ts";
import { useTempDir } from "../../support/temp.ts";

const at = useTempDir();
const nonzero = (values: Float32Array): number => values.reduce((n, v) => n + (v === 0 ? 0 : 1), 0);
const json = (folder: string): Record<string, never> =>
  JSON.parse(fs.readFileSync(`${folder}/beeg_config.json`, "utf8"));
/** The models of this repository, whose options the tests below know. */
const model = (name: string): string => path.join(import.meta.dirname, "../../fixtures/parity/checkpoints", name);
const A = model("a-rms-gelu-bigram");
const B = model("b-sink-relu-nobias");
const C = model("c-catpos-layernorm");
const D = model("d-legacy-tied");
const CHECKPOINTS = folders("", "checkpoints");
const RELEASES = [...CHECKPOINTS.map((name) => path.join("checkpoints", name)), path.join("pruning", "model")];

it("finds the fixtures", () => {
  expect(CHECKPOINTS.length).toBeGreaterThanOrEqual(4);
});

describe.each(RELEASES)("%s", (folder) => {
  it("has every parameter of its config, with its shape and finite", () => {
    const { config, params } = importRelease(path.join(FIXTURES, folder));
    expect([...params.keys()]).toEqual(paramSpecs(config).map((s) => s.name));
    for (const { name, shape } of paramSpecs(config)) {
      expect(params.get(name)!.length, name).toBe(shapeSize(shape));
      expect(params.get(name)!.every(Number.isFinite), name).toBe(true);
    }
  });
});

describe.each(CHECKPOINTS)("%s", (name) => {
  const folder = path.join(FIXTURES, "checkpoints", name);
  const meta = readJson<{ state_dict_keys: string[]; nonzero: Record<string, number> }>(
    "checkpoints",
    name,
    "io_meta.json",
  );

  it("has the keys that PyTorch saw", () => {
    expect([...readTorchStateDict(`${folder}/final_model.pt`).keys()]).toEqual(meta.state_dict_keys);
  });

  it("has as many nonzeros in each tensor as PyTorch counted", () => {
    const { config, params } = importRelease(folder);
    const counted = Object.fromEntries([...params].map(([name, values]) => [name, nonzero(values)]));
    if (config.tiedUnembed) counted[LM_HEAD] = counted["transformer.wte.weight"]!;
    expect(counted).toEqual(meta.nonzero);
  });
});

describe("the config of", () => {
  it("a: AbsTopK everywhere, trained bigram table", () => {
    expect(importRelease(A).config).toEqual({
      vocabSize: 24,
      contextLength: 16,
      layers: 2,
      heads: 4,
      headWidth: 4,
      width: 16,
      neurons: 32,
      norm: "rms",
      normBias: false,
      bias: true,
      activation: "gelu",
      residualActivation: "identity",
      activationFraction: 0.25,
      activationSites: ["attn_in", "attn_q", "attn_k", "attn_v", "attn_out", "mlp_in", "mlp_neuron", "mlp_out"],
      tiedUnembed: false,
      bigram: "trained",
      positions: "added",
      positionChannels: 0,
      sink: false,
    });
  });

  it("b: sinks, ReLU, no biases", () => {
    expect(importRelease(B).config).toMatchObject({
      sink: true,
      activation: "relu",
      bias: false,
      headWidth: 12,
      bigram: "none",
    });
  });

  it("c: position channels and LayerNorm", () => {
    const { config } = importRelease(C);
    expect(config).toMatchObject({ norm: "layer", normBias: true, positionChannels: 6 });
    expect(config.positions).toBe("learned-channels");
  });

  it("d: older field names, tied, no logits bias", () => {
    const { config, params } = importRelease(D);
    expect(config).toMatchObject({ neurons: 64, tiedUnembed: true, sink: false, activationFraction: null });
    expect(nonzero(params.get(LOGITS_BIAS)!)).toBe(0);
    expect(params.has(LM_HEAD)).toBe(false);
  });

  it("defaults: head width D/H, 4 D neurons, fixed bigram table", () => {
    const config = mapReleaseConfig({ ...json(A), d_head: null, d_mlp: null, learnable_bigram_table: false }, "test");
    expect(config).toMatchObject({ headWidth: 4, neurons: 64, bigram: "fixed" });
    expect(mapReleaseConfig({ ...json(A), enable_bigram_table: false }, "test").bigram).toBe("none");
    expect(mapReleaseConfig({ ...json(A), d_pos_emb: 4, sinusoidal_cat_pos_emb: true }, "test").positions).toBe(
      "sinusoid-channels",
    );
    expect(mapReleaseConfig({ ...json(A), d_pos_emb: 4 }, "test").positions).toBe("learned-channels");
  });
});

describe("a config is refused", () => {
  const error = (fields: object) => refused(() => mapReleaseConfig({ ...json(A), ...fields }, "beeg_config.json"));

  it("with an unknown field, naming the nearest", () => {
    const { message, hint } = error({ n_layers: 3 });
    expect(message).toContain('"n_layers"');
    expect(hint).toContain('"n_layer"');
  });

  it.each<[object, string]>([
    [{ activation_type: "silu" }, "activation_type"],
    [{ residual_activation_type: "gelu" }, "residual_activation_type"],
    [{ vocab_size: 0 }, "vocab_size"],
    [{ d_model: "16" }, "d_model"],
    [{ n_layer: undefined }, "n_layer"],
    [{ afrac: 1.5 }, "afrac"],
    [{ d_pos_emb: 0 }, "d_pos_emb"],
    [{ vocab_size: 100_000 }, "vocabSize"],
    [{ n_head: 100, d_head: 250 }, "75000"],
    [{ d_head: 300 }, "300"],
    [{ use_tied_aux_matrix: true }, "use_tied_aux_matrix"],
  ])("with %j, naming the field", (fields, name) => {
    expect(error(fields).message).toContain(name);
  });

  it("with an unknown AbsTopK location, unless nothing is cut", () => {
    const { message, hint } = error({ afrac_loctypes: "attn_in,mlp_neurons" });
    expect(message).toContain("mlp_neurons");
    expect(hint).toContain("mlp_neuron");
    const config = mapReleaseConfig({ ...json(A), afrac: null, afrac_loctypes: "attn_in,mlp_neurons" }, "test");
    expect(config.activationSites).toEqual(["attn_in"]);
  });
});

describe("weights are refused", () => {
  function withConfig(from: string, change: object): string {
    fs.mkdirSync(at("model"));
    fs.copyFileSync(`${from}/final_model.pt`, at("model", "final_model.pt"));
    fs.writeFileSync(at("model", "beeg_config.json"), JSON.stringify({ ...json(from), ...change }));
    return at("model");
  }

  it("of another shape, saying both", () => {
    const error = refused(() => importRelease(withConfig(A, { d_mlp: 40 })));
    expect(error.message).toContain("transformer.h.0.mlp.c_fc.weight: expected shape [40, 16] but received [32, 16]");
  });

  it("with tensors that the config lacks", () => {
    const error = refused(() => importRelease(withConfig(B, { sink: false })));
    expect(error.message).toContain("transformer.h.0.attn.attn_imp.sink_logit is not part of this model");
  });

  it("without tensors that the config asks for", () => {
    const error = refused(() => importRelease(withConfig(A, { sink: true })));
    expect(error.message).toContain("transformer.h.0.attn.attn_imp.sink_logit is missing");
  });

  it("that should be tied but are not", () => {
    expect(refused(() => importRelease(withConfig(A, { tied_unembed: true }))).code).toBe("not-tied");
  });

  it("that are not there", () => {
    const folder = withConfig(A, {});
    fs.rmSync(`${folder}/final_model.pt`);
    expect(refused(() => importRelease(folder)).message).toContain("final_model.pt");
  });
});
