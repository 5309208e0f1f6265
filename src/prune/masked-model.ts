/**
 * A model whose nodes can be kept or ablated (Gao et al. 2025, A.5), on an engine: scores any mask, and gives the
 * gradient of the task loss with respect to it. Weights are frozen throughout.
 */

import type { PairBatch } from "../data/pairs.ts";
import type { Activation, DenseParam, TokenShape } from "../engine/engine.ts";
import { pairLoss } from "../engine/ops/index.ts";
import { Tape } from "../engine/tape.ts";
import { logitsAt, type SiteMask, type SitePatch } from "../model/forward.ts";
import type { Model } from "../model/model.ts";
import { type SiteName, type SiteSpec, siteSpecs } from "../model/sites.ts";
import { assert } from "../util/errors.ts";
import type { Evaluator, Score } from "./evaluator.ts";
import { answerIndex, answerLogits, chunks, scorePairs } from "./pair-scores.ts";
import { type SiteValues, valueLoss } from "./value-loss.ts";

/** What learns masks by gradients. */
export interface MaskGradient {
  /** Number of nodes. */
  readonly nodes: number;
  readonly specs: readonly SiteSpec[];
  /** Task loss and d(task loss)/d(mask), flat. Mask entries may be anything between 0 and 1. */
  gradient(batch: PairBatch, mask: Float32Array): LossGradient;
}

export interface LossGradient {
  readonly loss: number;
  readonly gradient: Float32Array;
  /** The largest of several losses that are averaged, each as it is compared with the target. */
  readonly worst?: number | undefined;
}

/** What a gradient is of besides the task loss of a mask. */
export interface Against {
  /** What all nodes carry in the full model, of `full`; measured where it is needed and not given. */
  readonly full?: readonly FullValues[] | undefined;
  /** Weight of the value loss (value-loss.ts) that is added. */
  readonly valueWeight?: number | undefined;
  /** Nodes that carry, as far as they are kept, what they carry in the full model, one byte each. */
  readonly interchanged?: Uint8Array | undefined;
}

export interface ValuedGradient extends LossGradient {
  /** What the values' distance from the full model's adds to the loss. */
  readonly values: number;
}

/** What all nodes carry in the full model, and for which tokens, by site; of one forward pass. */
export interface FullValues {
  readonly values: SiteValues;
  readonly tokens: ReadonlyMap<SiteName, TokenShape>;
}

export class MaskedModel implements MaskGradient {
  readonly model: Model;
  readonly specs: readonly SiteSpec[];
  /** Number of nodes. */
  readonly nodes: number;
  private readonly masks = new Map<SiteName, SiteMask>();

  /** `fill`: each node's ablation value, in flat site order. */
  constructor(model: Model, fill: Float32Array) {
    this.model = model;
    this.specs = siteSpecs(model.config);
    this.nodes = this.specs.reduce((sum, s) => sum + s.width, 0);
    assert(fill.length === this.nodes, `${fill.length} ablation values for ${this.nodes} nodes`);
    for (const { name, width, offset } of this.specs) {
      const mask = model.engine.dense(`${name}.mask`, [width]);
      const mean = model.engine.dense(`${name}.mean`, [width]);
      model.engine.writeParam(mean, "value", fill.slice(offset, offset + width));
      this.masks.set(name, { mask, mean });
    }
  }

  private setMask(mask: Float32Array): void {
    for (const { name, width, offset } of this.specs) {
      this.model.engine.writeParam(this.masks.get(name)!.mask, "value", mask.slice(offset, offset + width));
    }
  }

  /** Logits (P, V) at the answer positions. */
  logits(batch: PairBatch, mask: Float32Array): Float32Array {
    this.setMask(mask);
    return answerLogits(this.model, batch, { masks: this.masks });
  }

  /** Task loss and d(task loss)/d(mask), flat. Mask entries may be anything between 0 and 1. */
  gradient(batch: PairBatch, mask: Float32Array, against: Against = {}): ValuedGradient {
    const { valueWeight = 0, interchanged } = against;
    const whole = valueWeight > 0 || interchanged ? (against.full ?? this.full(batch)) : [];
    const { engine } = this.model;
    const params: DenseParam[] = [...this.masks.values()].map((m) => m.mask);
    const gradient = new Float32Array(this.nodes);
    let loss = 0;
    let values = 0;
    this.setMask(mask);
    for (const [i, chunk] of [...chunks(batch)].entries()) {
      const full = whole[i];
      engine.clearGrads(params);
      const tape = new Tape(engine, "inputs");
      const shape = { batch: chunk.rows, length: chunk.length };
      const places = new Map<SiteName, Activation>();
      const given = full && interchanged && this.interchange(full, interchanged);
      const hooks = {
        masks: this.masks,
        unmasked: (name: SiteName, x: Activation) => places.set(name, x),
        ...(given && { given }),
      };
      const logits = logitsAt(tape, this.model, chunk.tokens, shape, answerIndex(chunk), hooks);
      const { mean } = pairLoss(tape, logits, chunk.right, chunk.wrong);
      const share = chunk.rows / batch.rows;
      if (full && valueWeight > 0) {
        const read = new Map([...places].map(([name, x]) => [name, engine.read(x)]));
        const apart = { values: read, full: full.values };
        const { loss: of, ofMask, ofValues } = valueLoss(this.specs, chunk, mask, apart, valueWeight);
        values += share * of;
        for (let n = 0; n < ofMask.length; n++) gradient[n]! += share * ofMask[n]!;
        for (const [name, x] of places) engine.write(tape.gradTarget(x).dx, ofValues.get(name)!);
      }
      tape.backward();
      tape.free();
      for (const { values, where } of given?.values() ?? []) {
        engine.release(values);
        engine.release(where);
      }
      loss += share * mean;
      for (const { name, offset } of this.specs) {
        const part = engine.readParam(this.masks.get(name)!.mask, "grad");
        for (let c = 0; c < part.length; c++) gradient[offset + c]! += share * part[c]!;
      }
    }
    return { loss: loss + values, gradient, values };
  }

  /** Values of all nodes with none ablated, of each forward pass that a batch takes. */
  full(batch: PairBatch): FullValues[] {
    this.setMask(new Float32Array(this.nodes).fill(1));
    return [...chunks(batch)].map((chunk) => this.fullValues(chunk));
  }

  private fullValues(batch: PairBatch): FullValues {
    const values = new Map<SiteName, Float32Array>();
    const tokens = new Map<SiteName, TokenShape>();
    const tape = new Tape(this.model.engine, "nothing");
    const shape = { batch: batch.rows, length: batch.length };
    logitsAt(tape, this.model, batch.tokens, shape, answerIndex(batch), {
      masks: this.masks,
      unmasked: (name, x) => {
        values.set(name, this.model.engine.read(x));
        tokens.set(name, x.tokens);
      },
    });
    tape.free();
    return { values, tokens };
  }

  /** Patches that put the full model's values into nodes. */
  private interchange({ values, tokens }: FullValues, interchanged: Uint8Array): Map<SiteName, SitePatch> {
    const { engine } = this.model;
    const patches = new Map<SiteName, SitePatch>();
    for (const { name, offset, width } of this.specs) {
      const full = values.get(name)!;
      const shape = tokens.get(name)!;
      const patch = { values: engine.activation(shape, width), where: engine.activation(shape, width) };
      engine.write(patch.values, full);
      engine.write(
        patch.where,
        full.map((_, i) => interchanged[offset + (i % width)]!),
      );
      patches.set(name, patch);
    }
    return patches;
  }

  /** Scores kept sets by whole forward passes: slower than `CircuitEvaluator`, for any model. */
  evaluator(batch: PairBatch): Evaluator {
    return {
      score: (kept: Uint8Array): Score => {
        this.setMask(Float32Array.from(kept));
        return scorePairs(this.model, batch, { masks: this.masks });
      },
    };
  }
}
