/**
 * From a model and contrast pairs to the smallest circuit: ablation values, attribution, search, calibration beside it,
 * and what the circuit's nodes are worth. Knows nothing of files, tasks or figures; the caller says what counts as
 * connected and how large a circuit is.
 */
import { setImmediate } from "node:timers/promises";
import type { PairBatch } from "../data/pairs.ts";
import type { Model } from "../model/model.ts";
import { nodeCount } from "../model/sites.ts";
import { attributionOrders } from "./attribution.ts";
import { applyCalibration, calibrate, calibratedEvaluator } from "./calibrate.ts";
import { CircuitEvaluator, type Evaluator, lossOfMargins, type Score, supports } from "./evaluator.ts";
import { descending, LearnedMasks, type MaskConfig } from "./learned-masks.ts";
import { MaskedModel } from "./masked-model.ts";
import { maskOf, Search, type SearchOptions, type SearchProblem, type SearchResult, type Size } from "./search.ts";

/** How nodes are ranked before the search: by attribution alone (best measured), or by learned masks too. */
export type Ranking = "attribution" | "masks";

export interface ExtractOptions {
  /** Task loss to reach, nats. */
  readonly target: number;
  readonly seed: number;
  readonly ranking: Ranking;
  readonly kicks: number;
  /** Also search with calibrated logits. */
  readonly calibrated: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly progress?: SearchOptions["progress"] | undefined;
}

export interface Pairs {
  /** Fitted by the search. */
  readonly train: PairBatch;
  /** Decide among the circuits found. */
  readonly val: PairBatch;
  /** Reported. */
  readonly test: PairBatch;
}
export type PairSplit = keyof Pairs;

export interface Measures {
  /** How many nodes and edges a circuit has. */
  size(kept: Uint8Array): Size;
  /** Nodes with a path from input to output. */
  connected(kept: Uint8Array): Uint8Array;
}

export interface SplitScore {
  readonly taskLoss: number;
  /** Fraction of pairs with both prompts right. */
  readonly pairAccuracy: number;
}

export interface CalibratedCircuit extends Size {
  readonly kept: readonly number[];
  readonly scale: number;
  readonly shift: ReadonlyMap<number, number>;
  /** Fitted on the training pairs, scored on each split. */
  readonly taskLoss: Readonly<Record<PairSplit, number>>;
}

export interface Extraction {
  readonly search: SearchResult;
  readonly scores: Readonly<Record<PairSplit, SplitScore>> | undefined;
  /** The unpruned model. */
  readonly full: Readonly<Record<PairSplit, SplitScore>>;
  /** Rise of the training loss when a kept node alone is ablated, by flat index. */
  readonly importance: ReadonlyMap<number, number>;
  readonly calibrated: CalibratedCircuit | undefined;
}

/** Steps of the integrated gradients that rank the nodes. */
const ATTRIBUTION_STEPS = [1, 5, 10];

/** Settings that learn masks of small models; the paper's own are PAPER_MASKS. */
const SMALL_MASKS: Omit<MaskConfig, "kCoef"> = {
  steps: 200,
  lr: 0.03,
  beta1: 0.9,
  beta2: 0.95,
  eps: 1e-8,
  weightDecay: 1e-3,
  temperature: 0.3,
  initNoise: 0.1,
  initBias: 0.5,
  gradClip: 1,
  warmupFrac: 0.05,
};
const MASK_K_COEFS = [0.001, 0.005];

const SPLITS = ["train", "val", "test"] as const satisfies readonly PairSplit[];

/** A model and its pairs, ready to be searched any number of times. */
export class Extractor {
  private readonly masked: MaskedModel;
  private readonly pairs: Pairs;
  private readonly measures: Measures;
  private readonly evaluators: Readonly<Record<PairSplit, Evaluator>>;
  private readonly nodes: number;

  /** `fill`: the value of each node when ablated, flat site order. */
  constructor(model: Model, fill: Float32Array, pairs: Pairs, measures: Measures) {
    this.masked = new MaskedModel(model, fill);
    this.pairs = pairs;
    this.measures = measures;
    this.nodes = nodeCount(model.config);
    const stored = model.store();
    const fast = supports(model.config);
    const evaluator = (batch: PairBatch): Evaluator =>
      fast ? new CircuitEvaluator(stored.config, stored.params, fill, batch) : this.masked.evaluator(batch);
    this.evaluators = { train: evaluator(pairs.train), val: evaluator(pairs.val), test: evaluator(pairs.test) };
  }

  /** Task loss and accuracy of a set of nodes on every split. */
  scores(kept: Uint8Array): Record<PairSplit, SplitScore> {
    return Object.fromEntries(SPLITS.map((split) => [split, splitScore(this.evaluators[split].score(kept))])) as Record<
      PairSplit,
      SplitScore
    >;
  }

  /** The unpruned model's scores. */
  full(): Record<PairSplit, SplitScore> {
    return this.scores(new Uint8Array(this.nodes).fill(1));
  }

  async run(options: ExtractOptions): Promise<Extraction> {
    const full = this.full();
    const orders = await this.orders(options);
    const { train, val } = this.evaluators;
    const search = await this.search({ search: train, verify: val }, orders, options);
    const best = search.best && maskOf(search.best.kept, this.nodes);
    return {
      search,
      full,
      scores: best && this.scores(best),
      importance: best ? this.importance(best) : new Map(),
      calibrated: options.calibrated && !search.stopped ? await this.calibratedSearch(orders, options) : undefined,
    };
  }

  private async orders(options: ExtractOptions): Promise<Int32Array[]> {
    const orders = await attributionOrders(this.masked, this.pairs.train, ATTRIBUTION_STEPS);
    if (options.ranking === "attribution") return orders;
    for (const kCoef of MASK_K_COEFS) {
      const masks = new LearnedMasks(this.masked, { ...SMALL_MASKS, kCoef }, options.seed);
      for (let i = 0; i < SMALL_MASKS.steps && !options.signal?.aborted; i++) {
        masks.step(this.pairs.train);
        await setImmediate();
      }
      orders.push(descending(masks.tau));
    }
    return orders;
  }

  private search(
    evaluators: Pick<SearchProblem, "search" | "verify">,
    orders: readonly Int32Array[],
    options: ExtractOptions,
  ): Promise<SearchResult> {
    const { size, connected } = this.measures;
    return new Search({ ...evaluators, orders, target: options.target, size, connected }, options).run();
  }

  /** Leave-one-out: how much the training loss rises without each kept node. */
  private importance(kept: Uint8Array): Map<number, number> {
    const { train } = this.evaluators;
    const base = train.score(kept).loss;
    const out = new Map<number, number>();
    for (let n = 0; n < kept.length; n++) {
      if (!kept[n]) continue;
      const without = kept.slice();
      without[n] = 0;
      out.set(n, train.score(without).loss - base);
    }
    return out;
  }

  private async calibratedSearch(
    orders: readonly Int32Array[],
    options: ExtractOptions,
  ): Promise<CalibratedCircuit | undefined> {
    const on = (split: PairSplit) => ({ evaluator: this.evaluators[split], answers: this.pairs[split] });
    const fit = on("train");
    const evaluators = { search: calibratedEvaluator(fit), verify: calibratedEvaluator(fit, on("val")) };
    const { best } = await this.search(evaluators, orders, options);
    if (!best) return undefined;
    const kept = maskOf(best.kept, this.nodes);
    const { scale, shift } = calibrate(fit.evaluator.score(kept).margins, fit.answers);
    const taskLoss = Object.fromEntries(
      SPLITS.map((split) => {
        const { evaluator, answers } = on(split);
        return [split, lossOfMargins(applyCalibration(evaluator.score(kept).margins, answers, { scale, shift }))];
      }),
    ) as Record<PairSplit, number>;
    return { kept: best.kept, nodes: best.nodes, edges: best.edges, scale, shift, taskLoss };
  }
}

function splitScore(score: Score): SplitScore {
  const { margins } = score;
  let both = 0;
  for (let i = 0; i + 1 < margins.length; i += 2) if (margins[i]! > 0 && margins[i + 1]! > 0) both++;
  return { taskLoss: score.loss, pairAccuracy: both / (margins.length / 2) };
}
