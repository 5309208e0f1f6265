/** How well a model does: next-token loss on held-out text, and a task's loss and accuracy on contrast pairs. */
import type { BatchMark, CorpusBatch } from "../data/corpus.ts";
import { batchPairs, type PairBatch } from "../data/pairs.ts";
import type { EncodedPair, TaskLoss } from "../data/task.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import type { TokenShape } from "../engine/engine.ts";
import { LANES } from "../engine/limits.ts";
import { Tape } from "../engine/tape.ts";
import type { ModelConfig } from "../model/config.ts";
import { checkTokens, finalHidden, logitsAt, logitsOfPlaces, lossOf } from "../model/forward.ts";
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
  /** The text's sequence that the piece begins with. */
  readonly from: number;
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
    yield { ...piece, tokens: { batch, length: T }, rows, from: at };
  }
}

/** Mean next-token loss in nats over text, `batch` sequences at a time. */
export function heldOutLoss(model: Model, text: CorpusBatch, batch: number): number {
  return textMetrics(model, { ...text, marks: [] }, batch).loss;
}

/** How often the model chooses right of two where programs decide what a task asks. */
interface DecisionMetrics {
  readonly accuracy: number;
  readonly decisions: number;
}

export interface TextMetrics {
  /** Mean next-token loss, nats. */
  readonly loss: number;
  /** By the name of the task, of those whose decisions the text marks. */
  readonly decisions: Readonly<Record<string, DecisionMetrics>>;
}

/** Scores a model on text, `batch` sequences at a time; decisions cost hardly more than the loss alone. */
export function textMetrics(model: Model, text: CorpusBatch, batch: number): TextMetrics {
  const { contextLength: T } = text;
  const counts = new Map<string, { right: number; all: number }>();
  // As many places in every piece, so that all of them use the same memory.
  const marked = (from: number): readonly BatchMark[] =>
    text.marks.filter(({ row }) => row >= from && row < from + batch);
  let most = 0;
  for (let from = 0; from < text.rows; from += batch) most = Math.max(most, marked(from).length);
  let sum = 0;
  for (const { ids, targets, tokens, rows, from } of pieces(text, batch)) {
    const marks = marked(from);
    const tape = new Tape(model.engine, "nothing");
    const hidden = finalHidden(tape, model, ids, tokens);
    sum += rows * lossOf(tape, model, hidden, ids, targets);
    if (marks.length > 0) {
      const at = new Int32Array(most);
      marks.forEach(({ row, position }, i) => {
        at[i] = (row - from) * T + position;
      });
      const logits = model.engine.read(logitsOfPlaces(tape, model, hidden, ids, at));
      marks.forEach(({ task, right, wrong }, i) => {
        const z = i * model.config.vocabSize;
        const count = counts.get(task) ?? { right: 0, all: 0 };
        counts.set(task, count);
        count.all++;
        if (logits[z + right]! > logits[z + wrong]!) count.right++;
      });
    }
    tape.free();
  }
  const decisions = [...counts].map(([task, { right, all }]) => [task, { accuracy: right / all, decisions: all }]);
  return { loss: sum / text.rows, decisions: Object.fromEntries(decisions) as TextMetrics["decisions"] };
}

export interface PairMetrics {
  /**
   * Nats, averaged over both prompts of every pair. `pair`: two-way cross entropy of the candidates; chance is ln 2.
   * `target-or-not`: cross entropy, over the whole vocabulary, of whether the first side's completion comes: -log p of
   * it after the first prompt, -log(1 - p) after the second.
   */
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

export interface PairOptions {
  /** What the task loss is over. Default `pair`. */
  readonly loss?: TaskLoss;
  /** Tokens that go through the model at a time, about. */
  readonly most?: number;
}

/** Scores a model on pairs of one task. */
export function pairMetrics(
  model: Model,
  pairs: readonly EncodedPair[],
  tokenizer: Tokenizer,
  { loss = "pair", most = Number.POSITIVE_INFINITY }: PairOptions = {},
): PairMetrics {
  const answers = pairAnswers(model, pairs, tokenizer, most);
  const rows = answers.flatMap(({ pos, neg }) => [pos, neg]);
  const mean = (of: (answer: Answer) => number): number => rows.reduce((sum, row) => sum + of(row), 0) / rows.length;
  return {
    taskLoss:
      loss === "pair"
        ? mean(({ margin }) => softplus(-margin))
        : answers.reduce((sum, { pos, neg }) => sum + pos.full + neg.notWrong, 0) / rows.length,
    accuracy: mean(({ margin }) => Number(margin > 0)),
    pairAccuracy: answers.filter(({ pos, neg }) => pos.margin > 0 && neg.margin > 0).length / pairs.length,
    fullLoss: mean(({ full }) => full),
    pairs: pairs.length,
  };
}

/** What a model says at the end of a prompt. */
export interface Answer {
  /** Logit of the right completion above that of the wrong one. */
  readonly margin: number;
  /** -log p of the right completion, and -log(1 - p) of the wrong one, over the whole vocabulary. */
  readonly full: number;
  readonly notWrong: number;
}

/** The answers to the two prompts of each pair. */
export function pairAnswers(
  model: Model,
  pairs: readonly EncodedPair[],
  tokenizer: Tokenizer,
  most = Number.POSITIVE_INFINITY,
): { pos: Answer; neg: Answer }[] {
  const longest = Math.max(...pairs.map(({ pos, neg }) => Math.max(pos.length, neg.length)));
  const shape = promptShape(model.config, longest, most);
  const chunk = shape.batch / 2;
  const V = model.config.vocabSize;
  const answers: { pos: Answer; neg: Answer }[] = [];
  for (let at = 0; at < pairs.length; at += chunk) {
    const batch = batchPairs(pairs.slice(at, at + chunk), tokenizer, shape.length);
    const logits = answerLogits(model, batch);
    const answer = (row: number): Answer => {
      const z = logits.subarray(row * V, (row + 1) * V);
      const [right, wrong] = [batch.right[row]!, batch.wrong[row]!];
      const all = logSumExp(z);
      const full = all - z[right]!;
      const margin = z[right]! - z[wrong]!;
      return { margin, full, notWrong: all - logSumExp(z, wrong) };
    };
    for (let row = 0; row < batch.rows; row += 2) answers.push({ pos: answer(row), neg: answer(row + 1) });
  }
  return answers;
}

function softplus(x: number): number {
  return Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
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

/** Without entry `skip`, if there is one. */
function logSumExp(z: Float32Array, skip = -1): number {
  let best = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < z.length; i++) if (i !== skip && z[i]! > best) best = z[i]!;
  let sum = 0;
  for (let i = 0; i < z.length; i++) if (i !== skip) sum += Math.exp(z[i]! - best);
  return best + Math.log(sum);
}
