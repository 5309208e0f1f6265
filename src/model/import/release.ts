/**
 * Imports models released by Gao et al. 2025: a folder with `beeg_config.json` (fields of the release's GPTConfig,
 * older ones too) and `final_model.pt`. Fields that matter only in training are accepted and dropped; a field or
 * tensor that is not known is refused by name, since a model that is read half is not the same model.
 */
import * as path from "node:path";
import { z } from "zod";
import { inputError } from "../../util/errors.ts";
import { type JsonObject, parseSchema, readJsonObject } from "../../util/json.ts";
import { nearest } from "../../util/nearest.ts";
import { CUT_LOCATIONS, type CutLocation, checkModelConfig, type ModelConfig, modelConfigSchema } from "../config.ts";
import { LM_HEAD, LOGITS_BIAS, WTE } from "../names.ts";
import { matchParams, type StoredModel } from "../params.ts";
import { readTorchStateDict, type StateTensor } from "./torch.ts";

export const RELEASE_CONFIG = "beeg_config.json";
export const RELEASE_WEIGHTS = "final_model.pt";

const count = z.number().int().min(1);

/** Defaults are those of the release's GPTConfig. */
const releaseSchema = z.strictObject({
  block_size: count,
  vocab_size: count,
  n_layer: count,
  n_head: count,
  d_model: count,
  d_head: count.nullish(),
  d_mlp: count.nullish(),
  /** Older name of d_mlp. */
  n_mlp: count.nullish(),
  bias: z.boolean().default(true),
  ln_bias: z.boolean().default(true),
  rms_norm: z.boolean().default(false),
  residual_activation_type: z.enum(["identity", "relu"]).default("identity"),
  activation_type: z.enum(["gelu", "relu"]).default("gelu"),
  afrac: z.number().gt(0).max(1).nullish(),
  afrac_loctypes: z.string().default("attn_in,attn_out,mlp_in,mlp_out"),
  tied_unembed: z.boolean().default(true),
  enable_bigram_table: z.boolean().default(false),
  learnable_bigram_table: z.boolean().default(false),
  d_pos_emb: count.nullish(),
  sinusoidal_cat_pos_emb: z.boolean().default(false),
  sink: z.boolean().default(false),
  /** Ties through a second matrix, of which no model was released. */
  use_tied_aux_matrix: z.literal(false).default(false),
  // Without effect on what the model computes.
  dropout: z.unknown().optional(),
  dropout_cat_pos_emb: z.unknown().optional(),
  debug_nans: z.unknown().optional(),
  tokenizer_name: z.unknown().optional(),
  grad_checkpointing: z.unknown().optional(),
  enable_sparse_kernels: z.unknown().optional(),
  flash: z.unknown().optional(),
});
type ReleaseConfig = z.infer<typeof releaseSchema>;

function cutLocations(release: ReleaseConfig, label: string): CutLocation[] {
  const names = release.afrac_loctypes.split(",").filter((name) => name !== "");
  const known = (name: string): name is CutLocation => (CUT_LOCATIONS as readonly string[]).includes(name);
  const unknown = names.find((name) => !known(name));
  // Without afrac nothing is cut anywhere, whatever the list says.
  if (unknown !== undefined && typeof release.afrac === "number") {
    throw inputError(
      "unknown-location",
      `${label}: afrac_loctypes has the unknown location "${unknown}"`,
      `The nearest known location is "${nearest(unknown, CUT_LOCATIONS)}".`,
    );
  }
  return names.filter(known);
}

/** The model config that a `beeg_config.json` describes; `label` is what errors call it. */
export function mapReleaseConfig(json: JsonObject, label: string): ModelConfig {
  const release = parseSchema(releaseSchema, json, label, Object.keys(releaseSchema.shape));
  const channels = release.d_pos_emb ?? 0;
  const config: ModelConfig = {
    vocabSize: release.vocab_size,
    contextLength: release.block_size,
    layers: release.n_layer,
    heads: release.n_head,
    headWidth: release.d_head ?? Math.floor(release.d_model / release.n_head),
    width: release.d_model,
    neurons: release.n_mlp ?? release.d_mlp ?? 4 * release.d_model,
    norm: release.rms_norm ? "rms" : "layer",
    normBias: !release.rms_norm && release.ln_bias,
    bias: release.bias,
    activation: release.activation_type,
    residualActivation: release.residual_activation_type,
    activationFraction: release.afrac ?? null,
    activationSites: cutLocations(release, label),
    tiedUnembed: release.tied_unembed,
    bigram: !release.enable_bigram_table ? "none" : release.learnable_bigram_table ? "trained" : "fixed",
    positions: channels === 0 ? "added" : release.sinusoidal_cat_pos_emb ? "sinusoid-channels" : "learned-channels",
    positionChannels: channels,
    sink: release.sink,
  };
  return checkModelConfig(parseSchema(modelConfigSchema, config, label));
}

/** Causal masks that some versions of torch models stored as if they were weights. */
const MASK_BUFFER = /^transformer\.h\.\d+\.attn\.bias$/;

function checkTied(tensors: ReadonlyMap<string, StateTensor>, label: string): void {
  const head = tensors.get(LM_HEAD)?.values;
  const table = tensors.get(WTE)?.values;
  if (head === undefined || table === undefined) return;
  if (head.length !== table.length || head.some((v, i) => v !== table[i])) {
    throw inputError(
      "not-tied",
      `${label}: the config says tied_unembed, but ${LM_HEAD} differs from ${WTE}`,
      `Set "tied_unembed": false in ${RELEASE_CONFIG} if the model was trained so.`,
    );
  }
}

/** The model in a release folder. Throws an input error that names the file and the field or tensor at fault. */
export function importRelease(folder: string): StoredModel {
  const configFile = path.join(folder, RELEASE_CONFIG);
  const weightsFile = path.join(folder, RELEASE_WEIGHTS);
  const config = mapReleaseConfig(readJsonObject(configFile), configFile);
  const tensors = readTorchStateDict(weightsFile);
  for (const name of [...tensors.keys()]) if (MASK_BUFFER.test(name)) tensors.delete(name);
  if (!tensors.has(LOGITS_BIAS)) {
    tensors.set(LOGITS_BIAS, { shape: [config.vocabSize], values: new Float32Array(config.vocabSize) });
  }
  if (config.tiedUnembed) {
    checkTied(tensors, weightsFile);
    tensors.delete(LM_HEAD);
  }
  return { config, params: matchParams(config, tensors, weightsFile) };
}
