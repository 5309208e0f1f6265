/** Circuits with scaled nodes, against whole forward passes with masks that are those factors. */
import { describe, expect, it } from "vitest";
import { ReferenceEngine } from "../../src/engine/reference.ts";
import type { ModelConfig } from "../../src/model/config.ts";
import { Model } from "../../src/model/model.ts";
import { initParams } from "../../src/model/names.ts";
import { nodeCount } from "../../src/model/sites.ts";
import { AblatedTask } from "../../src/prune/ablated-task.ts";
import { CircuitEvaluator, scaling } from "../../src/prune/evaluator.ts";
import { without } from "../../src/prune/kept.ts";
import { MaskedModel } from "../../src/prune/masked-model.ts";
import { Rng } from "../../src/util/rng.ts";
import { BASE, someBatch } from "./random-models.ts";

const OPTIONS: Record<string, Partial<ModelConfig>> = {
  plain: {},
  sinks: { sink: true },
  AbsTopK: { activationFraction: 0.5 },
};

describe.each(Object.entries(OPTIONS))("%s", (_, option) => {
  const config: ModelConfig = { ...BASE, ...option };
  const rng = Rng.of("scaling", JSON.stringify(option));
  const params = initParams(config, 3);
  for (const values of params.values()) {
    for (let i = 0; i < values.length; i++) values[i] = values[i]! * 6 + 0.1 * rng.normal();
  }
  const model = new Model(new ReferenceEngine(), { config, params });
  const nodes = nodeCount(config);
  const batch = someBatch(rng, config.vocabSize, 6);
  const kept = Uint8Array.from({ length: nodes }, () => (rng.bool(0.5) ? 1 : 0));
  const fill = Float32Array.from({ length: nodes }, () => 0.5 * rng.normal());

  it("multiplies what the nodes carry, and only that", () => {
    const scales = new Map(
      rng
        .sample(
          [...kept.keys()].filter((n) => kept[n]),
          12,
        )
        .map((n) => [n, rng.normal()]),
    );
    // A mask blends the value with the fill: with none, it multiplies.
    const masks = Float32Array.from(kept, (k, n) => scales.get(n) ?? k);
    const logits = new MaskedModel(
      model,
      fill.map((f, n) => (scales.has(n) ? 0 : f)),
    ).logits(batch, masks);
    const { margins } = new CircuitEvaluator(config, params, fill, batch).score(kept, undefined, scaling(scales));
    for (let p = 0; p < batch.rows; p++) {
      const at = p * config.vocabSize;
      const expected = logits[at + batch.right[p]!]! - logits[at + batch.wrong[p]!]!;
      expect(Math.abs(margins[p]! - expected)).toBeLessThanOrEqual(2e-4 * (1 + Math.abs(expected)));
    }
  });

  it("over several draws too; under zero ablation a factor of 0 is a removal", () => {
    const zero = new Float32Array(nodes);
    const task = new AblatedTask(model, { kind: "resample", draws: [zero, zero, zero], frozenNorm: false });
    const evaluator = task.evaluator(batch);
    const n = rng.pick([...kept.keys()].filter((m) => kept[m]));
    const { margins } = evaluator.score(kept, undefined, scaling(new Map([[n, 0]])));
    const removed = evaluator.score(without(kept, [n])).margins;
    for (const [p, m] of margins.entries()) expect(m).toBeCloseTo(removed[p]!, 4);
  });

  it("without factors nothing is an intervention", () => {
    expect(scaling(new Map())).toBeUndefined();
  });
});
