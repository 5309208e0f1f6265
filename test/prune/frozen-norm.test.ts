/** Frozen norms in the fast evaluator against masked passes whose reads are replaced by what the full model's norms give. */
import { describe, expect, it } from "vitest";
import type { Activation } from "../../src/engine/engine.ts";
import { ReferenceEngine } from "../../src/engine/reference.ts";
import { Tape } from "../../src/engine/tape.ts";
import type { ModelConfig } from "../../src/model/config.ts";
import { finalHidden } from "../../src/model/forward.ts";
import { Model } from "../../src/model/model.ts";
import { BIGRAM, initParams, LM_HEAD, LOGITS_BIAS } from "../../src/model/names.ts";
import { type HookName, nodeCount, siteSpecs } from "../../src/model/sites.ts";
import { CircuitEvaluator } from "../../src/prune/evaluator.ts";
import { MaskedModel } from "../../src/prune/masked-model.ts";
import { Rng } from "../../src/util/rng.ts";
import { BASE, someBatch } from "./random-models.ts";

const OPTIONS: Record<string, Partial<ModelConfig>> = {
  plain: {},
  sinks: { sink: true },
  LayerNorm: { norm: "layer", normBias: true },
  "position channels": { positions: "learned-channels", positionChannels: 5 },
};

describe.each(Object.entries(OPTIONS))("%s", (_, option) => {
  const config: ModelConfig = { ...BASE, ...option };
  const rng = Rng.of("frozen", JSON.stringify(option));
  const params = initParams(config, 3);
  for (const values of params.values()) {
    for (let i = 0; i < values.length; i++) values[i] = values[i]! * 4 + 0.1 * rng.normal();
  }
  const engine = new ReferenceEngine();
  const model = new Model(engine, { config, params });
  const fill = Float32Array.from({ length: nodeCount(config) }, () => 0.5 * rng.normal());
  const batch = someBatch(rng, config.vocabSize, 4);
  const tokens = { batch: batch.rows, length: batch.length };
  const D = config.width;

  type Values = Map<string, Float32Array>;

  function recorded(patches: Values): Values {
    const seen: Values = new Map();
    const tape = new Tape(engine, "nothing");
    const activation = (values: Float32Array, width: number): Activation => {
      const x = engine.activation(tokens, width);
      engine.write(x, values);
      return x;
    };
    const hooks = new Map(
      [...patches].map(([name, values]) => {
        const width = values.length / (tokens.batch * tokens.length);
        const where = new Float32Array(values.length).fill(1);
        return [name as HookName, { values: activation(values, width), where: activation(where, width) }] as const;
      }),
    );
    const record = (name: string, x: Activation): void => {
      seen.set(name, engine.read(x).slice());
    };
    finalHidden(tape, model, batch.tokens, tokens, { record, patches: hooks });
    tape.free();
    return seen;
  }

  const full = recorded(new Map());

  /** x as the full model's norm at a place scales it. */
  function normed(x: Float32Array, place: string, norm: string): Float32Array {
    const stream = full.get(place)!;
    const weight = params.get(`${norm}.weight`)!;
    const bias = params.get(`${norm}.bias`);
    return x.map((value, i) => {
      const row = stream.subarray(i - (i % D), i - (i % D) + D);
      const mean = config.norm === "layer" ? row.reduce((a, b) => a + b, 0) / D : 0;
      const eps = config.norm === "layer" ? 1e-5 : 1.1920928955078125e-7;
      const variance = row.reduce((a, b) => a + (b - mean) ** 2, 0) / D;
      return ((value - mean) / Math.sqrt(variance + eps)) * weight[i % D]! + (bias?.[i % D] ?? 0);
    });
  }

  function margins(kept: Uint8Array): number[] {
    const patches: Values = new Map();
    const specs = siteSpecs(config);
    // Every site is replaced in turn by its kept or ablated value, computed from what the sites before it give.
    for (const { name, layer, site, width, offset } of specs) {
      const before = recorded(patches);
      let values = before.get(name)!;
      if (site === "attn.act_in" || site === "mlp.act_in") {
        const place = site === "attn.act_in" ? `${layer}.resid_in` : `${layer}.resid_mid`;
        const norm = `transformer.h.${layer}.${site === "attn.act_in" ? "ln_1" : "ln_2"}`;
        const h = normed(before.get(place)!, place, norm);
        values = values.map((x, i) => (i % width < D ? h[Math.floor(i / width) * D + (i % width)]! : x));
      }
      patches.set(
        name,
        values.map((x, i) => (kept[offset + (i % width)] ? x : fill[offset + (i % width)]!)),
      );
    }
    const hidden = normed(recorded(patches).get("final_resid")!, "final_resid", "transformer.ln_f");
    return Array.from({ length: batch.rows }, (_, row) => {
      const at = row * batch.length + batch.last[row]!;
      const logit = (token: number): number => {
        let sum = params.get(LOGITS_BIAS)![token]! + params.get(BIGRAM)![batch.tokens[at]! * config.vocabSize + token]!;
        for (let c = 0; c < D; c++) sum += hidden[at * D + c]! * params.get(LM_HEAD)![token * D + c]!;
        return sum;
      };
      return logit(batch.right[row]!) - logit(batch.wrong[row]!);
    });
  }

  const frozen = new CircuitEvaluator(config, params, fill, batch, { frozenNorm: true });
  const free = new CircuitEvaluator(config, params, fill, batch);

  it.each([0.1, 0.5, 0.9])("agrees with a share %d of nodes kept", (share) => {
    const kept = Uint8Array.from(fill, () => (rng.bool(share) ? 1 : 0));
    const expected = margins(kept);
    const actual = frozen.score(kept).margins;
    for (let p = 0; p < batch.rows; p++) {
      expect(Math.abs(actual[p]! - expected[p]!)).toBeLessThanOrEqual(2e-4 * (1 + Math.abs(expected[p]!)));
    }
    const apart = Math.max(...actual.map((m, p) => Math.abs(m - free.score(kept).margins[p]!)));
    expect(apart, "norms that are not frozen give something else").toBeGreaterThan(1e-3);
  });

  it("is the full model when everything is kept", () => {
    const all = new Uint8Array(fill.length).fill(1);
    const expected = new MaskedModel(model, fill).evaluator(batch).score(all).margins;
    frozen.score(all).margins.forEach((m, p) => {
      expect(m).toBeCloseTo(expected[p]!, 2);
    });
  });
});
