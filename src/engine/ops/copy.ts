/** Concatenation of channels, addition, and views: what moves values and computes nothing else. */
import { assert } from "../../util/errors.ts";
import type { Activation } from "../engine.ts";
import { matrix, matrixOf } from "../reference/storage.ts";
import type { Tape } from "../tape.ts";

/** [a, b] along the channels. */
export function concat(tape: Tape, a: Activation, b: Activation): Activation {
  const { engine } = tape;
  const out = tape.alloc(a.tokens, a.width + b.width);
  engine.copy(a, engine.slice(out, 0, a.width), false);
  engine.copy(b, engine.slice(out, a.width, b.width), false);
  tape.record(() => {
    if (!tape.hasGrad(out)) return;
    const dout = tape.grad(out);
    const toA = tape.gradTarget(a);
    engine.copy(engine.slice(dout, 0, a.width), toA.dx, toA.add);
    const toB = tape.gradTarget(b);
    engine.copy(engine.slice(dout, a.width, b.width), toB.dx, toB.add);
  });
  return out;
}

/** a + b */
export function add(tape: Tape, a: Activation, b: Activation): Activation {
  const { engine } = tape;
  const out = tape.alloc(a.tokens, a.width);
  engine.sum(a, b, out);
  tape.record(() => {
    if (!tape.hasGrad(out)) return;
    for (const x of [a, b]) {
      const { dx, add } = tape.gradTarget(x);
      engine.copy(tape.grad(out), dx, add);
    }
  });
  return out;
}

/**
 * x + delta whose reverse copies nothing: one gradient buffer travels down the residual stream, and delta reads it.
 * Condition: no op that uses x was recorded between the producer of delta and this op, since it would add to the
 * buffer before that producer read it. (Cutting delta in place is fine, as are ops on delta.) Otherwise use `add`.
 */
export function residualAdd(tape: Tape, x: Activation, delta: Activation): Activation {
  const { engine } = tape;
  assert(x !== delta, "residualAdd of a value to itself: use add");
  const out = tape.alloc(x.tokens, x.width);
  engine.sum(x, delta, out);
  tape.record(() => {
    if (!tape.hasGrad(out)) return;
    const dout = tape.grad(out);
    if (tape.canShare(delta)) {
      tape.lendGrad(delta, out);
    } else {
      const { dx, add } = tape.gradTarget(delta);
      engine.copy(dout, dx, add);
    }
    if (tape.canShare(x)) {
      tape.shareGrad(x, out);
    } else {
      const { dx, add } = tape.gradTarget(x);
      engine.copy(dout, dx, add);
    }
  });
  return out;
}

/**
 * Splits the channels of `whole` into views of the given widths, which must add up to its width. No copy, forward or
 * backward. Use the views instead of `whole` from here on.
 */
export function views(tape: Tape, whole: Activation, widths: readonly number[]): Activation[] {
  const parts: { view: Activation; start: number }[] = [];
  let start = 0;
  for (const width of widths) {
    parts.push({ view: tape.engine.slice(whole, start, width), start });
    start += width;
  }
  assert(start === whole.width, `views of widths [${widths}] do not cover ${whole.width} channels`);
  tape.gradOfViews(whole, parts);
  return parts.map((part) => part.view);
}

export function copyKernel(x: Activation, out: Activation, add: boolean): void {
  const src = matrix(x);
  const dst = matrixOf(out, src.rows, src.width, "copy");
  for (let n = 0; n < src.rows; n++) {
    const from = src.offset + n * src.stride;
    const to = dst.offset + n * dst.stride;
    for (let c = 0; c < src.width; c++) {
      const value = src.data[from + c]!;
      dst.data[to + c] = add ? dst.data[to + c]! + value : value;
    }
  }
}

export function sumKernel(a: Activation, b: Activation, out: Activation): void {
  const left = matrix(a);
  const right = matrixOf(b, left.rows, left.width, "second term");
  const dst = matrixOf(out, left.rows, left.width, "sum");
  for (let n = 0; n < left.rows; n++) {
    const lo = left.offset + n * left.stride;
    const ro = right.offset + n * right.stride;
    const to = dst.offset + n * dst.stride;
    for (let c = 0; c < left.width; c++) dst.data[to + c] = left.data[lo + c]! + right.data[ro + c]!;
  }
}
