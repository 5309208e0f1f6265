/**
 * What a circuit must do to be real, as one task loss for the search: it does the task under every ablation and not only
 * its own, with its nodes' values from the full model, with random parts of the rest left on; its nodes carry what they carry
 * in the model; and the model fails without it, but not without as many other nodes. A circuit's loss is that of the
 * condition (conditions.ts) which it meets least.
 */
import type { PairBatch } from "../data/pairs.ts";
import type { Model } from "../model/model.ts";
import type { SiteSpec } from "../model/sites.ts";
import { AblatedTask } from "./ablated-task.ts";
import { ABLATIONS, type Ablation, type AblationKind } from "./ablation.ts";
import {
  ALLOWED,
  Conditions,
  hash,
  INTERCHANGED,
  NEEDED,
  RANDOM,
  RELAXED,
  randomNodes,
  spared,
  UNEXPLAINED,
} from "./conditions.ts";
import type { Evaluator, Score } from "./evaluator.ts";
import type { LossGradient, MaskGradient, ValuedGradient } from "./masked-model.ts";
import { NodeCosts } from "./node-costs.ts";
import { firstPairs } from "./pair-scores.ts";

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

/** Nats that a node costs on which the model depends, all that random nodes may cost together: gates keep it open. */
const DEPENDS = 0.01;
/** Weight of a circuit that the model does not need at all, in targets, for gradients. */
const SPARED = 4;
/**
 * Weight of the unexplained variance in the gates' loss, since it falls more slowly than the others, and where the price of an
 * edge follows the condition that is met least, since small circuits come only so low.
 */
const VALUES = { gradient: 4, price: 0.6 };
/** Pairs on which nodes' costs are measured: most nodes matter on few of them. */
const COST_PAIRS = 64;

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
  private readonly seed: number;
  private readonly known = new WeakMap<PairBatch, NodeCosts>();

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
  }

  /** What single nodes are worth to the full model on some of the pairs. */
  private costs(batch: PairBatch): NodeCosts {
    const costs = this.known.get(batch) ?? NodeCosts.of(this.own.passes(firstPairs(batch, COST_PAIRS)), this.specs);
    this.known.set(batch, costs);
    return costs;
  }

  /** Nodes that the full model depends on, one byte each: a faithful circuit has most of them. */
  dependedOn(batch: PairBatch): Uint8Array {
    return this.costs(batch).above(DEPENDS);
  }

  /** Nodes, and as many of those that the full model depends on as its necessity takes. */
  completed(batch: PairBatch, kept: Uint8Array): Uint8Array {
    return this.costs(batch).completed(kept, RANDOM);
  }

  /** Mean of the conditions' losses, and what the model can spare of the circuit. */
  gradient(batch: PairBatch, mask: Float32Array): LossGradient {
    const sum = { loss: 0, gradient: new Float32Array(this.nodes), worst: 0 };
    const sufficient = 4 + this.smooth.length;
    // Of all nodes that could be drawn, others for every batch.
    const draw = hash(batch.tokens);
    const drawn = (purpose: string, fractions: readonly number[]): Uint8Array =>
      randomNodes(this.nodes, this.seed, purpose, fractions[draw % fractions.length]!, draw);
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
    const without = this.own.gradient(
      batch,
      mask.map((m) => 1 - m),
    );
    if (without.loss < NEEDED) {
      // The mask's opposite was given: its gradient has the opposite sign, and a loss is wanted high.
      const weight = (SPARED * this.target) / NEEDED;
      sum.loss += weight * (NEEDED - without.loss);
      sum.worst = Math.max(sum.worst, spared(without.loss, this.target));
      for (let n = 0; n < this.nodes; n++) sum.gradient[n]! += weight * without.gradient[n]!;
    }
    return sum;
  }

  evaluator(batch: PairBatch): Evaluator {
    const { model, ablation, own, others, target, seed } = this;
    const costs = this.costs(batch);
    const conditions = new Conditions({ model, ablation, own, others, costs, target, seed }).on(batch);
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
}
