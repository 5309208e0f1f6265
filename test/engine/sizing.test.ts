/** The engine that only counts, against the bytes that the native engine holds, and what cannot be indexed. */
import { describe, expect, it } from "vitest";
import { createEngine } from "../../src/engine/select.ts";
import { SizingEngine } from "../../src/engine/sizing.ts";
import { Tape } from "../../src/engine/tape.ts";
import { nextTokenLoss } from "../../src/model/forward.ts";
import { Model } from "../../src/model/model.ts";
import { initParams, paramSpecs } from "../../src/model/names.ts";
import { extractionMemory } from "../../src/prune/memory.ts";
import { modelOf, resolveTrainConfig, stepConfigOf, type TrainOverrides } from "../../src/train/config.ts";
import { promptShape } from "../../src/train/evaluate.ts";
import { trainingMemory } from "../../src/train/memory.ts";
import { Stepper } from "../../src/train/step.ts";
import { promptTokens } from "../../src/train/trainer.ts";
import { Rng } from "../../src/util/rng.ts";
import { refused } from "../support/refused.ts";

const { engine } = await createEngine({ engine: "auto" });
const isNative = engine.info.name === "native";

const SHAPES: readonly [what: string, vocabSize: number, settings: TrainOverrides][] = [
  ["the defaults", 500, {}],
  ["the released recipe", 800, { model: { width: 192, activationFraction: 1 / 4, sink: true, contextLength: 96 } }],
  ["few tokens, wide", 300, { model: { width: 512, layers: 1, contextLength: 40 }, training: { batch: 2 } }],
  ["many tokens, narrow", 200, { model: { width: 32, contextLength: 250 }, training: { batch: 32 } }],
  ["positions, tied, layer norm", 400, { model: { positions: "added", tiedUnembed: true, norm: "layer" } }],
  ["amortised", 600, { model: { width: 128 }, training: { denseGradEvery: 10 } }],
  ["dense, no bigrams", 2000, { model: { bigram: "none", width: 128 }, training: { density: 1 } }],
];

describe.skipIf(!isNative)("the estimate of a training step", () => {
  it.each(SHAPES)("is near what the native engine holds: %s", async (_, vocabSize, settings) => {
    const config = resolveTrainConfig([settings]);
    const tokens = { batch: config.training.batch, length: config.model.contextLength };
    const [model, step] = [modelOf(config, vocabSize), stepConfigOf(config)];
    const { engine: own } = await createEngine({ engine: "native" });
    const before = own.memoryBytes();
    const stepper = new Stepper(new Model(own, { config: model, params: initParams(model, 0) }), step);
    const rng = Rng.of("sizing");
    const ids = Int32Array.from({ length: tokens.batch * tokens.length }, () => rng.uint32() % vocabSize);
    for (let i = 0; i < 2; i++) stepper.step(i, ids, ids, tokens);
    const held = own.memoryBytes() - before;
    const { weights, activations, host } = trainingMemory({ model, step, tokens });
    expect((weights + activations) / held).toBeGreaterThan(0.8);
    expect((weights + activations) / held).toBeLessThan(1.25);
    const entries = paramSpecs(model).reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
    expect(host).toBe(16 * entries);
  });
});

it("counts gradients of nonzero weights, from the step on that first computes them alone", () => {
  const weights = (denseGradEvery: number, density: number): number => {
    const config = resolveTrainConfig([{ training: { denseGradEvery, density } }]);
    const estimate = trainingMemory({
      model: modelOf(config, 100),
      step: stepConfigOf(config),
      tokens: { batch: 1, length: 16 },
    });
    return estimate.weights + estimate.activations;
  };
  const entries = paramSpecs(modelOf(resolveTrainConfig([]), 100))
    .filter((spec) => spec.sparsified === "matrix")
    .reduce((sum, { shape }) => sum + shape[0]! * shape[1]!, 0);
  // Four bytes of each entry that is kept, a quarter at first.
  const kept = weights(10, 1 / 16) - weights(1, 1 / 16);
  expect(kept).toBeGreaterThan(entries * 0.95);
  expect(kept).toBeLessThan(entries * 1.25);
  expect(weights(10, 1 / 2)).toBe(weights(1, 1 / 2));
});

describe.skipIf(!isNative)("room for the entries of a matrix", () => {
  it("falls with their number, and stays while that varies little", async () => {
    const { engine: own } = await createEngine({ engine: "native", threads: 1 });
    const w = own.sparse("w", [100, 200], "row");
    const held = (nonzeros: number): number => {
      const values = Float32Array.from({ length: 20_000 }, (_, i) => (i < nonzeros ? i + 1 : 0));
      const before = own.memoryBytes();
      own.writeParam(w, "value", values);
      expect(own.nonzeros(w)).toBe(nonzeros);
      expect(own.readParam(w, "value")).toEqual(values);
      return own.memoryBytes() - before;
    };
    expect(held(20_000)).toBe(20_000 * 12);
    expect(held(6_000)).toBe(0);
    expect(held(1_000)).toBe((1_000 + 125 + 64 - 20_000) * 12);
    for (const nonzeros of [1_100, 400, 900]) expect(held(nonzeros)).toBe(0);
    expect(held(0)).toBeLessThan(0);
    expect(held(1)).toBe(0);
  });
});

it("counts evaluations too, and less for models whose zeros are known", () => {
  const config = resolveTrainConfig([]);
  const model = modelOf(config, 100);
  const sizes = { model, step: stepConfigOf(config), tokens: { batch: 1, length: 16 } };
  const alone = trainingMemory(sizes).activations;
  expect(trainingMemory({ ...sizes, prompts: { batch: 64, length: 32 } }).activations).toBeGreaterThan(2 * alone);
  const params = initParams(model, 0);
  const full = extractionMemory({ config: model, params }, sizes.tokens, sizes.tokens);
  for (const values of params.values()) values.fill(0);
  const empty = extractionMemory({ config: model, params }, sizes.tokens, sizes.tokens);
  expect(empty.weights).toBeLessThan(full.weights);
  expect(empty.activations).toBe(full.activations);
});

it("takes little more for evaluations than for a step", () => {
  const config = resolveTrainConfig([]);
  const [model, step] = [modelOf(config, 100), stepConfigOf(config)];
  const tokens = { batch: config.training.batch, length: config.model.contextLength };
  const alone = trainingMemory({ model, step, tokens }).activations;
  const prompts = promptShape(model, 33, promptTokens(config));
  expect(trainingMemory({ model, step, tokens, prompts }).activations).toBeLessThan(1.4 * alone);
});

it("reuses what was released, and a pass of another engine than the native one asks for the same", () => {
  const sizing = new SizingEngine();
  const config = modelOf(resolveTrainConfig([]), 50);
  const params = initParams(config, 0);
  const model = new Model(sizing.engine, { config, params });
  const ids = new Int32Array(32);
  const pass = (): number => {
    const tape = new Tape(sizing.engine, "weights");
    nextTokenLoss(tape, model, ids, ids, { batch: 2, length: 16 });
    tape.backward();
    tape.free();
    return sizing.bytes;
  };
  expect(pass()).toBe(pass());
});

describe.each(["sizing", engine.info.name])("%s engine", (name) => {
  const own = name === "sizing" ? new SizingEngine().engine : engine;

  it.skipIf(name === "reference")("refuses what cannot be indexed", () => {
    expect(refused(() => own.sparse("w", [65_536, 4], null)).message).toContain("65536 x 4");
    expect(refused(() => own.sparse("w", [65_535, 65_535], null)).message).toContain("2147483647");
    expect(refused(() => own.dense("table", [100_000, 100_000])).code).toBe("too-large");
    expect(refused(() => own.activation({ batch: 65_535, length: 65_535 }, 1)).message).toContain("65535 x 65536 x 1");
  });
});
