/** Patching: entries of an activation replaced by given values. */
import { assert } from "../../util/errors.ts";
import type { Activation } from "../engine.ts";
import { matrix, matrixOf } from "../reference/storage.ts";
import type { Tape } from "../tape.ts";

/** where ? values : x; `where` holds 0 or 1. Neither `where` nor `values` gets a gradient. */
export function patch(tape: Tape, x: Activation, values: Activation, where: Activation): Activation {
  const { engine } = tape;
  for (const { tokens, width } of [values, where]) {
    const same = tokens.batch === x.tokens.batch && tokens.length === x.tokens.length && width === x.width;
    assert(same, `a patch of ${tokens.batch} x ${tokens.length} x ${width} of another shape than what it patches`);
  }
  const out = tape.alloc(x.tokens, x.width);
  engine.patch(x, values, where, out);
  tape.record(() => {
    if (!tape.hasGrad(out)) return;
    const { dx, add } = tape.gradTarget(x);
    engine.patchBackward(tape.grad(out), where, dx, add);
  });
  return out;
}

export function patchKernel(x: Activation, values: Activation, where: Activation, out: Activation): void {
  const src = matrix(x);
  const with_ = matrixOf(values, src.rows, src.width, "patch values");
  const at = matrixOf(where, src.rows, src.width, "patch places");
  const dst = matrixOf(out, src.rows, src.width, "patch output");
  for (let n = 0; n < src.rows; n++) {
    for (let c = 0; c < src.width; c++) {
      dst.data[dst.offset + n * dst.stride + c] =
        at.data[at.offset + n * at.stride + c] !== 0
          ? with_.data[with_.offset + n * with_.stride + c]!
          : src.data[src.offset + n * src.stride + c]!;
    }
  }
}

export function patchBackwardKernel(dout: Activation, where: Activation, dx: Activation, add: boolean): void {
  const dy = matrix(dout);
  const at = matrixOf(where, dy.rows, dy.width, "patch places");
  const dst = matrixOf(dx, dy.rows, dy.width, "patch input gradient");
  for (let n = 0; n < dy.rows; n++) {
    for (let c = 0; c < dy.width; c++) {
      const g = at.data[at.offset + n * at.stride + c] !== 0 ? 0 : dy.data[dy.offset + n * dy.stride + c]!;
      const to = dst.offset + n * dst.stride + c;
      dst.data[to] = add ? dst.data[to]! + g : g;
    }
  }
}
