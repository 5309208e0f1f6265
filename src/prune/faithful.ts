/**
 * What a circuit must do to be real, as one task loss for the search: it does the task under every ablation and not only
 * its own, with its nodes' values from the full model, with random parts of the rest left on; its nodes carry what they carry
 * in the model; and the model fails without it. Each of these conditions is measured as a task loss, scaled so that it is met
 * at the target; a circuit's loss is that of the condition which it meets least.
 */
import type { PairBatch } from "../data/pairs.ts";
import type { Model } from "../model/model.ts";
import type { SiteSpec } from "../model/sites.ts";
import { Rng } from "../util/rng.ts";
import { AblatedTask } from "./ablated-task.ts";
import { ABLATIONS, type Ablation, type AblationKind } from "./ablation.ts";
import { type Evaluator, lossOfMargins, type RemovedEdges, type Score, supports } from "./evaluator.ts";
import { nodeErrors } from "./fidelity.ts";
import { fullValues } from "./full-values.ts";
import { indices } from "./kept.ts";
import type { LossGradient, MaskGradient, ValuedGradient } from "./masked-model.ts";
import { firstPairs } from "./pair-scores.ts";
import { type Part, Pruned } from "./pruned.ts";

export interface FaithfulOptions {
  /** Ablations besides the circuit's own. */
  readonly others: readonly Ablation[];
  /** Task loss to reach under the circuit's own ablation, nats. */
  readonly target: number;
  readonly seed: number;
}

/**
 * What a faithful circuit has to withstand besides its own ablation: the other kinds, and the norms otherwise. Zero is none of
 * them: it also takes away constants, nodes without a path from the input, which are no part of a circuit by rule.
 */
export function otherAblations(own: Ablation, measure: (kind: AblationKind) => Ablation): Ablation[] {
  const kinds = ABLATIONS.filter((kind) => kind !== own.kind && kind !== "zero");
  return [
    { ...own, frozenNorm: !own.frozenNorm },
    ...kinds.map((kind) => ({ ...measure(kind), frozenNorm: own.frozenNorm })),
  ];
}

/** Targets allowed under other ablations. */
const ALLOWED = 2;
/** Fractions of the ablated nodes that are left on. */
const RELAXED = [0.5, 0.75, 0.9];
/** Fractions of the kept nodes that take the full model's values. */
const INTERCHANGED = [0.1, 0.5, 0.9];
/** Share of chance, ln 2, that the model's loss without the circuit must reach: a little more than the check asks. */
const NEEDED = 0.93;
/** Weight of a circuit that the model does not need at all, in targets, for gradients. */
const SPARED = 4;
/** Fraction of the nodes' variance that may be unexplained: a little less than the check allows. */
const UNEXPLAINED = 0.18;
/**
 * Weight of the unexplained variance in the gates' loss, since it falls more slowly than the others, and where the price of an
 * edge follows the condition that is met least, since small circuits come only so low.
 */
const VALUES = { gradient: 4, price: 0.6 };
/** Pairs of the conditions that compute most of the model, or what all of it carries. */
const FEW_PAIRS = 32;

export class FaithfulTask implements MaskGradient {
  readonly nodes: number;
  readonly specs: readonly SiteSpec[];
  private readonly model: Model;
  private readonly ablation: Ablation;
  private readonly own: AblatedTask;
  private readonly others: readonly AblatedTask[];
  /** Others whose norms are free, for gradients. */
  private readonly smooth: readonly AblatedTask[];
  private readonly target: number;
  /** Nodes that are left on if they are ablated, one byte each. */
  private readonly relaxed: readonly Uint8Array[];
  /** Nodes that take the full model's values if they are kept, one byte each. */
  private readonly interchanged: readonly Uint8Array[];
  private readonly seed: number;

  constructor(model: Model, ablation: Ablation, { others, target, seed }: FaithfulOptions) {
    this.model = model;
    this.ablation = ablation;
    this.own = new AblatedTask(model, ablation);
    this.others = others.map((other) => new AblatedTask(model, other));
    this.smooth = this.others.filter((_, i) => !others[i]!.frozenNorm);
    this.target = target;
    this.nodes = this.own.nodes;
    this.specs = this.own.specs;
    this.seed = seed;
    this.relaxed = RELAXED.map((fraction) => this.randomNodes("relaxed", fraction));
    this.interchanged = [...INTERCHANGED, 1].map((fraction) => this.randomNodes("interchanged", fraction));
  }

  /** Nodes drawn with a probability of `fraction`, one byte each; others for every `draw`. */
  private randomNodes(purpose: string, fraction: number, draw = 0): Uint8Array {
    const rng = Rng.of(this.seed, purpose, fraction, draw);
    return Uint8Array.from({ length: this.nodes }, () => (rng.bool(fraction) ? 1 : 0));
  }

  /** Mean of the conditions' losses, and what the model can spare of the circuit. */
  gradient(batch: PairBatch, mask: Float32Array): LossGradient {
    const sum = { loss: 0, gradient: new Float32Array(this.nodes), worst: 0 };
    const sufficient = 4 + this.smooth.length;
    // Of all nodes that could be drawn, others for every batch.
    const draw = hash(batch.tokens);
    const drawn = (purpose: string, fractions: readonly number[]): Uint8Array =>
      this.randomNodes(purpose, fractions[draw % fractions.length]!, draw);
    const add = (of: ValuedGradient, allowed: number, passes?: (n: number) => boolean): void => {
      const factor = 1 / allowed / sufficient;
      sum.worst = Math.max(sum.worst, (of.loss - of.values) / allowed, (VALUES.price / VALUES.gradient) * of.values);
      sum.loss += factor * of.loss;
      for (let n = 0; n < this.nodes; n++) if (!passes || passes(n)) sum.gradient[n]! += factor * of.gradient[n]!;
    };
    const full = this.own.full(batch);
    add(this.own.gradient(batch, mask, { full, valueWeight: (VALUES.gradient * this.target) / UNEXPLAINED }), 1);
    add(this.own.gradient(batch, mask, { full, interchanged: drawn("interchanged", INTERCHANGED) }), 1);
    for (const other of this.smooth) add(other.gradient(batch, mask), ALLOWED);
    const on = drawn("relaxed", RELAXED);
    add(
      this.own.gradient(
        batch,
        mask.map((m, n) => (on[n] ? 1 : m)),
      ),
      1,
      (n) => !on[n],
    );
    const needed = NEEDED * Math.LN2;
    const without = this.own.gradient(
      batch,
      mask.map((m) => 1 - m),
    );
    if (without.loss < needed) {
      // The mask's opposite was given: its gradient has the opposite sign, and a loss is wanted high.
      const weight = (SPARED * this.target) / needed;
      sum.loss += weight * (needed - without.loss);
      sum.worst = Math.max(sum.worst, this.spared(without.loss));
      for (let n = 0; n < this.nodes; n++) sum.gradient[n]! += weight * without.gradient[n]!;
    }
    return sum;
  }

  evaluator(batch: PairBatch): Evaluator {
    const few = firstPairs(batch, FEW_PAIRS);
    const [own, ...others] = [this.own, ...this.others].map((task) => task.evaluator(batch));
    const passes = this.own.passes(few);
    const conditions: Condition[] = [
      (kept, removed) => own!.score(kept, removed),
      ...others.map(
        (other) => (kept: Uint8Array, removed?: RemovedEdges) => scaled(other.score(kept, removed), 1 / ALLOWED),
      ),
      ...this.fidelity(few),
      (kept) => evenly(this.spared(passes.score(kept.map((k) => 1 - k)).loss), few.rows),
      ...this.relaxed.map((on) => (kept: Uint8Array) => passes.score(kept.map((k, n) => (k || on[n] ? 1 : 0)))),
    ];
    return {
      score: (kept, removed) => {
        let worst: Score | undefined;
        for (const [i, condition] of conditions.entries()) {
          const score = condition(kept, removed);
          if (!worst || score.loss > worst.loss) worst = score;
          if (score.loss <= this.target) continue;
          // Whatever the others say, it is not a circuit. What it misses is likely what the next one misses.
          conditions.splice(i, 1);
          conditions.unshift(condition);
          break;
        }
        return worst!;
      },
    };
  }

  /** The circuit's nodes against the full model's: what they carry, and what the circuit does with the model's values. */
  private fidelity(batch: PairBatch): Condition[] {
    const stored = this.model.store();
    if (!supports(stored.config)) return [];
    const none = { kept: new Uint8Array(this.nodes), removed: new Set<number>(), scales: new Map<number, number>() };
    const pruned = new Pruned(stored, none, this.ablation, batch);
    const all = Array.from({ length: this.nodes }, (_, n) => n);
    const full = new Map(pruned.parts.map((part) => [part, fullValues(this.model, part.batch, part.prefixes, all)]));
    const takes = (chosen: Uint8Array, kept: Uint8Array) => (part: Part) => {
      const values = full.get(part)!;
      const nodes = indices(kept).filter((n) => chosen[n]);
      return new Map(nodes.map((n) => [n, (_: number, prefix: number) => values.get(n)![prefix]!]));
    };
    return [
      ...this.interchanged.map(
        (chosen): Condition =>
          (kept, removed = none.removed) =>
            pruned.score({ kept, removed }, takes(chosen, kept)),
      ),
      (kept, removed = none.removed) => {
        const traces = pruned.parts.map((part) => ({
          own: pruned.values(part, { kept, removed }),
          full: full.get(part)!,
        }));
        const errors = nodeErrors(traces);
        const unexplained = errors.reduce((sum, e) => sum + e.unexplained, 0) / Math.max(1, errors.length);
        return evenly((this.target * unexplained) / UNEXPLAINED, batch.rows);
      },
    ];
  }

  /** The target where the model's loss without the circuit is just what it must be, more where it is lower. */
  private spared(loss: number): number {
    return (this.target * NEEDED * Math.LN2) / Math.max(loss, 1e-6);
  }
}

/** A number that differs between batches. */
function hash(tokens: Int32Array): number {
  return tokens.reduce((h, token) => (Math.imul(h, 31) + token) >>> 0, 0);
}

type Condition = (kept: Uint8Array, removed?: RemovedEdges) => Score;

/** A score in which every prompt has the same loss. */
function evenly(loss: number, rows: number): Score {
  return { loss, margins: new Float64Array(rows).fill(marginOf(loss)) };
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
