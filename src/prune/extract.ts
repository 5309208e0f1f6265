/**
 * From a model and contrast pairs to the smallest circuit: attribution, gates, search, calibration and the curve of loss
 * against size beside it, and what the circuit's nodes are worth. Knows nothing of files, tasks or figures; the caller
 * says what counts as connected and how large a circuit is.
 */
import { setImmediate } from "node:timers/promises";
import type { PairBatch } from "../data/pairs.ts";
import type { Model } from "../model/model.ts";
import { AblatedTask } from "./ablated-task.ts";
import type { Ablation } from "./ablation.ts";
import { applyCalibration, calibrate, calibratedEvaluator } from "./calibrate.ts";
import type { Size, Stage } from "./candidate.ts";
import { type CurvePoint, lossCurve } from "./curve.ts";
import { type Evaluator, type Interventions, lossOfMargins, type RemovedEdges, type Score } from "./evaluator.ts";
import { type FaithfulOptions, FaithfulTask } from "./faithful.ts";
import type { EdgeList } from "./gates.ts";
import { countKept, indices, maskOf, without } from "./kept.ts";
import { queryKeyPairs } from "./learned-masks.ts";
import type { MaskGradient } from "./masked-model.ts";
import { firstPairs, pairAccuracy, scorePairs } from "./pair-scores.ts";
import { type FewerEdges, removeEdges } from "./remove-edges.ts";
import { Search } from "./search.ts";
import type { SearchProblem, SearchResult } from "./search-problem.ts";
import { gateCircuits, rankings } from "./starts.ts";
import { heldOpen, joined } from "./stays.ts";

export interface ExtractOptions {
  /** Task loss to reach, nats. */
  readonly target: number;
  readonly seed: number;
  /** How often gates are learned. */
  readonly gateRuns: number;
  /** Rounds of local search, at most. */
  readonly kicks: number;
  /** Moment of `performance.now()` at which the search ends; local search goes on until then. Undefined: as long as it pays. */
  readonly deadline?: number | undefined;
  /** Whether query and key of a channel stay or go together. */
  readonly tiedQk: boolean;
  /** Whether edges are removed too, after the nodes. */
  readonly pruneEdges: boolean;
  /** Also search with calibrated logits. */
  readonly calibrated: boolean;
  /** Also search at the targets of a curve. */
  readonly curve: boolean;
  /** When it is set, the extraction ends soon with the best so far. */
  readonly signal?: AbortSignal | undefined;
  readonly progress?: ((progress: ExtractProgress) => void) | undefined;
}

export interface ExtractProgress {
  readonly stage: "attribution" | "gates" | "edges" | "curve" | Stage;
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
  connected(kept: Uint8Array, removed?: RemovedEdges): Uint8Array;
  /** Indices of the edges between kept nodes. */
  edgesOf(kept: Uint8Array, removed?: RemovedEdges): number[];
  /** All edges of the model. */
  readonly edges: EdgeList;
  /** Nodes that are never removed, one byte each, and that `connected` adds; undefined when there are none. */
  readonly stays?: Uint8Array | undefined;
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
  /** Undefined unless edges were to be removed and there was a circuit. */
  readonly fewer: FewerEdges | undefined;
  readonly calibrated: CalibratedCircuit | undefined;
  /** Loosest target first; empty unless asked for. */
  readonly curve: readonly CurvePoint[];
}

/** Of an extraction that was ended before it began to search. */
const NOTHING: Extraction = {
  search: { best: undefined, candidates: [], stages: [], lowest: undefined, evaluations: 0, stopped: true },
  fewer: undefined,
  calibrated: undefined,
  curve: [],
};
/** Share of the time left for the search with raw logits. */
const RAW_SHARE = 0.75;
/** Circuits that a local search may score: of the task alone, or of many conditions, each of which takes ten times as long. */
const EVALUATIONS = { task: 8000, faithful: 2000 };
/** Training pairs that estimates are over. */
const ESTIMATE_PAIRS = 64;
/** Nodes of the largest circuit whose nodes are left out one by one: what a search left of a whole model has thousands. */
const LEAVE_ONE_OUT = 600;

/** Scores of the unpruned model on the pairs of every split. */
export function fullScores(model: Model, pairs: Pairs): Record<PairSplit, SplitScore> {
  return onSplits((split) => splitScore(scorePairs(model, pairs[split])));
}

/** A model and its pairs, ready to be searched any number of times. */
export class Extractor {
  private readonly ablated: AblatedTask;
  /** What the search goes by: the task under the ablation, or all that makes a circuit faithful. */
  private readonly objective: AblatedTask | FaithfulTask;
  /** Its gradients, for what may be pruned. */
  private readonly gradients: MaskGradient;
  private readonly pairs: Pairs;
  private readonly measures: Measures;
  private readonly evaluators: Readonly<Record<PairSplit, Evaluator>>;
  private readonly fit: Evaluator;
  private readonly verify: Evaluator;

  /** `faithful`: search for circuits that are more than sufficient. */
  constructor(model: Model, ablation: Ablation, pairs: Pairs, measures: Measures, faithful?: FaithfulOptions) {
    this.ablated = new AblatedTask(model, ablation);
    this.objective = faithful ? new FaithfulTask(model, ablation, faithful) : this.ablated;
    this.gradients = measures.stays ? heldOpen(this.objective, measures.stays) : this.objective;
    this.pairs = pairs;
    this.measures = measures;
    this.evaluators = onSplits((split) => this.ablated.evaluator(pairs[split]));
    this.fit = faithful ? this.objective.evaluator(pairs.train) : this.evaluators.train;
    this.verify = faithful ? this.objective.evaluator(pairs.val) : this.evaluators.val;
  }

  /** Task loss and accuracy of a set of nodes on every split. */
  scores(kept: Uint8Array, removed?: RemovedEdges, interventions?: Interventions): Record<PairSplit, SplitScore> {
    return onSplits((split) => splitScore(this.evaluators[split].score(kept, removed, interventions)));
  }

  async run(options: ExtractOptions): Promise<Extraction> {
    const { signal, deadline = Number.POSITIVE_INFINITY } = options;
    const ended = new AbortController();
    // Gates end with the time. What follows the search has a short time of its own, and only the signal ends it.
    const halted = async (): Promise<boolean> => {
      await setImmediate();
      return signal?.aborted ?? false;
    };
    const tell = (stage: ExtractProgress["stage"]) => (done: number, of: number) => {
      options.progress?.({ stage, done, of, best: undefined, calibrated: false });
      if (performance.now() > deadline) ended.abort();
    };
    const stop = signal ? AbortSignal.any([signal, ended.signal]) : ended.signal;
    const { fit, verify } = this;
    const orders = await rankings(this.gradients, this.pairs.train, { signal, progress: tell("attribution") });
    if (orders.length === 0) return NOTHING;
    const starts: Uint8Array[] = [];
    const { gated, connected } = this.gateable();
    for (let run = 0; run < options.gateRuns && !stop.aborted; run++) {
      const { edges } = this.measures;
      starts.push(
        ...(await gateCircuits(gated, this.pairs.train, {
          order: orders[orders.length - 1]!,
          edges,
          connected,
          score: fit,
          target: options.target,
          seed: options.seed + run,
          signal: stop,
          progress: (done, of) => tell("gates")(run * of + done, options.gateRuns * of),
        })),
      );
    }
    const search = await this.search({ search: fit, verify, starts }, orders, rawOptions(options), false);
    const best = search.best && maskOf(search.best.kept, this.objective.nodes);
    const further = !search.stopped && !signal?.aborted;
    const known = [...starts, ...search.candidates.map(({ kept }) => maskOf(kept, this.objective.nodes))];
    return {
      search,
      fewer: further && best && options.pruneEdges ? await this.removeEdges(best, options, halted) : undefined,
      calibrated:
        further && options.calibrated
          ? await this.calibratedSearch(orders, options, best ? [best, ...starts] : starts)
          : undefined,
      curve: further && options.curve ? await this.curve(known, options, halted, tell("curve")) : [],
    };
  }

  /** What gates close, and what of it has a path: nodes that the full model depends on stay in a faithful circuit. */
  private gateable(): { gated: MaskGradient; connected: Measures["connected"] } {
    const { gradients, objective, measures } = this;
    const { train } = this.pairs;
    if (!(objective instanceof FaithfulTask)) return { gated: gradients, connected: measures.connected };
    const open = objective.dependedOn(train);
    return {
      gated: heldOpen(gradients, open),
      connected: (kept) => measures.connected(objective.completed(train, joined(kept, open))),
    };
  }

  /** To first order: minus the gradient with respect to each node's mask. */
  private readonly estimate = (kept: Uint8Array): Float32Array => {
    const some = firstPairs(this.pairs.train, ESTIMATE_PAIRS);
    return this.gradients.gradient(some, Float32Array.from(kept)).gradient.map((slope) => -slope);
  };

  private partner({ tiedQk }: ExtractOptions): ((node: number) => number | undefined) | undefined {
    if (!tiedQk) return undefined;
    const partners = new Map(
      queryKeyPairs(this.objective.specs).flatMap(([q, k]) => [[q, k] as const, [k, q] as const]),
    );
    return (node) => partners.get(node);
  }

  private search(
    problem: Pick<SearchProblem, "search" | "verify" | "starts">,
    orders: readonly Int32Array[],
    options: ExtractOptions,
    calibrated: boolean,
  ): Promise<SearchResult> {
    const { size, connected, stays } = this.measures;
    const { target, seed, kicks, deadline, signal, progress } = options;
    return new Search(
      { ...problem, orders, target, size, connected, partner: this.partner(options), stays, estimate: this.estimate },
      {
        seed,
        kicks,
        evaluations: this.objective === this.ablated ? EVALUATIONS.task : EVALUATIONS.faithful,
        deadline,
        signal,
        progress: (stage, done, of, best) => progress?.({ stage, done, of, best, calibrated }),
      },
    ).run();
  }

  private removeEdges(
    kept: Uint8Array,
    { target, progress }: ExtractOptions,
    halted: () => Promise<boolean>,
  ): Promise<FewerEdges> {
    const { fit: search, verify } = this;
    const { edgesOf, connected } = this.measures;
    progress?.({ stage: "edges", done: 0, of: 1, best: undefined, calibrated: false });
    return removeEdges(kept, { target, search, verify, edgesOf, connected, halted });
  }

  private curve(
    starts: readonly Uint8Array[],
    options: ExtractOptions,
    halted: () => Promise<boolean>,
    progress: (done: number, of: number) => void,
  ): Promise<CurvePoint[]> {
    const { fit: search, verify } = this;
    const { size, connected, stays } = this.measures;
    return lossCurve({
      search,
      verify,
      size,
      connected,
      partner: this.partner(options),
      stays,
      estimate: this.estimate,
      starts,
      halted,
      progress,
    });
  }

  /**
   * How much the training loss rises without each kept node, by flat index: leave-one-out, but to first order for circuits
   * of more than `LEAVE_ONE_OUT` nodes.
   */
  importance(kept: Uint8Array, removed?: RemovedEdges, interventions?: Interventions): Map<number, number> {
    if (countKept(kept) > LEAVE_ONE_OUT) {
      const some = firstPairs(this.pairs.train, ESTIMATE_PAIRS);
      const slope = this.ablated.gradient(some, Float32Array.from(kept)).gradient;
      return new Map(indices(kept).map((n) => [n, -slope[n]!]));
    }
    const { train } = this.evaluators;
    const base = train.score(kept, removed, interventions).loss;
    const out = new Map<number, number>();
    for (const n of indices(kept)) out.set(n, train.score(without(kept, [n]), removed, interventions).loss - base);
    return out;
  }

  private async calibratedSearch(
    orders: readonly Int32Array[],
    options: ExtractOptions,
    starts: readonly Uint8Array[],
  ): Promise<CalibratedCircuit | undefined> {
    const on = (split: PairSplit) => ({ evaluator: this.evaluators[split], answers: this.pairs[split] });
    const fit = on("train");
    const search = calibratedEvaluator(fit);
    const verify = calibratedEvaluator(fit, on("val"));
    const { best } = await this.search({ search, verify, starts }, orders, options, true);
    if (!best) return undefined;
    const kept = maskOf(best.kept, this.objective.nodes);
    const { scale, shift } = calibrate(fit.evaluator.score(kept).margins, fit.answers);
    const taskLoss = onSplits((split) => {
      const { evaluator, answers } = on(split);
      return lossOfMargins(applyCalibration(evaluator.score(kept).margins, answers, { scale, shift }));
    });
    return { kept: best.kept, nodes: best.nodes, edges: best.edges, scale, shift, taskLoss };
  }
}

/** The calibrated search has a share of the time. */
function rawOptions(options: ExtractOptions): ExtractOptions {
  const { deadline, calibrated } = options;
  if (deadline === undefined || !calibrated) return options;
  const now = performance.now();
  return { ...options, deadline: now + RAW_SHARE * (deadline - now) };
}

function onSplits<T>(of: (split: PairSplit) => T): Record<PairSplit, T> {
  return { train: of("train"), val: of("val"), test: of("test") };
}

function splitScore(score: Score): SplitScore {
  return { taskLoss: score.loss, pairAccuracy: pairAccuracy(score) };
}
