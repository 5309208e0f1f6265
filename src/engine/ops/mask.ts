/** Node masks with mean ablation: mask * x + (1 - mask) * mean, one mask and mean entry a channel. */
import type { Activation, DenseParam } from "../engine.ts";
import { dense, matrix, matrixOf } from "../reference/storage.ts";
import type { Tape } from "../tape.ts";

/** The gradient of `mask` is written whenever the tape records; that of `mean` never. */
export function mask(tape: Tape, x: Activation, mask: DenseParam, mean: DenseParam): Activation {
  const { engine } = tape;
  const out = tape.alloc(x.tokens, x.width);
  engine.mask(x, mask, mean, out);
  tape.record(() => {
    if (!tape.hasGrad(out)) return;
    const { dx, add } = tape.gradTarget(x);
    engine.maskBackward(x, mask, mean, tape.grad(out), dx, add);
  });
  return out;
}

export function maskKernel(x: Activation, mask: DenseParam, mean: DenseParam, out: Activation): void {
  const src = matrix(x);
  const dst = matrixOf(out, src.rows, src.width, "mask output");
  const m = dense(mask, src.width).value;
  const mu = dense(mean, src.width).value;
  for (let n = 0; n < src.rows; n++) {
    const from = src.offset + n * src.stride;
    const to = dst.offset + n * dst.stride;
    for (let c = 0; c < src.width; c++) dst.data[to + c] = m[c]! * src.data[from + c]! + (1 - m[c]!) * mu[c]!;
  }
}

export function maskBackwardKernel(
  x: Activation,
  mask: DenseParam,
  mean: DenseParam,
  dout: Activation,
  dx: Activation,
  add: boolean,
): void {
  const src = matrix(x);
  const dy = matrixOf(dout, src.rows, src.width, "mask output gradient");
  const dst = matrixOf(dx, src.rows, src.width, "mask input gradient");
  const m = dense(mask, src.width).value;
  const mu = dense(mean, src.width).value;
  const sums = new Float64Array(src.width);
  for (let n = 0; n < src.rows; n++) {
    const xo = src.offset + n * src.stride;
    const yo = dy.offset + n * dy.stride;
    const to = dst.offset + n * dst.stride;
    for (let c = 0; c < src.width; c++) {
      const g = dy.data[yo + c]!;
      sums[c]! += g * (src.data[xo + c]! - mu[c]!);
      dst.data[to + c] = add ? dst.data[to + c]! + m[c]! * g : m[c]! * g;
    }
  }
  const grad = dense(mask, src.width).gradToAdd();
  for (let c = 0; c < src.width; c++) grad[c]! += sums[c]!;
}
