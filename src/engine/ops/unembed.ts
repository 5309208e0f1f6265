/** Next-token loss: unembedding, logits bias, bigram row of the current token, and mean cross entropy in one. */

import { assert } from "../../util/errors.ts";
import type { Activation, DenseParam, SparseParam, UnembedLoss } from "../engine.ts";
import { checkIds, dense, denseTable, matrix, matrixOf, sparse } from "../reference/storage.ts";
import type { Tape } from "../tape.ts";
import { weightGradient } from "./linear.ts";

interface NextTokenLoss {
  readonly x: Activation;
  readonly unembed: SparseParam;
  readonly logitsBias: DenseParam | null;
  readonly bigram: DenseParam | null;
  /** Current token of each position, [N]. */
  readonly tokens: Int32Array;
  /** Next token of each position, [N]; -1 is not counted. */
  readonly targets: Int32Array;
}

/** Mean loss over the counted positions; starts the backward pass. */
export function unembedLoss(tape: Tape, args: NextTokenLoss): number {
  const { engine } = tape;
  const { x, unembed, logitsBias, bigram, tokens } = args;
  const dlogits = tape.recording ? tape.alloc(x.tokens, unembed.shape[0]) : null;
  const loss = engine.unembedLoss({ ...args, dlogits });
  if (dlogits) {
    tape.record(() => {
      const { dx, add } = tape.gradTarget(x);
      engine.linearBackwardInput(dlogits, unembed, dx, add);
      weightGradient(tape, x, dlogits, unembed);
      if (logitsBias && tape.trains(logitsBias)) engine.biasBackward(dlogits, logitsBias);
      if (bigram && tape.trains(bigram)) engine.addRowsBackward(dlogits, tokens, bigram);
    });
  }
  return loss;
}

/** A batch in which nothing is counted has loss 0 and no gradient. */
export function unembedLossKernel(args: UnembedLoss): number {
  const { tokens, targets } = args;
  const src = matrix(args.x);
  const weights = sparse(args.unembed, null, src.width);
  const vocabulary = weights.shape[0];
  const { start, column, value } = weights.csr();
  const bias = args.logitsBias ? dense(args.logitsBias, vocabulary).value : null;
  const bigram = args.bigram ? denseTable(args.bigram, vocabulary).value : null;
  const dst = args.dlogits ? matrixOf(args.dlogits, src.rows, vocabulary, "logits gradient") : null;
  checkIds(tokens, src.rows, vocabulary, "token ids");
  assert(targets.length === src.rows, `expected ${src.rows} targets but received ${targets.length}`);
  let counted = 0;
  for (let n = 0; n < src.rows; n++) if (targets[n]! >= 0) counted++;
  const share = counted > 0 ? 1 / counted : 0;
  const logits = new Float64Array(vocabulary);
  let loss = 0;
  for (let n = 0; n < src.rows; n++) {
    const target = targets[n]!;
    assert(target < vocabulary, "target outside the vocabulary");
    const to = dst ? dst.offset + n * dst.stride : 0;
    if (target < 0) {
      dst?.data.fill(0, to, to + vocabulary);
      continue;
    }
    const from = src.offset + n * src.stride;
    const row = tokens[n]! * vocabulary;
    let top = Number.NEGATIVE_INFINITY;
    for (let o = 0; o < vocabulary; o++) {
      let z = (bias ? bias[o]! : 0) + (bigram ? bigram[row + o]! : 0);
      for (let e = start[o]!, end = start[o + 1]!; e < end; e++) z += src.data[from + column[e]!]! * value[e]!;
      logits[o] = z;
      if (z > top) top = z;
    }
    const own = logits[target]!;
    let total = 0;
    for (let o = 0; o < vocabulary; o++) {
      const e = Math.exp(logits[o]! - top);
      logits[o] = e;
      total += e;
    }
    loss += top + Math.log(total) - own;
    if (dst) {
      const factor = share / total;
      for (let o = 0; o < vocabulary; o++) dst.data[to + o] = logits[o]! * factor;
      dst.data[to + target] = (logits[target]! / total - 1) * share;
    }
  }
  return loss * share;
}
