/** Picks tokens out of a batch: the positions where a task's answer is read. */
import type { Activation } from "../engine.ts";
import { checkIds, matrix, matrixOf } from "../reference/storage.ts";
import type { Tape } from "../tape.ts";

/** [1, P, width] from index [P] into the B*T tokens. */
export function gatherTokens(tape: Tape, x: Activation, index: Int32Array): Activation {
  const { engine } = tape;
  const out = tape.alloc({ batch: 1, length: index.length }, x.width);
  engine.gatherTokens(x, index, out);
  tape.record(() => {
    if (!tape.hasGrad(out)) return;
    const { dx, add } = tape.gradTarget(x);
    if (!add) engine.fill(dx, 0);
    engine.gatherTokensBackward(tape.grad(out), index, dx);
  });
  return out;
}

export function gatherTokensKernel(x: Activation, index: Int32Array, out: Activation): void {
  const src = matrix(x);
  const dst = matrixOf(out, index.length, src.width, "gathered tokens");
  checkIds(index, index.length, src.rows, "token index");
  for (let p = 0; p < index.length; p++) {
    const from = src.offset + index[p]! * src.stride;
    const to = dst.offset + p * dst.stride;
    for (let c = 0; c < src.width; c++) dst.data[to + c] = src.data[from + c]!;
  }
}

export function gatherTokensBackwardKernel(dout: Activation, index: Int32Array, dx: Activation): void {
  const dst = matrix(dx);
  const dy = matrixOf(dout, index.length, dst.width, "gathered gradient");
  checkIds(index, index.length, dst.rows, "token index");
  for (let p = 0; p < index.length; p++) {
    const from = dy.offset + p * dy.stride;
    const to = dst.offset + index[p]! * dst.stride;
    for (let c = 0; c < dst.width; c++) dst.data[to + c]! += dy.data[from + c]!;
  }
}
