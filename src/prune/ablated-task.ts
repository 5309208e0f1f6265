/** A model and its ablation, ready to score kept nodes on pairs and to give the gradient with respect to masks. */
import type { PairBatch } from "../data/pairs.ts";
import type { Model } from "../model/model.ts";
import type { StoredModel } from "../model/params.ts";
import type { SiteSpec } from "../model/sites.ts";
import { type Ablation, dealt, gathered } from "./ablation.ts";
import {
  CircuitEvaluator,
  type Evaluator,
  type Interventions,
  lossOfMargins,
  type RemovedEdges,
  supports,
} from "./evaluator.ts";
import { type Against, type FullValues, MaskedModel, type MaskGradient, type ValuedGradient } from "./masked-model.ts";

export class AblatedTask implements MaskGradient {
  readonly nodes: number;
  readonly specs: readonly SiteSpec[];
  private readonly ablation: Ablation;
  private readonly stored: StoredModel;
  /** One for each draw. */
  private readonly masked: readonly MaskedModel[];

  constructor(model: Model, ablation: Ablation) {
    this.ablation = ablation;
    this.stored = model.store();
    this.masked = ablation.draws.map((fill) => new MaskedModel(model, fill));
    this.nodes = this.masked[0]!.nodes;
    this.specs = this.masked[0]!.specs;
  }

  /** What several gradients of a batch share (`Against`); undefined where values are drawn, and each gradient measures it. */
  full(batch: PairBatch): FullValues[] | undefined {
    return this.masked.length === 1 ? this.masked[0]!.full(batch) : undefined;
  }

  gradient(batch: PairBatch, mask: Float32Array, against: Against = {}): ValuedGradient {
    if (this.masked.length === 1) return this.masked[0]!.gradient(batch, mask, against);
    const sum = new Float32Array(this.nodes);
    let loss = 0;
    let values = 0;
    for (const [draw, part] of dealt(batch, this.masked.length).entries()) {
      if (part.rows === 0) continue;
      const share = part.rows / batch.rows;
      const of = this.masked[draw]!.gradient(part, mask, against);
      loss += share * of.loss;
      values += share * of.values;
      for (let n = 0; n < sum.length; n++) sum[n]! += share * of.gradient[n]!;
    }
    return { loss, gradient: sum, values };
  }

  /** Scores kept nodes on a batch. */
  evaluator(batch: PairBatch): Evaluator {
    return this.overDraws(batch, (part, draw) => this.drawEvaluator(part, draw));
  }

  /** The same by whole forward passes: faster for most of a model, but with free norms and without removed edges. */
  passes(batch: PairBatch): Evaluator {
    return this.overDraws(batch, (part, draw) => this.masked[draw]!.evaluator(part));
  }

  private overDraws(batch: PairBatch, evaluatorOf: (part: PairBatch, draw: number) => Evaluator): Evaluator {
    const { draws } = this.ablation;
    const parts = dealt(batch, draws.length)
      .map((part, draw) => ({ part, draw }))
      .filter(({ part }) => part.rows > 0);
    const each = parts.map(({ part, draw }) => evaluatorOf(part, draw));
    if (each.length === 1) return each[0]!;
    return {
      score: (kept: Uint8Array, removed?: RemovedEdges, interventions?: Interventions) => {
        const margins = gathered(
          each.map((evaluator) => evaluator.score(kept, removed, interventions).margins),
          batch.rows,
        );
        return { loss: lossOfMargins(margins), margins, draws: draws.length };
      },
    };
  }

  private drawEvaluator(batch: PairBatch, draw: number): Evaluator {
    const { config, params } = this.stored;
    if (!supports(config)) return this.masked[draw]!.evaluator(batch);
    return new CircuitEvaluator(config, params, this.ablation.draws[draw]!, batch, this.ablation);
  }
}
