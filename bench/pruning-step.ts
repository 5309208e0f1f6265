/**
 * A pruning step: masks at every node site, forward, loss at the last position, backward to the masks and nothing else,
 * update of the masks. Its batch has as many tokens as a training step's.
 */
import type { PairBatch } from "../src/data/pairs.ts";
import type { TokenShape } from "../src/engine/engine.ts";
import type { Model } from "../src/model/model.ts";
import { nodeCount } from "../src/model/sites.ts";
import { LearnedMasks, PAPER_MASKS } from "../src/prune/learned-masks.ts";
import { MaskedModel } from "../src/prune/masked-model.ts";

export class PruningStep {
  private readonly masks: LearnedMasks;
  private readonly tokens: TokenShape;

  constructor(model: Model, tokens: TokenShape) {
    this.tokens = tokens;
    const fill = new Float32Array(nodeCount(model.config));
    this.masks = new LearnedMasks(new MaskedModel(model, fill), PAPER_MASKS, 0);
  }

  /** The task loss of prompts whose right completion is their last token and whose wrong one is the first. */
  step(ids: Int32Array): number {
    const { batch: rows, length } = this.tokens;
    const column = (t: number): Int32Array => Int32Array.from({ length: rows }, (_, row) => ids[row * length + t]!);
    const batch: PairBatch = {
      tokens: ids,
      rows,
      length,
      last: new Int32Array(rows).fill(length - 1),
      right: column(length - 1),
      wrong: column(0),
    };
    return this.masks.step(batch).taskLoss;
  }
}
