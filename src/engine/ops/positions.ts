/** Position table: row t of (block, P) for every sequence. */
import { assert } from "../../util/errors.ts";
import type { Activation, DenseParam, TokenShape } from "../engine.ts";
import { denseTable, matrix, type StoredDense } from "../reference/storage.ts";
import type { Tape } from "../tape.ts";

/** [B, T, P] with out[b, t] = table[t]. */
export function positions(tape: Tape, table: DenseParam, tokens: TokenShape): Activation {
  const out = tape.alloc(tokens, table.shape[1]!);
  tape.engine.positions(table, out);
  if (tape.trains(table)) {
    tape.record(() => {
      if (tape.hasGrad(out)) tape.engine.positionsBackward(tape.grad(out), table);
    });
  }
  return out;
}

function tableFor(table: DenseParam, length: number, width: number): StoredDense {
  const w = denseTable(table, width);
  assert(length <= w.shape[0]!, `${length} positions but ${w.name} holds ${w.shape[0]}`);
  return w;
}

export function positionsKernel(table: DenseParam, out: Activation): void {
  const y = matrix(out);
  const length = y.tokens.length;
  const w = tableFor(table, length, y.width);
  for (let n = 0; n < y.rows; n++) {
    const from = (n % length) * y.width;
    const to = y.offset + n * y.stride;
    for (let c = 0; c < y.width; c++) y.data[to + c] = w.value[from + c]!;
  }
}

export function positionsBackwardKernel(dout: Activation, table: DenseParam): void {
  const dy = matrix(dout);
  const { batch, length } = dy.tokens;
  const grad = tableFor(table, length, dy.width).gradToAdd();
  for (let t = 0; t < length; t++) {
    for (let c = 0; c < dy.width; c++) {
      let sum = 0;
      for (let b = 0; b < batch; b++) sum += dy.data[dy.offset + (b * length + t) * dy.stride + c]!;
      grad[t * dy.width + c]! += sum;
    }
  }
}
