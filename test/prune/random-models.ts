/** A small model's config and random prompts that tests of evaluators share. */
import type { PairBatch } from "../../src/data/pairs.ts";
import type { ModelConfig } from "../../src/model/config.ts";
import type { Rng } from "../../src/util/rng.ts";

export const BASE: ModelConfig = {
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

/** Ragged prompts; rows 2i and 2i + 1 share a prefix. */
export function someBatch(rng: Rng, vocab: number, pairs: number): PairBatch {
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
