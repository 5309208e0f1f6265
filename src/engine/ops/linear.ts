/** Linear maps with sparse weights (O, I): y = x W^T + bias. The weight's gradient is dense, or at its nonzero entries. */
import type { Activation, DenseParam, SparseParam } from "../engine.ts";
import { dense, matrix, matrixOf, sparse } from "../reference/storage.ts";
import type { Tape } from "../tape.ts";

/** [B, T, O] from x [B, T, I]. */
export function linear(tape: Tape, x: Activation, w: SparseParam, bias: DenseParam | null): Activation {
  const { engine } = tape;
  const out = tape.alloc(x.tokens, w.shape[0]);
  engine.linear(x, w, bias, out);
  tape.record(() => {
    if (!tape.hasGrad(out)) return;
    const dout = tape.grad(out);
    const { dx, add } = tape.gradTarget(x);
    engine.linearBackwardInput(dout, w, dx, add);
    if (bias && tape.trains(bias)) engine.biasBackward(dout, bias);
    weightGradient(tape, x, dout, w);
  });
  return out;
}

/** Of all entries, or of the nonzero ones when the tape wants no more. */
export function weightGradient(tape: Tape, x: Activation, dout: Activation, w: SparseParam): void {
  if (!tape.trains(w)) return;
  if (tape.keptOnly) tape.engine.linearBackwardWeightKept(x, dout, w);
  else tape.engine.linearBackwardWeight(x, dout, w);
}

export function linearKernel(x: Activation, w: SparseParam, bias: DenseParam | null, out: Activation): void {
  const dst = matrix(out);
  const src = matrixOf(x, dst.rows, w.shape[1], "linear input");
  const { start, column, value } = sparse(w, dst.width, src.width).csr();
  const b = bias ? dense(bias, dst.width).value : null;
  for (let n = 0; n < src.rows; n++) {
    const from = src.offset + n * src.stride;
    const to = dst.offset + n * dst.stride;
    for (let o = 0; o < dst.width; o++) {
      let sum = b ? b[o]! : 0;
      for (let z = start[o]!, end = start[o + 1]!; z < end; z++) sum += src.data[from + column[z]!]! * value[z]!;
      dst.data[to + o] = sum;
    }
  }
}

export function linearBackwardInputKernel(dout: Activation, w: SparseParam, dx: Activation, add: boolean): void {
  const dy = matrix(dout);
  const dst = matrixOf(dx, dy.rows, w.shape[1], "linear input gradient");
  const { start, column, value } = sparse(w, dy.width, dst.width).csr();
  const sums = new Float64Array(dst.width);
  for (let n = 0; n < dy.rows; n++) {
    const from = dy.offset + n * dy.stride;
    const to = dst.offset + n * dst.stride;
    sums.fill(0);
    for (let o = 0; o < dy.width; o++) {
      const g = dy.data[from + o]!;
      if (g === 0) continue;
      for (let z = start[o]!, end = start[o + 1]!; z < end; z++) sums[column[z]!]! += g * value[z]!;
    }
    for (let i = 0; i < dst.width; i++) dst.data[to + i] = add ? dst.data[to + i]! + sums[i]! : sums[i]!;
  }
}

export function linearBackwardWeightKernel(x: Activation, dout: Activation, w: SparseParam): void {
  const src = matrix(x);
  const { rows, width } = src;
  const dy = matrixOf(dout, rows, w.shape[0], "linear output gradient");
  const grad = sparse(w, dy.width, width).gradToAdd();
  const sums = new Float64Array(width);
  for (let o = 0; o < dy.width; o++) {
    sums.fill(0);
    for (let n = 0; n < rows; n++) {
      const g = dy.data[dy.offset + n * dy.stride + o]!;
      if (g === 0) continue;
      const from = src.offset + n * src.stride;
      for (let i = 0; i < width; i++) sums[i]! += g * src.data[from + i]!;
    }
    const to = o * width;
    for (let i = 0; i < width; i++) grad[to + i]! += sums[i]!;
  }
}

export function linearBackwardWeightKeptKernel(x: Activation, dout: Activation, w: SparseParam): void {
  linearBackwardWeightKernel(x, dout, w);
  sparse(w, null, null).clearUnkeptGrad();
}

export function biasBackwardKernel(dout: Activation, bias: DenseParam): void {
  const dy = matrix(dout);
  const grad = dense(bias, dy.width).gradToAdd();
  for (let o = 0; o < dy.width; o++) {
    let sum = 0;
    for (let n = 0; n < dy.rows; n++) sum += dy.data[dy.offset + n * dy.stride + o]!;
    grad[o]! += sum;
  }
}
