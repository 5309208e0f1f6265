/**
 * A model with a planted circuit among random sparse weights, its task and its ablation values: ground truth for the
 * search. Same options, same model and pairs; the means are the engine's.
 */
import { Wiring } from "../../src/circuits/wiring.ts";
import type { PairBatch } from "../../src/data/pairs.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { Model } from "../../src/model/model.ts";
import type { StoredModel } from "../../src/model/params.ts";
import type { PairSplit, Pairs } from "../../src/prune/extract.ts";
import { meanActivations, type TokenBatch } from "../../src/prune/means.ts";
import { Rng } from "../../src/util/rng.ts";
import { hide } from "./distractors.ts";
import { addNoise } from "./noise.ts";
import { LENGTH, Plant } from "./plant.ts";
import { type Draw, PLANTERS, type Shape } from "./shapes.ts";

export interface CaseOptions {
  readonly shape: Shape;
  /** Residual channels, a multiple of 8, 32 or more. */
  readonly width: number;
  /** Share of the distractors' weights that are not zero. */
  readonly density: number;
  /** The most that the distractors of a sublayer write into a planted channel, where codes are +-1. */
  readonly noise: number;
  readonly seed: number;
}

export interface GroundTruth {
  readonly options: CaseOptions;
  readonly stored: StoredModel;
  readonly wiring: Wiring;
  readonly pairs: Pairs;
  /** Random text: every token as likely at every place. */
  readonly text: readonly TokenBatch[];
  /** Planted nodes, one byte a node, flat site order. */
  readonly nodes: Uint8Array;
  /** Planted edges, indices into the edges of `wiring`, ascending. */
  readonly edges: readonly number[];
}

const PAIRS: Readonly<Record<PairSplit, number>> = { train: 64, val: 128, test: 256 };
const TEXT = { batch: 32, length: LENGTH };
const TEXT_BATCHES = 8;

export function generate(options: CaseOptions): GroundTruth {
  const { shape, width, seed } = options;
  const plant = new Plant(width, Rng.of(seed, shape, "plant"));
  const draw = PLANTERS[shape](plant);
  const { config, params, nodes } = plant;
  const text = textOf(config.vocabSize, Rng.of(seed, shape, "text"));
  hide(plant, options);
  if (options.noise > 0) {
    const { tokens, rows } = batchOf(draw, Rng.of(seed, shape, "noise"), TEXT.batch / 2);
    addNoise(plant, options, { text: text[0]!, prompts: { ids: tokens, tokens: { batch: rows, length: LENGTH } } });
  }
  const wiring = new Wiring(config, params);
  const pairsOf = (split: PairSplit): PairBatch => batchOf(draw, Rng.of(seed, shape, split), PAIRS[split]);
  return {
    options,
    stored: { config, params },
    wiring,
    pairs: { train: pairsOf("train"), val: pairsOf("val"), test: pairsOf("test") },
    text,
    nodes,
    edges: wiring.edgesOf(nodes),
  };
}

/** The model on an engine, and the means that ablation puts in the place of its nodes. */
export function meansOf({ stored, text }: GroundTruth, engine: Engine): { model: Model; means: Float32Array } {
  const model = new Model(engine, stored);
  return { model, means: meanActivations(model, text) };
}

function batchOf(draw: Draw, rng: Rng, count: number): PairBatch {
  const pairs = Array.from({ length: count }, () => draw(rng));
  const rows = 2 * count;
  return {
    tokens: Int32Array.from(pairs.flatMap(({ prompts }) => prompts.flat())),
    rows,
    length: LENGTH,
    last: new Int32Array(rows).fill(LENGTH - 1),
    right: Int32Array.from(pairs.flatMap(({ answers }) => answers)),
    wrong: Int32Array.from(pairs.flatMap(({ answers: [a, b] }) => [b, a])),
  };
}

function textOf(vocabSize: number, rng: Rng): TokenBatch[] {
  return Array.from({ length: TEXT_BATCHES }, () => ({
    ids: Int32Array.from({ length: TEXT.batch * TEXT.length }, () => rng.int(0, vocabSize - 1)),
    tokens: TEXT,
  }));
}
