/** How well a model does: next-token loss on held-out text, and a task's loss and accuracy on contrast pairs. */
import type { CorpusBatch } from "../data/corpus.ts";
import { batchPairs, type PairBatch } from "../data/pairs.ts";
import type { EncodedPair } from "../data/task.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import type { TokenShape } from "../engine/engine.ts";
import { LANES } from "../engine/limits.ts";
import { Tape } from "../engine/tape.ts";
import type { ModelConfig } from "../model/config.ts";
import { checkTokens, logitsAt, nextTokenLoss } from "../model/forward.ts";
import type { Model } from "../model/model.ts";

/** Inputs and targets of a packed batch: ids [B * T] and the token after each. */
export function inputsAndTargets(batch: CorpusBatch): { ids: Int32Array; targets: Int32Array } {
  const { rows, contextLength: T, tokens } = batch;
  const ids = new Int32Array(rows * T);
  const targets = new Int32Array(rows * T);
  for (let row = 0; row < rows; row++) {
    const at = row * (T + 1);
    ids.set(tokens.subarray(at, at + T), row * T);
    targets.set(tokens.subarray(at + 1, at + T + 1), row * T);
  }
  return { ids, targets };
}

interface Piece {
  /** Of `tokens.batch` sequences. */
  readonly ids: Int32Array;
  /** -1 in the sequences that only fill up. */
  readonly targets: Int32Array;
  readonly tokens: TokenShape;
  /** Sequences of the text, before those that fill up. */
  readonly rows: number;
}

/** Text in pieces of `batch` sequences, the last one filled up: passes of the shape of a step run in its memory. */
export function* pieces(text: CorpusBatch, batch: number): Generator<Piece> {
  const { contextLength: T } = text;
  const { ids, targets } = inputsAndTargets(text);
  for (let at = 0; at < text.rows; at += batch) {
    const piece = { ids: new Int32Array(batch * T), targets: new Int32Array(batch * T).fill(-1) };
    const rows = Math.min(batch, text.rows - at);
    piece.ids.set(ids.subarray(at * T, (at + rows) * T));
    piece.targets.set(targets.subarray(at * T, (at + rows) * T));
    yield { ...piece, tokens: { batch, length: T }, rows };
  }
}

/** Mean next-token loss in nats over text, `batch` sequences at a time. */
export function heldOutLoss(model: Model, text: CorpusBatch, batch: number): number {
  let sum = 0;
  for (const { ids, targets, tokens, rows } of pieces(text, batch)) {
    const tape = new Tape(model.engine, "nothing");
    sum += rows * nextTokenLoss(tape, model, ids, targets, tokens);
    tape.free();
  }
  return sum / text.rows;
}

export interface PairMetrics {
  /** Two-way cross entropy averaged over both prompts of every pair, nats; chance is ln 2. */
  readonly taskLoss: number;
  /** Fraction of prompts whose right completion beats the wrong one. */
  readonly accuracy: number;
  /** Fraction of pairs with both prompts right. */
  readonly pairAccuracy: number;
  /** Mean of -log P(right completion) over the whole vocabulary: a diagnostic. */
  readonly fullLoss: number;
  readonly pairs: number;
}

/** Task loss below which a task counts as learned: the target that circuits are pruned to (Gao et al. 2025, 2.2). */
export const LEARNED_LOSS = 0.15;

export function isLearned({ taskLoss }: PairMetrics): boolean {
  return taskLoss < LEARNED_LOSS;
}

/** Pairs scored in one forward pass: more only take memory. */
const MOST_PAIRS = 32;

/**
 * Shape of a pass over prompts of up to `longest` tokens, with at most `most` tokens if two prompts have no more. Few
 * shapes for all tasks and splits, so that they share their memory: the engine pads lengths to LANES anyway, and powers
 * of 2 divide a split.
 */
export function promptShape({ contextLength }: ModelConfig, longest: number, most: number): TokenShape {
  const length = Math.min(contextLength, Math.ceil(longest / LANES) * LANES);
  const fitting = Math.max(1, Math.min(MOST_PAIRS, most / (2 * length)));
  return { batch: 2 * 2 ** Math.floor(Math.log2(fitting)), length };
}

/** Scores a model on pairs of one task, about `most` tokens at a time. */
export function pairMetrics(
  model: Model,
  pairs: readonly EncodedPair[],
  tokenizer: Tokenizer,
  most = Number.POSITIVE_INFINITY,
): PairMetrics {
  let loss = 0;
  let full = 0;
  let right = 0;
  let both = 0;
  const longest = Math.max(...pairs.map(({ pos, neg }) => Math.max(pos.length, neg.length)));
  const shape = promptShape(model.config, longest, most);
  const chunk = shape.batch / 2;
  for (let at = 0; at < pairs.length; at += chunk) {
    const batch = batchPairs(pairs.slice(at, at + chunk), tokenizer, shape.length);
    const logits = answerLogits(model, batch);
    const V = model.config.vocabSize;
    for (let row = 0; row < batch.rows; row++) {
      const z = logits.subarray(row * V, (row + 1) * V);
      const margin = z[batch.right[row]!]! - z[batch.wrong[row]!]!;
      loss += margin > 0 ? Math.log1p(Math.exp(-margin)) : Math.log1p(Math.exp(margin)) - margin;
      full += logSumExp(z) - z[batch.right[row]!]!;
      if (margin > 0) right++;
      if (row % 2 === 1) {
        const other = logits.subarray((row - 1) * V, row * V);
        if (margin > 0 && other[batch.right[row - 1]!]! > other[batch.wrong[row - 1]!]!) both++;
      }
    }
  }
  const prompts = 2 * pairs.length;
  return {
    taskLoss: loss / prompts,
    accuracy: right / prompts,
    pairAccuracy: both / pairs.length,
    fullLoss: full / prompts,
    pairs: pairs.length,
  };
}

/** Logits (rows, V) at the answer positions. */
function answerLogits(model: Model, batch: PairBatch): Float32Array {
  const tokens = { batch: batch.rows, length: batch.length };
  checkTokens(model, batch.tokens, tokens);
  const at = batch.last.map((t, row) => row * batch.length + t);
  const tape = new Tape(model.engine, "nothing");
  const logits = model.engine.read(logitsAt(tape, model, batch.tokens, tokens, at));
  tape.free();
  return logits;
}

function logSumExp(z: Float32Array): number {
  let best = Number.NEGATIVE_INFINITY;
  for (const x of z) if (x > best) best = x;
  let sum = 0;
  for (const x of z) sum += Math.exp(x - best);
  return best + Math.log(sum);
}
