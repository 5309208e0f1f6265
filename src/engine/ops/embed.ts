/** Embedding: each token's row of a sparse table (V, D). */
import type { Activation, SparseParam, TokenShape } from "../engine.ts";
import { checkIds, matrix, sparse } from "../reference/storage.ts";
import type { Tape } from "../tape.ts";

/** [B, T, D] from ids [N]. */
export function embed(tape: Tape, table: SparseParam, ids: Int32Array, tokens: TokenShape): Activation {
  const out = tape.alloc(tokens, table.shape[1]);
  tape.engine.embed(table, ids, out);
  if (tape.trains(table)) {
    tape.record(() => {
      if (!tape.hasGrad(out)) return;
      if (tape.keptOnly) tape.engine.embedBackwardKept(tape.grad(out), ids, table);
      else tape.engine.embedBackward(tape.grad(out), ids, table);
    });
  }
  return out;
}

export function embedKernel(table: SparseParam, ids: Int32Array, out: Activation): void {
  const y = matrix(out);
  const w = sparse(table, null, y.width);
  checkIds(ids, y.rows, w.shape[0], "token ids");
  for (let n = 0; n < y.rows; n++) {
    const from = ids[n]! * y.width;
    const to = y.offset + n * y.stride;
    for (let c = 0; c < y.width; c++) y.data[to + c] = w.value[from + c]!;
  }
}

export function embedBackwardKernel(dout: Activation, ids: Int32Array, table: SparseParam): void {
  const dy = matrix(dout);
  const w = sparse(table, null, dy.width);
  checkIds(ids, dy.rows, w.shape[0], "token ids");
  const grad = w.gradToAdd();
  for (let n = 0; n < dy.rows; n++) {
    const to = ids[n]! * dy.width;
    const from = dy.offset + n * dy.stride;
    for (let c = 0; c < dy.width; c++) grad[to + c]! += dy.data[from + c]!;
  }
}

export function embedBackwardKeptKernel(dout: Activation, ids: Int32Array, table: SparseParam): void {
  embedBackwardKernel(dout, ids, table);
  sparse(table, null, null).clearUnkeptGrad();
}
