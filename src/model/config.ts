/** The shape and options of a model (Gao et al. 2025, 2.1 and A.1), and its checks. */
import { z } from "zod";
import { MOST_A_SIDE, WIDEST_HEAD } from "../engine/limits.ts";
import { inputError } from "../util/errors.ts";

/** Where AbsTopK may cut, by the release's location names. The two `resid_*` locations are not node sites. */
export const CUT_LOCATIONS = [
  "attn_in",
  "attn_q",
  "attn_k",
  "attn_v",
  "attn_out",
  "resid_post_attn",
  "mlp_in",
  "mlp_neuron",
  "mlp_out",
  "resid_post_mlp",
] as const;
export type CutLocation = (typeof CUT_LOCATIONS)[number];

const count = z.number().int().min(1).max(65535);

export const modelConfigSchema = z.strictObject({
  vocabSize: count,
  /** Longest sequence, T. */
  contextLength: count,
  layers: count.max(1024),
  heads: count,
  headWidth: count,
  /** Residual channels, D. */
  width: count,
  /** MLP neurons, F. */
  neurons: count,
  norm: z.enum(["rms", "layer"]),
  /** LayerNorm's bias; RMSNorm has none. */
  normBias: z.boolean(),
  /** Biases of the four linear maps of a block. */
  bias: z.boolean(),
  activation: z.enum(["gelu", "relu"]),
  residualActivation: z.enum(["identity", "relu"]),
  /** Fraction of entries that AbsTopK keeps; null cuts nowhere. */
  activationFraction: z.number().gt(0).max(1).nullable(),
  activationSites: z.array(z.enum(CUT_LOCATIONS)),
  tiedUnembed: z.boolean(),
  bigram: z.enum(["none", "fixed", "trained"]),
  /** added: to the residual stream (GPT-2); the channel kinds are normalised and concatenated to what blocks read. */
  positions: z.enum(["none", "added", "learned-channels", "sinusoid-channels"]),
  /** Read-only position channels; 0 unless `positions` is a channel kind. */
  positionChannels: z.number().int().min(0).max(4096),
  sink: z.boolean(),
});

export type ModelConfig = z.infer<typeof modelConfigSchema>;

/** Width of what attention and MLP read: residual channels and position channels. */
export function readWidth(config: ModelConfig): number {
  return config.width + config.positionChannels;
}

/** H * K, the width of queries, keys and values. */
export function attentionWidth(config: ModelConfig): number {
  return config.heads * config.headWidth;
}

/** k of AbsTopK at a location, or undefined where nothing is cut. */
export function cutCount(config: ModelConfig, location: CutLocation, width: number): number | undefined {
  if (config.activationFraction === null || !config.activationSites.includes(location)) return undefined;
  const k = Math.floor(config.activationFraction * width);
  return k < width ? k : undefined;
}

/** Refuses combinations that have no meaning, and sizes that the engine cannot index. */
export function checkModelConfig(config: ModelConfig): ModelConfig {
  const attention = 3 * attentionWidth(config);
  if (attention > MOST_A_SIDE) {
    throw inputError(
      "too-large",
      `${config.heads} heads of ${config.headWidth} make ${attention} queries, keys and values; ${MOST_A_SIDE} can be indexed`,
      "Lower heads or headWidth.",
    );
  }
  if (readWidth(config) > MOST_A_SIDE) {
    throw inputError(
      "too-large",
      `width ${config.width} and ${config.positionChannels} position channels are over the ${MOST_A_SIDE} that can be indexed`,
      "Lower width or positionChannels.",
    );
  }
  if (config.headWidth > WIDEST_HEAD) {
    throw inputError(
      "too-large",
      `headWidth ${config.headWidth} is over ${WIDEST_HEAD}`,
      "Lower it, and take more heads.",
    );
  }
  const channels = config.positions === "learned-channels" || config.positions === "sinusoid-channels";
  if (channels !== config.positionChannels > 0) {
    throw inputError(
      "config-value",
      `positions is "${config.positions}" but positionChannels is ${config.positionChannels}`,
      channels
        ? "Set positionChannels to 1 or more."
        : "Set positionChannels to 0, or choose a channel kind of positions.",
    );
  }
  return config;
}
