/** Random models with a circuit, traced on a random pair. */
import fc from "fast-check";
import type { Circuit } from "../../src/circuits/schema.ts";
import { circuitStructure } from "../../src/circuits/structure.ts";
import type { Trace } from "../../src/circuits/trace.ts";
import { tracePair } from "../../src/cli/trace-prompts.ts";
import type { PairBatch } from "../../src/data/pairs.ts";
import { ReferenceEngine } from "../../src/engine/reference.ts";
import type { ModelConfig } from "../../src/model/config.ts";
import { Model } from "../../src/model/model.ts";
import { initParams } from "../../src/model/names.ts";
import { nodeCount } from "../../src/model/sites.ts";
import type { Ablation } from "../../src/prune/ablation.ts";
import { Rng } from "../../src/util/rng.ts";
import { BASE } from "../prune/random-models.ts";
import { exampleCircuit } from "./support.ts";

export const engine = new ReferenceEngine();
const TEXTS = ["(", "\n", " x", '"', "<b>", "name_of_something_long", "🎉", ""];

export interface World {
  readonly circuit: Circuit;
  readonly traces: readonly Trace[];
  readonly model: Model;
  readonly batch: PairBatch;
  readonly fill: Float32Array;
}

/** A random model with a circuit of a share of its nodes, traced on a random pair. */
export function world(seed: number, { share = 0.3, length = 9, over = {} as Partial<ModelConfig> } = {}): World {
  const config: ModelConfig = { ...BASE, contextLength: 128, ...over };
  const rng = Rng.of("unrolled", seed);
  const params = initParams(config, seed);
  for (const values of params.values()) {
    const sparse = values.length > 30;
    for (let i = 0; i < values.length; i++) {
      values[i] = sparse && rng.bool(0.6) ? 0 : values[i]! * 8 + 0.2 * rng.normal();
    }
  }
  const stored = { config, params };
  const nodes = nodeCount(config);
  const keptNodes = Uint8Array.from({ length: nodes }, () => (rng.bool(share) ? 1 : 0));
  const fill = Float32Array.from({ length: nodes }, () => 0.5 * rng.normal());
  const structure = circuitStructure(config, params, keptNodes, {
    tokenText: String,
    answerTokens: new Set([1, 2]),
    keepDisconnected: share === 1,
  });
  const { layers, heads, headWidth, width, neurons, vocabSize, positionChannels } = config;
  const shape = { layers, heads, headWidth, width, neurons, vocabSize, positionChannels };
  const base = exampleCircuit();
  const { kept: _, dropped: __, ...parts } = structure;
  const circuit: Circuit = {
    ...base,
    ...parts,
    model: { ...base.model, ...shape },
    nodes: parts.nodes.map((n) => ({ ...n, meanActivation: 0, importance: null })),
  };
  const tokens = Int32Array.from({ length: 2 * length }, () => rng.int(0, vocabSize - 1));
  const answers = [1, 2];
  const batch: PairBatch = {
    tokens,
    rows: 2,
    length,
    last: Int32Array.of(length - 1, length - 1),
    right: Int32Array.of(1, 2),
    wrong: Int32Array.of(2, 1),
  };
  const ablation: Ablation = { kind: "mean", draws: [fill], frozenNorm: false };
  const model = new Model(engine, stored);
  const tokenText = (token: number): string => TEXTS[token % TEXTS.length]!;
  const prompts = answers.map((right, i) => ({ name: `pair-0-${"ab"[i]}`, answers, right }));
  return {
    circuit,
    traces: tracePair(model, stored, circuit, { ablation, tokenText }, batch, prompts),
    model,
    batch,
    fill,
  };
}

/** What worlds are made of: small enough to be printed when a law fails. */
export const worlds = (share: number, length: number) =>
  fc.record({
    seed: fc.nat(10_000),
    share: fc.constantFrom(0.05, 0.1, share),
    length: fc.constant(length),
    over: fc.record({ sink: fc.boolean() }),
  });
