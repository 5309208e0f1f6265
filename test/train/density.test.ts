/** What stays nonzero after a step: of each matrix its share, of embedding, unembedding and biases their own. */
import { describe, expect, it } from "vitest";
import { ReferenceEngine } from "../../src/engine/reference.ts";
import { Model } from "../../src/model/model.ts";
import { initParams, LM_HEAD, paramSpecs, shapeSize, WTE } from "../../src/model/names.ts";
import { modelOf, resolveTrainConfig, stepConfigOf } from "../../src/train/config.ts";
import { Stepper } from "../../src/train/step.ts";

const V = 23;
const TOKENS = { batch: 2, length: 20 };

function annealed(training: {
  density: number;
  embedDensity?: number;
}): Map<string, { nonzeros: number; size: number }> {
  const config = resolveTrainConfig([
    {
      model: { width: 24, headWidth: 8, contextLength: 20 },
      training: { ...training, minPerNeuron: 0, annealEnd: 0.1 },
    },
  ]);
  const shape = modelOf(config, V);
  const model = new Model(new ReferenceEngine(), { config: shape, params: initParams(shape, 1) });
  const stepper = new Stepper(model, { ...stepConfigOf(config), steps: 20 });
  const ids = Int32Array.from({ length: TOKENS.batch * TOKENS.length }, (_, i) => (5 * i) % V);
  for (let i = 0; i < 4; i++) stepper.step(i, ids, ids.toReversed(), TOKENS);
  const stored = model.store().params;
  return new Map(
    paramSpecs(shape)
      .filter(({ sparsified }) => sparsified === "matrix" || sparsified === "bias")
      .map(({ name, shape: of }) => [
        name,
        { nonzeros: stored.get(name)!.filter((w) => w !== 0).length, size: shapeSize(of) },
      ]),
  );
}

describe("nonzero weights once annealing is over", () => {
  it("are the density's share of every matrix", () => {
    for (const [name, { nonzeros, size }] of annealed({ density: 0.1 })) {
      if (name.endsWith("weight")) expect([name, nonzeros]).toEqual([name, Math.floor(0.1 * size)]);
    }
  });

  it("are another share of embedding, unembedding and biases when they have their own", () => {
    for (const [name, { nonzeros, size }] of annealed({ density: 0.1, embedDensity: 0.3 })) {
      if (name === WTE || name === LM_HEAD) expect([name, nonzeros]).toEqual([name, Math.floor(0.3 * size)]);
      else if (name.endsWith("weight")) expect([name, nonzeros]).toEqual([name, Math.floor(0.1 * size)]);
      else expect(nonzeros).toBeLessThanOrEqual(Math.floor(0.3 * size));
    }
  });
});
