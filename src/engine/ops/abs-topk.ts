/** AbsTopK: keeps the k entries of largest magnitude of each token; among equal magnitudes the lowest index wins. */
import type { Activation, KeptSet } from "../engine.ts";
import { kthLargest } from "../reference/projection.ts";
import { bitsOf, matrix, matrixOf } from "../reference/storage.ts";
import type { Tape } from "../tape.ts";

interface AbsTopKOptions {
  /**
   * Overwrite x and return it, instead of a new result. Safe when no op recorded earlier needs the value of x in its
   * reverse: true of the results of norm, linear, concat, views of linear, nonlinearity, sums and embeddings that
   * nothing else has used yet; not of the result of attention, nor of x that an op already took as input.
   */
  readonly inPlace?: boolean;
}

/** k >= width keeps all, k <= 0 nothing. */
export function absTopK(tape: Tape, x: Activation, k: number, options: AbsTopKOptions = {}): Activation {
  const { engine } = tape;
  const inPlace = options.inPlace ?? false;
  const out = inPlace ? x : tape.alloc(x.tokens, x.width);
  const kept = tape.allocKept(x.tokens, x.width);
  engine.absTopK(x, k, out, kept);
  tape.record(() => {
    if (!tape.hasGrad(out)) return;
    if (inPlace) {
      const { dout, dx } = tape.gradInPlace(x);
      engine.absTopKBackward(dout, kept, dx, false);
    } else {
      const { dx, add } = tape.gradTarget(x);
      engine.absTopKBackward(tape.grad(out), kept, dx, add);
    }
  });
  return out;
}

export function absTopKKernel(x: Activation, k: number, out: Activation, kept: KeptSet): void {
  const src = matrix(x);
  const { rows, width } = src;
  const dst = matrixOf(out, rows, width, "AbsTopK output");
  const bits = bitsOf(kept, rows, width);
  const sizes = new Float32Array(width);
  for (let n = 0; n < rows; n++) {
    const from = src.offset + n * src.stride;
    const to = dst.offset + n * dst.stride;
    const at = n * width;
    let cut = -1;
    let ties = 0;
    if (k <= 0) {
      cut = Number.POSITIVE_INFINITY;
    } else if (k < width) {
      for (let c = 0; c < width; c++) sizes[c] = Math.abs(src.data[from + c]!);
      cut = kthLargest(sizes, width, k);
      let above = 0;
      for (let c = 0; c < width; c++) if (Math.abs(src.data[from + c]!) > cut) above++;
      ties = k - above;
    }
    for (let c = 0; c < width; c++) {
      const value = src.data[from + c]!;
      const size = Math.abs(value);
      const keep = size > cut || (size === cut && ties-- > 0);
      bits.data[at + c] = keep ? 1 : 0;
      dst.data[to + c] = keep ? value : 0;
    }
  }
}

export function absTopKBackwardKernel(dout: Activation, kept: KeptSet, dx: Activation, add: boolean): void {
  const dy = matrix(dout);
  const { rows, width } = dy;
  const dst = matrixOf(dx, rows, width, "AbsTopK input gradient");
  const bits = bitsOf(kept, rows, width);
  for (let n = 0; n < rows; n++) {
    const from = dy.offset + n * dy.stride;
    const to = dst.offset + n * dst.stride;
    const at = n * width;
    for (let c = 0; c < width; c++) {
      const g = bits.data[at + c] ? dy.data[from + c]! : 0;
      dst.data[to + c] = add ? dst.data[to + c]! + g : g;
    }
  }
}
