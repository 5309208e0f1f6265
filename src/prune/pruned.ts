/**
 * A circuit on some prompts, under one ablation: how it scores, also with interventions in its nodes, and what its nodes
 * carry. Where ablation has several draws, prompts are dealt to them in turn and each part has an evaluator of its own.
 */
import type { PairBatch } from "../data/pairs.ts";
import type { StoredModel } from "../model/params.ts";
import { type Ablation, dealt, gathered } from "./ablation.ts";
import type { PrefixTree } from "./evaluator/prefix-tree.ts";
import {
  CircuitEvaluator,
  type Interventions,
  lossOfMargins,
  type RemovedEdges,
  type Score,
  scaling,
} from "./evaluator.ts";

/** A circuit as it is computed. */
export interface PrunedCircuit {
  /** One byte for each node of the model. */
  readonly kept: Uint8Array;
  readonly removed: RemovedEdges;
  /** What the values of scaled nodes are multiplied by, by flat index. */
  readonly scales: ReadonlyMap<number, number>;
}

/** Some of the prompts. */
export interface Part {
  readonly batch: PairBatch;
  readonly prefixes: PrefixTree;
  readonly fill: Float32Array;
  readonly evaluator: CircuitEvaluator;
}

/** What a node carries at the prefixes where it is computed. */
export interface NodeValues {
  /** By prefix. */
  readonly values: Float32Array;
  readonly rows: Int32Array;
}

/** Which nodes carry what instead, for each part. */
export type Intervene = (part: Part) => Interventions;

export class Pruned {
  readonly parts: readonly Part[];
  private readonly circuit: PrunedCircuit;
  private readonly rows: number;
  private readonly draws: number;
  private readonly scaling: Interventions | undefined;

  /** `everywhere`: nodes of the last layer at all tokens, not only where prompts are answered. */
  constructor(stored: StoredModel, circuit: PrunedCircuit, ablation: Ablation, batch: PairBatch, everywhere = false) {
    const { config, params } = stored;
    const { draws, frozenNorm } = ablation;
    this.circuit = circuit;
    this.rows = batch.rows;
    this.draws = draws.length;
    this.scaling = scaling(circuit.scales);
    this.parts = dealt(batch, draws.length).flatMap((part, draw) => {
      if (part.rows === 0) return [];
      const evaluator = new CircuitEvaluator(config, params, draws[draw]!, part, { frozenNorm, everywhere });
      return [{ batch: part, prefixes: evaluator.prefixes, fill: draws[draw]!, evaluator }];
    });
  }

  /** The circuit, or other kept nodes and removed edges; its scaled nodes are scaled unless they are intervened in. */
  score(
    { kept = this.circuit.kept, removed = this.circuit.removed }: Partial<PrunedCircuit> = {},
    intervene?: Intervene,
  ): Score {
    const margins = gathered(
      this.parts.map((part) => {
        const interventions = intervene ? new Map([...(this.scaling ?? []), ...intervene(part)]) : this.scaling;
        return part.evaluator.score(kept, removed, interventions).margins;
      }),
      this.rows,
    );
    return { loss: lossOfMargins(margins), margins, draws: this.draws };
  }

  /** Logits (V) of every prompt, in the order of the batch, one after another. */
  logits(vocabSize: number): Float32Array {
    const { kept, removed } = this.circuit;
    const out = new Float32Array(this.rows * vocabSize);
    const each = this.parts.map(({ evaluator }) => evaluator.logits(kept, { removed, interventions: this.scaling }));
    const rowOf = gathered(
      this.parts.map(({ batch }, part) => Float64Array.from({ length: batch.rows }, (_, i) => part * this.rows + i)),
      this.rows,
    );
    for (const [row, at] of rowOf.entries()) {
      const [part, i] = [Math.floor(at / this.rows), at % this.rows];
      out.set(each[part]!.subarray(i * vocabSize, (i + 1) * vocabSize), row * vocabSize);
    }
    return out;
  }

  /** What each kept node of the circuit, or of another, carries on a part's prompts, by flat index. */
  values(
    { evaluator }: Part,
    { kept = this.circuit.kept, removed = this.circuit.removed }: Partial<PrunedCircuit> = {},
  ): Map<number, NodeValues> {
    const all = new Map<number, NodeValues>();
    evaluator.run(kept, {
      removed,
      interventions: this.scaling,
      seen: (node, column, offset, rows) => all.set(node, { values: column.map((x) => x + offset), rows }),
    });
    return all;
  }
}
