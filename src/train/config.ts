/**
 * Configuration of a training run: everything needed to repeat it. Defaults are applied once, by `resolveTrainConfig`,
 * from the weakest layer to the strongest; the result is stored in the run.
 */
import * as path from "node:path";
import { z } from "zod";
import { type GrammarOptions, grammarOptions } from "../data/grammar.ts";
import { PATTERN_NAMES } from "../data/pretokenize.ts";
import { TASK_LOSSES } from "../data/task.ts";
import { CUT_LOCATIONS, checkModelConfig, type ModelConfig, modelConfigSchema } from "../model/config.ts";
import { inputError } from "../util/errors.ts";
import { nearest } from "../util/nearest.ts";
import type { StepConfig } from "./step.ts";

const fraction = z.number().min(0).max(1);
const positive = z.number().gt(0);
const count = z.number().int().min(1);

const shape = modelConfigSchema.shape;

/** The model without what follows from other choices: the vocabulary from the tokenizer. */
const modelSchema = z.strictObject({
  contextLength: shape.contextLength,
  layers: shape.layers,
  width: shape.width,
  headWidth: shape.headWidth,
  /** Null: width / headWidth. */
  heads: shape.heads.nullable(),
  /** Null: 4 * width. */
  neurons: shape.neurons.nullable(),
  norm: shape.norm,
  normBias: shape.normBias,
  bias: shape.bias,
  activation: shape.activation,
  residualActivation: shape.residualActivation,
  activationFraction: shape.activationFraction,
  activationSites: shape.activationSites,
  tiedUnembed: shape.tiedUnembed,
  bigram: shape.bigram,
  positions: shape.positions,
  positionChannels: shape.positionChannels,
  sink: shape.sink,
});

const dataSchema = z.strictObject({
  /** Folders and files of a real corpus; none: the procedural one. */
  corpus: z.array(z.string()),
  /** Of the files that are read in folders. */
  extensions: z.array(z.string()).min(1),
  /** Field of JSONL lines and column of Parquet files that holds the text. */
  textField: z.string().min(1),
  /** What stands between the documents of a text file. */
  separator: z.string().min(1),
  /** Reading of a real corpus stops after as many. */
  maxTokens: count.max(1e9),
  /** Share of the tokens that are procedural when there is a real corpus. */
  procedural: fraction.lt(1),
  /** `closed`, `bpe`, or a tokenizer.json; null: bpe for a real corpus, else closed. */
  tokenizer: z.string().min(1).nullable(),
  /** Tokens of the vocabulary that bpe trains, end-of-text counted. */
  vocabSize: count.max(65_536),
  /** Pattern that bpe cuts text with: the published one, or that with countable opening brackets. */
  pattern: z.enum(PATTERN_NAMES),
  /** Profile of the procedural corpus. */
  profile: z.string(),
  /** Statements of a document, fewest and most; null: the profile's. */
  docStmts: z.tuple([count, count]).nullable(),
  maxDepth: z.number().int().min(0).max(8).nullable(),
  /** Share of strings and comments with misleading quotes; null: the profile's. */
  quoteNoise: fraction.nullable(),
  /** Statement weights; null: the profile's. */
  weights: z.record(z.string(), z.number().min(0)).nullable(),
  /** Corpus tokens counted for the bigram table's start; 0 starts it at random as the release does. */
  bigramTokens: z.number().int().min(0),
});

const optimizerSchema = z.strictObject({
  steps: count.max(100_000_000),
  /** Sequences a step. */
  batch: count.max(65535),
  lr: positive,
  beta1: fraction.lt(1),
  beta2: fraction.lt(1),
  eps: positive,
  weightDecay: z.number().min(0).max(10),
  /** Fraction of nonzero entries of each matrix at the end; 1 trains dense. */
  density: z.number().gt(0).max(1),
  /** The same of embedding, unembedding and biases; null: `density`. */
  embedDensity: z.number().gt(0).max(1).nullable(),
  anneal: z.enum(["linear", "exponential"]),
  annealStart: fraction,
  annealEnd: fraction,
  warmupFrac: fraction,
  lrDensityScaling: z.boolean(),
  /** j; null: as many as the density allows each neuron or channel, up to 4. */
  minPerNeuron: z.number().int().min(0).max(64).nullable(),
  gradMode: z.enum(["normalise", "clip", "none"]),
  clipRms: positive,
  sparseBiases: z.boolean(),
  /** Steps from one gradient of all entries to the next; 1 is exact (train/step.ts). */
  denseGradEvery: count,
  /** Held-out loss, nats, at which training ends before its last step, once annealing is over; null: never. */
  matchLoss: positive.nullable(),
});

const loggingSchema = z.strictObject({
  /** Steps between lines of metrics.jsonl. */
  every: count,
  /** Steps between evaluations on held-out text and validation pairs; null: a 40th of the run, 100 or more. */
  evalEvery: count.nullable(),
  /** Steps between checkpoints. */
  checkpointEvery: count,
  /** Corpus tokens of an evaluation. */
  evalTokens: count,
  /** Validation pairs of an evaluation, for each task; null: up to 128, fewer when tasks are many (train/trainer.ts). */
  evalPairs: count.nullable(),
});

const trainConfigSchema = z.strictObject({
  /** Task, group, `all`, or the file of a task of the user's own. */
  task: z.string(),
  /** What task losses are over; null: as each task says. */
  taskLoss: z.enum(TASK_LOSSES).nullable(),
  seed: z
    .number()
    .int()
    .min(0)
    .max(2 ** 31 - 1),
  model: modelSchema,
  data: dataSchema,
  training: optimizerSchema,
  logging: loggingSchema,
});

export type TrainConfig = z.infer<typeof trainConfigSchema>;

type DeepPartial<T> = T extends readonly unknown[] ? T : T extends object ? { [K in keyof T]?: DeepPartial<T[K]> } : T;
/** One layer of settings; what it leaves out comes from the layers before. */
export type TrainOverrides = DeepPartial<TrainConfig>;

export const TRAIN_DEFAULTS: TrainConfig = {
  task: "quotes",
  taskLoss: null,
  seed: 0,
  model: {
    contextLength: 128,
    layers: 2,
    width: 64,
    headWidth: 16,
    heads: null,
    neurons: null,
    norm: "rms",
    normBias: false,
    bias: true,
    activation: "gelu",
    residualActivation: "identity",
    activationFraction: null,
    activationSites: CUT_LOCATIONS.filter((location) => !location.startsWith("resid")),
    tiedUnembed: false,
    bigram: "trained",
    positions: "none",
    positionChannels: 0,
    sink: false,
  },
  data: {
    corpus: [],
    extensions: [".py"],
    textField: "text",
    separator: "<|endoftext|>",
    maxTokens: 50_000_000,
    procedural: 0,
    tokenizer: null,
    vocabSize: 2048,
    pattern: "brackets",
    profile: "quotes",
    docStmts: null,
    maxDepth: null,
    quoteNoise: null,
    weights: null,
    bigramTokens: 500_000,
  },
  training: {
    steps: 1000,
    batch: 8,
    lr: 2e-2,
    beta1: 0.9,
    beta2: 0.95,
    eps: 0.1,
    weightDecay: 0.1,
    density: 1 / 16,
    embedDensity: null,
    anneal: "exponential",
    annealStart: 0.01,
    annealEnd: 0.5,
    warmupFrac: 0.01,
    lrDensityScaling: true,
    minPerNeuron: null,
    gradMode: "normalise",
    clipRms: 1,
    sparseBiases: true,
    denseGradEvery: 1,
    matchLoss: null,
  },
  logging: { every: 10, evalEvery: null, checkpointEvery: 500, evalTokens: 16_384, evalPairs: null },
};

/** Every setting as a dotted key, for error messages and help: `training.density`. */
export function settingKeys(): string[] {
  const sections = { model: modelSchema, data: dataSchema, training: optimizerSchema, logging: loggingSchema };
  return [
    "task",
    "taskLoss",
    "seed",
    ...Object.entries(sections).flatMap(([name, schema]) => Object.keys(schema.shape).map((key) => `${name}.${key}`)),
  ];
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Settings that are objects in themselves: replaced whole, never merged. */
const WHOLE = new Set(["data.weights"]);

function merge(base: Record<string, unknown>, over: Record<string, unknown>, path: string): Record<string, unknown> {
  const out = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const here = `${path}${key}`;
    const before = out[key];
    out[key] =
      isRecord(before) && isRecord(value) && !WHOLE.has(here) ? merge(before, value, `${here}.`) : (value ?? null);
  }
  return out;
}

/** Values of `data.tokenizer` that are not files. */
const MADE_TOKENIZERS = ["closed", "bpe"];

/** Merges the layers over the defaults and checks the result. Later layers win. */
export function resolveTrainConfig(layers: readonly TrainOverrides[]): TrainConfig {
  let merged: Record<string, unknown> = TRAIN_DEFAULTS;
  for (const layer of layers) merged = merge(merged, layer as Record<string, unknown>, "");
  const parsed = trainConfigSchema.safeParse(merged);
  if (!parsed.success) {
    // A misspelt name first: it may be why another one is missing.
    const { issues } = parsed.error;
    throw describeIssue(issues.find((issue) => issue.code === "unrecognized_keys") ?? issues[0]!, merged);
  }
  const config = parsed.data;
  const { data } = config;
  // Absolute, since a run is resumed from any folder.
  data.corpus = data.corpus.map((one) => path.resolve(one));
  data.tokenizer ??= data.corpus.length > 0 ? "bpe" : "closed";
  if (!MADE_TOKENIZERS.includes(data.tokenizer)) data.tokenizer = path.resolve(data.tokenizer);
  if (data.procedural > 0 && data.corpus.length === 0) {
    throw inputError(
      "config-value",
      `data.procedural is ${data.procedural}, but there is no real corpus to mix with`,
      "Give one with --corpus, or leave --mix out: without a real corpus everything is procedural.",
    );
  }
  grammarOf(config);
  modelOf(config, 2);
  if (config.training.annealEnd < config.training.annealStart) {
    throw inputError(
      "config-value",
      `training.annealEnd is ${config.training.annealEnd}, before training.annealStart ${config.training.annealStart}`,
      "Let annealing end after it starts.",
    );
  }
  return config;
}

function describeIssue(issue: z.core.$ZodIssue, received: unknown): Error {
  const path = issue.path.map(String);
  if (issue.code === "unrecognized_keys") {
    const key = [...path, issue.keys[0]].join(".");
    return inputError(
      "unknown-setting",
      `There is no setting "${key}"`,
      `Did you mean "${nearest(key, settingKeys())}"? See \`sparse train --help\`.`,
    );
  }
  const value = path.reduce<unknown>(
    (v, key) => (isRecord(v) || Array.isArray(v) ? v[key as never] : undefined),
    received,
  );
  const expected = issue.message.replace(/^[^:]*: (?=expected)/, "").replace(/, received \w+$/, "");
  return inputError(
    "config-value",
    `Setting ${path.join(".")}: ${expected}, but received ${JSON.stringify(value) ?? "nothing"}`,
    valueHint(issue, value),
  );
}

/** The valid value nearest to the one that an issue is about. */
function valueHint(issue: z.core.$ZodIssue, value: unknown): string {
  if (issue.code === "invalid_value") {
    return `The nearest valid value is ${JSON.stringify(nearest(String(value), issue.values.map(String)))}.`;
  }
  if (issue.code !== "too_big" && issue.code !== "too_small") return "Correct the value.";
  const [limit, beyond] = issue.code === "too_big" ? [issue.maximum, "below"] : [issue.minimum, "above"];
  return issue.inclusive === false ? `It must be ${beyond} ${limit}.` : `The nearest valid value is ${limit}.`;
}

/** The grammar of the run's corpus. */
export function grammarOf(config: TrainConfig): GrammarOptions {
  const { profile, docStmts, maxDepth, quoteNoise, weights } = config.data;
  const own = { docStmts, maxDepth, quoteNoise, weights };
  const given = Object.fromEntries(Object.entries(own).filter(([, value]) => value !== null));
  return grammarOptions(profile, given as Partial<GrammarOptions>);
}

/** The model's own config, once the vocabulary is known. */
export function modelOf(config: TrainConfig, vocabSize: number): ModelConfig {
  const { heads, neurons, width, headWidth, ...rest } = config.model;
  if (heads === null && width % headWidth !== 0) {
    throw inputError(
      "config-value",
      `model.width ${width} is not a multiple of model.headWidth ${headWidth}`,
      "Change one of them, or set model.heads.",
    );
  }
  return checkModelConfig({
    ...rest,
    vocabSize,
    width,
    headWidth,
    heads: heads ?? width / headWidth,
    neurons: neurons ?? 4 * width,
  });
}

/** Largest default j: the paper's. */
const MIN_PER_NEURON = 4;

/** What a training step needs. j is limited by the density, or it would decide alone what is kept. */
export function stepConfigOf(config: TrainConfig): StepConfig {
  const { minPerNeuron, batch: _, ...rest } = config.training;
  const room = Math.floor(rest.density * config.model.width);
  return { ...rest, minPerNeuron: minPerNeuron ?? Math.max(1, Math.min(MIN_PER_NEURON, room)) };
}
