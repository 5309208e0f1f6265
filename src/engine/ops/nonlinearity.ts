/** GELU (exact, by the error function) and ReLU, with AbsTopK of the result in the same op where it is wanted. */
import type { Activation, KeptSet, Nonlinearity } from "../engine.ts";
import { erf } from "../reference/erf.ts";
import { bitsOf, matrix, matrixOf } from "../reference/storage.ts";
import type { Tape } from "../tape.ts";
import { absTopKKernel } from "./abs-topk.ts";

/** `k`: keep only so many of each token's results, those of largest magnitude. */
export function nonlinearity(tape: Tape, kind: Nonlinearity, x: Activation, k?: number): Activation {
  const { engine } = tape;
  const out = tape.alloc(x.tokens, x.width);
  const kept = k === undefined ? null : tape.allocKept(x.tokens, x.width);
  if (k !== undefined && kept) engine.nonlinearityTopK(kind, x, k, out, kept);
  else engine.nonlinearity(kind, x, out);
  tape.record(() => {
    if (!tape.hasGrad(out)) return;
    const { dx, add } = tape.gradTarget(x);
    engine.nonlinearityBackward(kind, x, tape.grad(out), kept, dx, add);
  });
  return out;
}

const INV_SQRT2PI = 1 / Math.sqrt(2 * Math.PI);

export function nonlinearityKernel(kind: Nonlinearity, x: Activation, out: Activation): void {
  const src = matrix(x);
  const dst = matrixOf(out, src.rows, src.width, "nonlinearity output");
  for (let n = 0; n < src.rows; n++) {
    const from = src.offset + n * src.stride;
    const to = dst.offset + n * dst.stride;
    for (let c = 0; c < src.width; c++) {
      const v = src.data[from + c]!;
      dst.data[to + c] = kind === "gelu" ? 0.5 * v * (1 + erf(v * Math.SQRT1_2)) : Math.max(v, 0);
    }
  }
}

export function nonlinearityTopKKernel(
  kind: Nonlinearity,
  x: Activation,
  k: number,
  out: Activation,
  kept: KeptSet,
): void {
  nonlinearityKernel(kind, x, out);
  absTopKKernel(out, k, out, kept);
}

export function nonlinearityBackwardKernel(
  kind: Nonlinearity,
  x: Activation,
  dout: Activation,
  kept: KeptSet | null,
  dx: Activation,
  add: boolean,
): void {
  const src = matrix(x);
  const dy = matrixOf(dout, src.rows, src.width, "nonlinearity output gradient");
  const dst = matrixOf(dx, src.rows, src.width, "nonlinearity input gradient");
  const bits = kept ? bitsOf(kept, src.rows, src.width).data : null;
  for (let n = 0; n < src.rows; n++) {
    const xo = src.offset + n * src.stride;
    const yo = dy.offset + n * dy.stride;
    const to = dst.offset + n * dst.stride;
    for (let c = 0; c < src.width; c++) {
      const g = bits && !bits[n * src.width + c] ? 0 : dy.data[yo + c]!;
      let d = 0;
      if (g !== 0) {
        const v = src.data[xo + c]!;
        const slope =
          kind === "gelu"
            ? 0.5 * (1 + erf(v * Math.SQRT1_2)) + v * INV_SQRT2PI * Math.exp(-0.5 * v * v)
            : v > 0
              ? 1
              : 0;
        d = g * slope;
      }
      dst.data[to + c] = add ? dst.data[to + c]! + d : d;
    }
  }
}
