/** The benchmark's cases: model, batch, densities. All have what the released models have, unless said otherwise. */
import type { TokenShape } from "../src/engine/engine.ts";
import { CUT_LOCATIONS, checkModelConfig, type ModelConfig } from "../src/model/config.ts";
import { modelOf, resolveTrainConfig, stepConfigOf } from "../src/train/config.ts";
import type { StepConfig } from "../src/train/step.ts";
import { inputError } from "../src/util/errors.ts";
import { nearest } from "../src/util/nearest.ts";
import { Rng } from "../src/util/rng.ts";
import { cycleOf, type Mode } from "./mode.ts";

export interface Case {
  readonly name: string;
  readonly model: ModelConfig;
  readonly tokens: TokenShape;
  /** Fractions of nonzero weights to measure, in order. */
  readonly densities: readonly number[];
  /** j of the projection. */
  readonly minPerNeuron: number;
}

export interface Sizes {
  readonly width: number;
  readonly layers: number;
  readonly vocabSize: number;
  readonly length: number;
  readonly batch: number;
}

/** Heads of 16, four neurons a channel, biases, sinks, trained bigram table, AbsTopK 1/4 at the eight node sites. */
export function released(name: string, sizes: Sizes, densities: readonly number[]): Case {
  const { width, layers, vocabSize, length, batch } = sizes;
  const model = checkModelConfig({
    vocabSize,
    contextLength: length,
    layers,
    heads: width / 16,
    headWidth: 16,
    width,
    neurons: 4 * width,
    norm: "rms",
    normBias: false,
    bias: true,
    activation: "gelu",
    residualActivation: "identity",
    activationFraction: 1 / 4,
    activationSites: CUT_LOCATIONS.filter((location) => !location.startsWith("resid")),
    tiedUnembed: false,
    bigram: "trained",
    positions: "none",
    positionChannels: 0,
    sink: true,
  });
  return { name, model, tokens: { batch, length }, densities, minPerNeuron: 4 };
}

/** What `sparse train` does when nothing is set: no AbsTopK, no sinks, j limited by the density. */
function defaultTraining(): Case {
  const config = resolveTrainConfig([]);
  return {
    name: "default",
    model: modelOf(config, 575),
    tokens: { batch: config.training.batch, length: config.model.contextLength },
    densities: [1 / 16, 1 / 64],
    minPerNeuron: stepConfigOf(config).minPerNeuron,
  };
}

export const CASES: readonly Case[] = [
  released("S", { width: 256, layers: 4, vocabSize: 2048, length: 256, batch: 8 }, [1, 1 / 4, 1 / 16, 1 / 64]),
  released("M", { width: 1024, layers: 8, vocabSize: 2048, length: 256, batch: 8 }, [1 / 16, 1 / 64]),
  released("XS", { width: 64, layers: 2, vocabSize: 548, length: 128, batch: 32 }, [1 / 12]),
  defaultTraining(),
  released("tiny", { width: 32, layers: 2, vocabSize: 64, length: 32, batch: 4 }, [1 / 4]),
];

/** Throws an input error that names the nearest case. */
export function findCase(name: string): Case {
  const found = CASES.find((c) => c.name === name);
  if (found) return found;
  const names = CASES.map((c) => c.name);
  throw inputError(
    "unknown-case",
    `There is no case "${name}"; there are ${names.join(", ")}`,
    `Did you mean "${nearest(name, names)}"?`,
  );
}

/** The released recipe at a density that holds from the first step on, and a rate that does not change. */
export function stepConfig(
  c: Case,
  density: number,
  { lr = 2e-3, mode = "exact" }: { readonly lr?: number | undefined; readonly mode?: Mode | undefined } = {},
): StepConfig {
  return {
    steps: 1_000_000_000,
    lr,
    density,
    anneal: "linear",
    annealStart: 0,
    annealEnd: 0,
    warmupFrac: 0,
    lrDensityScaling: true,
    beta1: 0.9,
    beta2: 0.95,
    eps: 0.1,
    weightDecay: 0.1,
    minPerNeuron: c.minPerNeuron,
    gradMode: "normalise",
    clipRms: 1,
    sparseBiases: true,
    denseGradEvery: cycleOf(mode),
  };
}

export interface Batch {
  readonly ids: Int32Array;
  /** The next token; -1, not counted, at the end of a sequence. */
  readonly targets: Int32Array;
}

/** Random tokens: the same batch for the same step. */
export function batchOf(c: Case, step: number): Batch {
  const { batch, length } = c.tokens;
  const rng = Rng.of("bench", c.name, step);
  const ids = Int32Array.from({ length: batch * length }, () => rng.uint32() % c.model.vocabSize);
  const targets = ids.map((_, n) => (n % length === length - 1 ? -1 : ids[n + 1]!));
  return { ids, targets };
}
