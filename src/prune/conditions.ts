/**
 * The conditions of a faithful circuit, one by one: each scores kept nodes on pairs as a task loss, scaled so that it is met at
 * the target.
 */
import type { PairBatch } from "../data/pairs.ts";
import type { Model } from "../model/model.ts";
import { Rng } from "../util/rng.ts";
import type { AblatedTask } from "./ablated-task.ts";
import { type Ablation, dealt, gathered } from "./ablation.ts";
import { lossOfMargins, type RemovedEdges, type Score, supports } from "./evaluator.ts";
import { nodeErrors, promptErrors } from "./fidelity.ts";
import { fullValues } from "./full-values.ts";
import { indices } from "./kept.ts";
import type { NodeCosts } from "./node-costs.ts";
import { rowsOf } from "./pair-scores.ts";
import { type Part, Pruned } from "./pruned.ts";

/** Targets allowed under other ablations. */
export const ALLOWED = 2;
/** Fractions of the ablated nodes that are left on. */
export const RELAXED = [0.5, 0.75, 0.9];
/** Fractions of the kept nodes that take the full model's values. */
export const INTERCHANGED = [0.1, 0.5];
/** How often the nodes of each are drawn: draws differ more than pairs do, so that each draw has a share of the pairs. */
const DRAWS = 4;
/** Nats that the model's loss without the circuit must reach, chance being ln 2: a little more than the check asks. */
export const NEEDED = 0.93 * Math.LN2;
/** Nats that as many random nodes outside of the circuit may cost the model: a little less than the check allows. */
export const RANDOM = 0.008;
/** Fraction of the nodes' variance that may be unexplained: a little less than the check allows. */
export const UNEXPLAINED = 0.19;
/** Pairs of the conditions that compute most of the model, or what all of it carries: a share of all, and the least. */
const PART = { share: 0.25, least: 32 };

/** What a circuit misses; edges that are removed count where only the circuit is computed. */
export type Condition = (kept: Uint8Array, removed?: RemovedEdges) => Score;

/** Whose conditions they are. */
export interface ConditionInputs {
  readonly model: Model;
  readonly ablation: Ablation;
  /** The task under the circuit's own ablation, and under others. */
  readonly own: AblatedTask;
  readonly others: readonly AblatedTask[];
  readonly costs: NodeCosts;
  readonly target: number;
  readonly seed: number;
}

export class Conditions {
  private readonly inputs: ConditionInputs;
  private readonly nodes: number;

  constructor(inputs: ConditionInputs) {
    this.inputs = inputs;
    this.nodes = inputs.own.nodes;
  }

  /** All of them, on pairs; cheap ones first. */
  on(batch: PairBatch): Condition[] {
    const { own, others, costs, target } = this.inputs;
    const parts = partsOf(batch);
    const ownScore = own.evaluator(batch);
    const passes = own.passes(parts[3]);
    return [
      (kept) => evenly((target * costs.outside(kept)) / RANDOM, batch.rows),
      (kept, removed) => ownScore.score(kept, removed),
      ...others.map((other): Condition => {
        const otherScore = other.evaluator(batch);
        return (kept, removed) => scaled(otherScore.score(kept, removed), 1 / ALLOWED);
      }),
      ...this.fidelity(parts[0], parts[1]),
      (kept) => evenly(spared(passes.score(kept.map((k) => 1 - k)).loss, target), batch.rows),
      ...RELAXED.map((fraction, i) => this.relaxed(parts[i]!, fraction)),
    ];
  }

  /** Nodes drawn for each share of some pairs; others for other pairs. */
  private drawn(batch: PairBatch, purpose: string, fraction: number): Uint8Array[] {
    const first = hash(batch.tokens);
    const { seed } = this.inputs;
    return Array.from({ length: DRAWS }, (_, draw) => randomNodes(this.nodes, seed, purpose, fraction, first + draw));
  }

  /** The task with random parts of the rest left on. */
  private relaxed(batch: PairBatch, fraction: number): Condition {
    const on = this.drawn(batch, "relaxed", fraction);
    const draws = sharesOf(batch).map((share, draw): Condition => {
      const passes = this.inputs.own.passes(share);
      return (kept) => passes.score(kept.map((k, n) => (k || on[draw]![n] ? 1 : 0)));
    });
    return overDraws(batch, draws);
  }

  /** The circuit's nodes against the full model's: what they carry, and what the circuit does with the model's values. */
  private fidelity(drawn: PairBatch, batch: PairBatch): Condition[] {
    const { model, ablation, target } = this.inputs;
    const stored = model.store();
    if (!supports(stored.config)) return [];
    const none = { kept: new Uint8Array(this.nodes), removed: new Set<number>(), scales: new Map<number, number>() };
    const all = Array.from({ length: this.nodes }, (_, n) => n);
    const measured = (some: PairBatch) => {
      const pruned = new Pruned(stored, none, ablation, some);
      const full = new Map(pruned.parts.map((part) => [part, fullValues(model, part.batch, part.prefixes, all)]));
      return { pruned, full };
    };
    /** The values of the kept nodes in the full model, or of those that are chosen. */
    const values =
      (full: ReadonlyMap<Part, Map<number, Float32Array>>, kept: Uint8Array, chosen?: Uint8Array) => (part: Part) => {
        const of = full.get(part)!;
        const nodes = indices(kept).filter((n) => !chosen || chosen[n]);
        return new Map(nodes.map((n) => [n, (_: number, prefix: number) => of.get(n)![prefix]!]));
      };
    const { pruned, full } = measured(batch);
    const shares = sharesOf(drawn).map(measured);
    const interchanged = (fraction: number): Condition => {
      const chosen = this.drawn(drawn, "interchanged", fraction);
      const draws = shares.map(
        ({ pruned, full }, draw): Condition =>
          (kept, removed = none.removed) =>
            pruned.score({ kept, removed }, values(full, kept, chosen[draw]!)),
      );
      return overDraws(drawn, draws);
    };
    return [
      ...INTERCHANGED.map(interchanged),
      (kept, removed = none.removed) => pruned.score({ kept, removed }, values(full, kept)),
      (kept, removed = none.removed) => {
        const traces = pruned.parts.map((part) => ({
          own: pruned.values(part, { kept, removed }),
          full: full.get(part)!,
        }));
        const errors = nodeErrors(traces);
        const unexplained = errors.reduce((sum, e) => sum + e.unexplained, 0) / Math.max(1, errors.length);
        const shares = pruned.parts.map((part, i) => promptErrors(errors, traces[i]!, part));
        const score = spread((target * unexplained) / UNEXPLAINED, gathered(shares, batch.rows));
        return { ...score, draws: shares.length };
      },
    ];
  }
}

/** Parts of the pairs, each for some of the conditions, so that all pairs count in one or another; of few pairs they overlap. */
function partsOf(batch: PairBatch): [PairBatch, PairBatch, PairBatch, PairBatch] {
  const pairs = batch.rows / 2;
  const size = Math.min(pairs, Math.max(PART.least, Math.ceil(PART.share * pairs)));
  const part = (i: number): PairBatch => {
    const from = 2 * Math.min(i * size, pairs - size);
    return rowsOf(batch, from, from + 2 * size);
  };
  return [part(0), part(1), part(2), part(3)];
}

/** Nodes drawn with a probability of `fraction`, one byte each; others for every `draw`. */
export function randomNodes(nodes: number, seed: number, purpose: string, fraction: number, draw: number): Uint8Array {
  const rng = Rng.of(seed, purpose, fraction, draw);
  return Uint8Array.from({ length: nodes }, () => (rng.bool(fraction) ? 1 : 0));
}

/** The target where the model's loss without the circuit is just what it must be, more where it is lower. */
export function spared(loss: number, target: number): number {
  return (target * NEEDED) / Math.max(loss, 1e-6);
}

/** A number that differs between batches. */
export function hash(tokens: Int32Array): number {
  return tokens.reduce((h, token) => (Math.imul(h, 31) + token) >>> 0, 0);
}

/** The share of the pairs of each draw; of few pairs there are fewer draws. */
function sharesOf(batch: PairBatch): PairBatch[] {
  return dealt(batch, DRAWS).filter(({ rows }) => rows > 0);
}

/** A condition on all pairs from those of each draw on its share. */
function overDraws({ rows }: PairBatch, draws: readonly Condition[]): Condition {
  return (kept, removed) => {
    const each = draws.map((score) => score(kept, removed).margins);
    const margins = gathered(each, rows);
    return { loss: lossOfMargins(margins), margins, draws: draws.length };
  };
}

/** A score in which every prompt has the same loss. */
function evenly(loss: number, rows: number): Score {
  return { loss, margins: new Float64Array(rows).fill(marginOf(loss)) };
}

/** A score whose prompts have losses in proportion to something. */
function spread(loss: number, shares: Float64Array): Score {
  const mean = shares.reduce((sum, share) => sum + share, 0) / shares.length;
  if (!(mean > 0)) return evenly(loss, shares.length);
  return { loss, margins: Float64Array.from(shares, (share) => marginOf((loss * share) / mean)) };
}

/** A score whose losses, prompt by prompt, are `factor` times as large. */
function scaled({ margins, draws }: Score, factor: number): Score {
  const of = margins.map((m) => marginOf(factor * lossOfMargins([m])));
  return { loss: lossOfMargins(of), margins: of, draws };
}

/** The margin at which a prompt has a task loss. */
function marginOf(loss: number): number {
  return loss > 30 ? -loss : -Math.log(Math.expm1(Math.max(loss, 1e-12)));
}
