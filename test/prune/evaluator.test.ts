/** The fast evaluator against whole masked forward passes, over model options, masks and ablation values. */
import { describe, expect, it } from "vitest";
import type { PairBatch } from "../../src/data/pairs.ts";
import { ReferenceEngine } from "../../src/engine/reference.ts";
import type { ModelConfig } from "../../src/model/config.ts";
import { Model } from "../../src/model/model.ts";
import { initParams } from "../../src/model/names.ts";
import { nodeCount } from "../../src/model/sites.ts";
import { CircuitEvaluator, supports } from "../../src/prune/evaluator.ts";
import { MaskedModel } from "../../src/prune/masked-model.ts";
import { Rng } from "../../src/util/rng.ts";

const BASE: ModelConfig = {
  vocabSize: 23,
  contextLength: 16,
  layers: 2,
  heads: 3,
  headWidth: 4,
  width: 12,
  neurons: 20,
  norm: "rms",
  normBias: false,
  bias: true,
  activation: "gelu",
  residualActivation: "identity",
  activationFraction: null,
  activationSites: ["attn_in", "attn_q", "attn_k", "attn_v", "attn_out", "mlp_in", "mlp_neuron", "mlp_out"],
  tiedUnembed: false,
  bigram: "trained",
  positions: "none",
  positionChannels: 0,
  sink: false,
};

const OPTIONS: Record<string, Partial<ModelConfig>> = {
  plain: {},
  sinks: { sink: true },
  "LayerNorm, ReLU, no biases": { norm: "layer", normBias: true, activation: "relu", bias: false },
  "tied, no bigram table, 3 layers": { tiedUnembed: true, bigram: "none", layers: 3 },
  "positions added": { positions: "added" },
  "position channels": { positions: "learned-channels", positionChannels: 5 },
  "sinusoid channels and sinks": { positions: "sinusoid-channels", positionChannels: 4, sink: true },
  "AbsTopK everywhere": { activationFraction: 0.5 },
  "AbsTopK and sinks": { activationFraction: 0.3, sink: true },
};

/** Ragged prompts; rows 2i and 2i + 1 share a prefix. */
function someBatch(rng: Rng, vocab: number, pairs: number): PairBatch {
  const length = 11;
  const tokens = new Int32Array(2 * pairs * length);
  const last = new Int32Array(2 * pairs);
  for (let i = 0; i < pairs; i++) {
    const count = rng.int(2, length);
    const prompt = Array.from({ length: count }, () => rng.int(0, vocab - 1));
    for (const row of [2 * i, 2 * i + 1]) {
      tokens.set(prompt, row * length);
      last[row] = count - 1;
    }
    tokens[(2 * i + 1) * length + rng.int(0, count - 1)] = rng.int(0, vocab - 1);
  }
  const draw = () => Int32Array.from({ length: 2 * pairs }, () => rng.int(0, vocab - 1));
  return { tokens, rows: 2 * pairs, length, last, right: draw(), wrong: draw() };
}

describe.each(Object.entries(OPTIONS))("%s", (_, option) => {
  const config: ModelConfig = { ...BASE, ...option };
  const rng = Rng.of("evaluator", JSON.stringify(option));
  const params = initParams(config, 3);
  for (const values of params.values()) {
    // Larger and sparser than a fresh model, so that every term matters.
    const sparse = values.length > 30;
    for (let i = 0; i < values.length; i++)
      values[i] = sparse && rng.bool(0.6) ? 0 : values[i]! * 8 + 0.2 * rng.normal();
  }
  const engine = new ReferenceEngine();
  const nodes = nodeCount(config);
  const fill = Float32Array.from({ length: nodes }, () => 0.5 * rng.normal());
  const batch = someBatch(rng, config.vocabSize, 6);
  const masked = new MaskedModel(new Model(engine, { config, params }), fill).evaluator(batch);
  const fast = new CircuitEvaluator(config, params, fill, batch);

  it.each([0, 0.05, 0.2, 0.5, 0.9, 1])("agrees with a share %d of nodes kept", (share) => {
    for (let trial = 0; trial < 3; trial++) {
      const kept = Uint8Array.from({ length: nodes }, () => (rng.bool(share) ? 1 : 0));
      const expected = masked.score(kept);
      const actual = fast.score(kept);
      for (let p = 0; p < batch.rows; p++) {
        const m = expected.margins[p]!;
        // Both sides store float32 activations and round at different places; these weights amplify it.
        expect(Math.abs(actual.margins[p]! - m)).toBeLessThanOrEqual(2e-4 * (1 + Math.abs(m)));
      }
      expect(actual.loss).toBeCloseTo(expected.loss, 3);
    }
  });
});

it("says which models it does not compute", () => {
  expect(supports(BASE)).toBe(true);
  expect(supports({ ...BASE, residualActivation: "relu" })).toBe(false);
  expect(supports({ ...BASE, activationFraction: 0.5, activationSites: ["resid_post_mlp"] })).toBe(false);
});
