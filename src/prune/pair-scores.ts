/** Scores of contrast pairs by whole forward passes, a few rows at a time so that memory stays small. */
import type { PairBatch } from "../data/pairs.ts";
import { Tape } from "../engine/tape.ts";
import { type Hooks, logitsAt } from "../model/forward.ts";
import type { Model } from "../model/model.ts";
import { lossOfMargins, type Score } from "./evaluator.ts";

/** Rows of a forward pass: what they need stays in the caches. */
export const CHUNK_ROWS = 32;

/** The batch cut into batches of at most `rows` rows, an even number; views of the same memory. */
export function* chunks(batch: PairBatch, rows = CHUNK_ROWS): Generator<PairBatch> {
  for (let at = 0; at < batch.rows; at += rows) yield rowsOf(batch, at, Math.min(batch.rows, at + rows));
}

/** Rows `from` to `to - 1`. */
export function rowsOf(batch: PairBatch, from: number, to: number): PairBatch {
  return {
    tokens: batch.tokens.subarray(from * batch.length, to * batch.length),
    rows: to - from,
    length: batch.length,
    last: batch.last.subarray(from, to),
    right: batch.right.subarray(from, to),
    wrong: batch.wrong.subarray(from, to),
  };
}

/** Some pairs, in the order given: pair i is rows 2i and 2i + 1. */
export function pickPairs(batch: PairBatch, pairs: readonly number[]): PairBatch {
  const { length } = batch;
  const rows = pairs.flatMap((pair) => [2 * pair, 2 * pair + 1]);
  const tokens = new Int32Array(rows.length * length);
  for (const [i, row] of rows.entries())
    tokens.set(batch.tokens.subarray(row * length, (row + 1) * length), i * length);
  const pick = (list: Int32Array): Int32Array => Int32Array.from(rows, (row) => list[row]!);
  return {
    tokens,
    rows: rows.length,
    length,
    last: pick(batch.last),
    right: pick(batch.right),
    wrong: pick(batch.wrong),
  };
}

/** Fraction of pairs with both prompts right. */
export function pairAccuracy({ margins }: Pick<Score, "margins">): number {
  let both = 0;
  for (let i = 0; i + 1 < margins.length; i += 2) if (margins[i]! > 0 && margins[i + 1]! > 0) both++;
  return both / (margins.length / 2);
}

/** The first pairs, at most so many. */
export function firstPairs(batch: PairBatch, count: number): PairBatch {
  return rowsOf(batch, 0, Math.min(batch.rows, 2 * count));
}

/** Index of each row's answer position into the B*T tokens. */
export function answerIndex(batch: PairBatch): Int32Array {
  return batch.last.map((t, row) => row * batch.length + t);
}

/** Logits (rows, V) at the answer positions. */
export function answerLogits(model: Model, batch: PairBatch, hooks: Hooks = {}): Float32Array {
  const tape = new Tape(model.engine, "nothing");
  const shape = { batch: batch.rows, length: batch.length };
  const logits = model.engine.read(logitsAt(tape, model, batch.tokens, shape, answerIndex(batch), hooks));
  tape.free();
  return logits;
}

/** How a model, or what is left of it under `hooks`, does the task. */
export function scorePairs(model: Model, batch: PairBatch, hooks: Hooks = {}): Score {
  const V = model.config.vocabSize;
  const margins = new Float64Array(batch.rows);
  let at = 0;
  for (const chunk of chunks(batch)) {
    const logits = answerLogits(model, chunk, hooks);
    for (let row = 0; row < chunk.rows; row++) {
      margins[at++] = logits[row * V + chunk.right[row]!]! - logits[row * V + chunk.wrong[row]!]!;
    }
  }
  return { loss: lossOfMargins(margins), margins };
}
