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
import type { Size, Stage } from "./candidate.ts";
import { CircuitEvaluator, type Evaluator, lossOfMargins, type Score, supports } from "./evaluator.ts";
import { maskOf, without } from "./kept.ts";
import { descending, LearnedMasks, type MaskConfig } from "./learned-masks.ts";
import { MaskedModel } from "./masked-model.ts";
import { rowsOf, scorePairs } from "./pair-scores.ts";
import { Search } from "./search.ts";
import type { SearchProblem, SearchResult } from "./search-problem.ts";

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
  /** When it is set, the extraction ends soon with the best so far. */
  readonly signal?: AbortSignal | undefined;
  readonly progress?: ((progress: ExtractProgress) => void) | undefined;
}

export interface ExtractProgress {
  readonly stage: "attribution" | "learned masks" | Stage;
  readonly done: number;
  readonly of: number;
  /** Smallest circuit so far. */
  readonly best: Size | undefined;
  /** Whether this is the search with calibrated logits, which follows the raw one. */
  readonly calibrated: boolean;
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
  readonly calibrated: CalibratedCircuit | undefined;
}

/** Steps of the integrated gradients that rank the nodes, and the training pairs that they are over. */
const ATTRIBUTION_STEPS = [1, 5, 10];
const ATTRIBUTION_PAIRS = 64;

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
  tiedQk: true,
};
const MASK_K_COEFS = [0.001, 0.005];

/** Scores of the unpruned model on the pairs of every split. */
export function fullScores(model: Model, pairs: Pairs): Record<PairSplit, SplitScore> {
  return onSplits((split) => splitScore(scorePairs(model, pairs[split])));
}

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
    this.evaluators = onSplits((split) =>
      fast
        ? new CircuitEvaluator(stored.config, stored.params, fill, pairs[split])
        : this.masked.evaluator(pairs[split]),
    );
  }

  /** Task loss and accuracy of a set of nodes on every split. */
  scores(kept: Uint8Array): Record<PairSplit, SplitScore> {
    return onSplits((split) => splitScore(this.evaluators[split].score(kept)));
  }

  async run(options: ExtractOptions): Promise<Extraction> {
    const orders = await this.orders(options);
    const { train, val } = this.evaluators;
    const search = await this.search({ search: train, verify: val }, orders, options, false);
    const best = search.best && maskOf(search.best.kept, this.nodes);
    const further = options.calibrated && !search.stopped;
    return {
      search,
      calibrated: further ? await this.calibratedSearch(orders, options, best) : undefined,
    };
  }

  private async orders(options: ExtractOptions): Promise<Int32Array[]> {
    const { signal, progress } = options;
    const tell = (stage: ExtractProgress["stage"], done: number, of: number): void =>
      progress?.({ stage, done, of, best: undefined, calibrated: false });
    const { train } = this.pairs;
    const some = rowsOf(train, 0, Math.min(train.rows, 2 * ATTRIBUTION_PAIRS));
    const orders = await attributionOrders(this.masked, some, ATTRIBUTION_STEPS, {
      signal,
      progress: (done, of) => tell("attribution", done, of),
    });
    if (options.ranking === "attribution") return orders;
    const runs = MASK_K_COEFS.length;
    for (const [run, kCoef] of MASK_K_COEFS.entries()) {
      const masks = new LearnedMasks(this.masked, { ...SMALL_MASKS, kCoef }, options.seed);
      // Masks may prune too much in the end: the smallest that still did the task ranks the nodes.
      let smallest = Number.POSITIVE_INFINITY;
      let order = descending(masks.tau);
      for (let i = 0; i < SMALL_MASKS.steps; i++) {
        const before = descending(masks.tau);
        const { kept, taskLoss } = masks.step(some);
        if (taskLoss <= options.target && kept < smallest) [smallest, order] = [kept, before];
        tell("learned masks", run * SMALL_MASKS.steps + i + 1, runs * SMALL_MASKS.steps);
        await setImmediate();
        if (signal?.aborted) return orders;
      }
      orders.push(order);
    }
    return orders;
  }

  private search(
    problem: Pick<SearchProblem, "search" | "verify" | "starts">,
    orders: readonly Int32Array[],
    { target, seed, kicks, signal, progress }: ExtractOptions,
    calibrated: boolean,
  ): Promise<SearchResult> {
    const { size, connected } = this.measures;
    return new Search(
      { ...problem, orders, target, size, connected },
      { seed, kicks, signal, progress: (stage, done, of, best) => progress?.({ stage, done, of, best, calibrated }) },
    ).run();
  }

  /** Leave-one-out: how much the training loss rises without each kept node, by flat index. */
  importance(kept: Uint8Array): Map<number, number> {
    const { train } = this.evaluators;
    const base = train.score(kept).loss;
    const out = new Map<number, number>();
    for (let n = 0; n < kept.length; n++) {
      if (!kept[n]) continue;
      out.set(n, train.score(without(kept, [n])).loss - base);
    }
    return out;
  }

  private async calibratedSearch(
    orders: readonly Int32Array[],
    options: ExtractOptions,
    raw: Uint8Array | undefined,
  ): Promise<CalibratedCircuit | undefined> {
    const on = (split: PairSplit) => ({ evaluator: this.evaluators[split], answers: this.pairs[split] });
    const fit = on("train");
    const search = calibratedEvaluator(fit);
    const verify = calibratedEvaluator(fit, on("val"));
    const { best } = await this.search({ search, verify, starts: raw ? [raw] : [] }, orders, options, true);
    if (!best) return undefined;
    const kept = maskOf(best.kept, this.nodes);
    const { scale, shift } = calibrate(fit.evaluator.score(kept).margins, fit.answers);
    const taskLoss = onSplits((split) => {
      const { evaluator, answers } = on(split);
      return lossOfMargins(applyCalibration(evaluator.score(kept).margins, answers, { scale, shift }));
    });
    return { kept: best.kept, nodes: best.nodes, edges: best.edges, scale, shift, taskLoss };
  }
}

function onSplits<T>(of: (split: PairSplit) => T): Record<PairSplit, T> {
  return { train: of("train"), val: of("val"), test: of("test") };
}

function splitScore(score: Score): SplitScore {
  const { margins } = score;
  let both = 0;
  for (let i = 0; i + 1 < margins.length; i += 2) if (margins[i]! > 0 && margins[i + 1]! > 0) both++;
  return { taskLoss: score.loss, pairAccuracy: both / (margins.length / 2) };
}
