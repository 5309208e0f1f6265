/** Adds a row to every token, in place: one row of a table picked by id (bigram), or the same row (a bias, a shift). */
import type { Activation, DenseParam } from "../engine.ts";
import { checkIds, dense, denseTable, matrix } from "../reference/storage.ts";
import type { Tape } from "../tape.ts";

/** x[n] += table[ids[n]]; overwrites x, whose value no earlier reverse may need (as for an in-place AbsTopK). */
export function addRows(tape: Tape, x: Activation, table: DenseParam, ids: Int32Array): void {
  tape.engine.addRows(x, table, ids);
  if (tape.trains(table)) {
    tape.record(() => {
      if (tape.hasGrad(x)) tape.engine.addRowsBackward(tape.grad(x), ids, table);
    });
  }
}

/** x[n] += row; overwrites x, whose value no earlier reverse may need (as for an in-place AbsTopK). */
export function addRow(tape: Tape, x: Activation, row: DenseParam): void {
  tape.engine.addRow(x, row);
  if (tape.trains(row)) {
    tape.record(() => {
      if (tape.hasGrad(x)) tape.engine.biasBackward(tape.grad(x), row);
    });
  }
}

export function addRowsKernel(x: Activation, table: DenseParam, ids: Int32Array): void {
  const dst = matrix(x);
  const w = denseTable(table, dst.width);
  checkIds(ids, dst.rows, w.shape[0]!, "row ids");
  for (let n = 0; n < dst.rows; n++) {
    const from = ids[n]! * dst.width;
    const to = dst.offset + n * dst.stride;
    for (let c = 0; c < dst.width; c++) dst.data[to + c]! += w.value[from + c]!;
  }
}

export function addRowKernel(x: Activation, row: DenseParam): void {
  const dst = matrix(x);
  const w = dense(row, dst.width).value;
  for (let n = 0; n < dst.rows; n++) {
    const to = dst.offset + n * dst.stride;
    for (let c = 0; c < dst.width; c++) dst.data[to + c]! += w[c]!;
  }
}

/** The last row gets no gradient: the release looks rows up with padding index -1, and its models learned so. */
export function addRowsBackwardKernel(dx: Activation, ids: Int32Array, table: DenseParam): void {
  const dy = matrix(dx);
  const w = denseTable(table, dy.width);
  const last = w.shape[0]! - 1;
  checkIds(ids, dy.rows, last + 1, "row ids");
  const grad = w.gradToAdd();
  for (let n = 0; n < dy.rows; n++) {
    if (ids[n] === last) continue;
    const from = dy.offset + n * dy.stride;
    const to = ids[n]! * dy.width;
    for (let c = 0; c < dy.width; c++) grad[to + c]! += dy.data[from + c]!;
  }
}
