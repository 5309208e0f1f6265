/** The fast evaluator against whole masked forward passes, over model options, masks and ablation values. */
import { describe, expect, it } from "vitest";
import { Wiring } from "../../src/circuits/wiring.ts";
import { ReferenceEngine } from "../../src/engine/reference.ts";
import type { ModelConfig } from "../../src/model/config.ts";
import { Model } from "../../src/model/model.ts";
import { initParams } from "../../src/model/names.ts";
import { nodeCount, type Site, siteSpecs } from "../../src/model/sites.ts";
import { CircuitEvaluator, supports } from "../../src/prune/evaluator.ts";
import { MaskedModel } from "../../src/prune/masked-model.ts";
import { Rng } from "../../src/util/rng.ts";
import { BASE, someBatch } from "./random-models.ts";

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

const MATRIX: Partial<Record<Site, string>> = {
  "attn.q": "attn.c_attn",
  "attn.k": "attn.c_attn",
  "attn.v": "attn.c_attn",
  "attn.resid_delta": "attn.c_proj",
  "mlp.post_act": "mlp.c_fc",
  "mlp.resid_delta": "mlp.c_proj",
};

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

  // Without sinks, a removed edge is a weight of zero and a bias that carries what the ablated source would send.
  if (!config.sink)
    it("agrees with edges removed", () => {
      const { sources, targets } = new Wiring(config, params);
      const removed = new Set(Array.from(sources.keys()).filter(() => rng.bool(0.3)));
      const changed = new Map<string, Float32Array>([...params].map(([name, values]) => [name, values.slice()]));
      const specs = siteSpecs(config);
      const place = (n: number) => specs.find(({ offset, width }) => n >= offset && n < offset + width)!;
      for (const edge of removed) {
        const [source, target] = [place(sources[edge]!), place(targets[edge]!)];
        const matrix = MATRIX[target.site]!;
        const name = `transformer.h.${source.layer}.${matrix}`;
        const part = ["attn.q", "attn.k", "attn.v"].indexOf(target.site);
        const row = targets[edge]! - target.offset + Math.max(0, part) * target.width;
        const at = row * source.width + sources[edge]! - source.offset;
        const weights = changed.get(`${name}.weight`)!;
        const bias = changed.get(`${name}.bias`) ?? new Float32Array(weights.length / source.width);
        changed.set(`${name}.bias`, bias);
        bias[row]! += weights[at]! * fill[sources[edge]!]!;
        weights[at] = 0;
      }
      const withBias = { ...config, bias: true };
      for (const [name, values] of initParams(withBias, 0)) if (!changed.has(name)) changed.set(name, values.fill(0));
      const other = new MaskedModel(new Model(engine, { config: withBias, params: changed }), fill).evaluator(batch);
      for (const share of [0.3, 0.9]) {
        const kept = Uint8Array.from({ length: nodes }, () => (rng.bool(share) ? 1 : 0));
        const expected = other.score(kept).margins;
        fast.score(kept, removed).margins.forEach((m, p) => {
          expect(Math.abs(m - expected[p]!)).toBeLessThanOrEqual(2e-4 * (1 + Math.abs(expected[p]!)));
        });
      }
    });
});

it("says which models it does not compute", () => {
  expect(supports(BASE)).toBe(true);
  expect(supports({ ...BASE, residualActivation: "relu" })).toBe(false);
  expect(supports({ ...BASE, activationFraction: 0.5, activationSites: ["resid_post_mlp"] })).toBe(false);
});
