/** RMSNorm and LayerNorm over the channels of each token. */
import type { Activation, DenseParam, NormKind } from "../engine.ts";
import { dense, matrix, matrixOf } from "../reference/storage.ts";
import type { Tape } from "../tape.ts";

/** float32's machine epsilon, as torch's RMSNorm by default. */
const RMS_EPS = 1.1920928955078125e-7;
const LAYER_EPS = 1e-5;

/** rms: x / sqrt(mean(x^2) + eps) * weight; layer: (x - mean) / sqrt(var + eps) * weight + bias. */
export function norm(
  tape: Tape,
  kind: NormKind,
  x: Activation,
  weight: DenseParam,
  bias: DenseParam | null,
): Activation {
  const { engine } = tape;
  const out = tape.alloc(x.tokens, x.width);
  const stats = tape.alloc(x.tokens, 2);
  engine.norm(kind, x, weight, bias, out, stats);
  tape.record(() => {
    if (!tape.hasGrad(out)) return;
    const { dx, add } = tape.gradTarget(x);
    engine.normBackward(kind, x, weight, bias, stats, tape.grad(out), dx, add, tape.trains(weight));
  });
  return out;
}

export function normKernel(
  kind: NormKind,
  x: Activation,
  weight: DenseParam,
  bias: DenseParam | null,
  out: Activation,
  stats: Activation,
): void {
  const src = matrix(x);
  const { rows, width } = src;
  const dst = matrixOf(out, rows, width, "norm output");
  const st = matrixOf(stats, rows, 2, "norm statistics");
  const w = dense(weight, width).value;
  const b = bias ? dense(bias, width).value : null;
  for (let n = 0; n < rows; n++) {
    const from = src.offset + n * src.stride;
    const to = dst.offset + n * dst.stride;
    let mean = 0;
    if (kind === "layer") {
      for (let c = 0; c < width; c++) mean += src.data[from + c]!;
      mean /= width;
    }
    let squares = 0;
    for (let c = 0; c < width; c++) {
      const d = src.data[from + c]! - mean;
      squares += d * d;
    }
    const scale = 1 / Math.sqrt(squares / width + (kind === "rms" ? RMS_EPS : LAYER_EPS));
    for (let c = 0; c < width; c++) {
      dst.data[to + c] = (src.data[from + c]! - mean) * scale * w[c]! + (b ? b[c]! : 0);
    }
    const at = st.offset + n * st.stride;
    st.data[at] = mean;
    st.data[at + 1] = scale;
  }
}

export function normBackwardKernel(
  kind: NormKind,
  x: Activation,
  weight: DenseParam,
  bias: DenseParam | null,
  stats: Activation,
  dout: Activation,
  dx: Activation,
  add: boolean,
  weights: boolean,
): void {
  const src = matrix(x);
  const { rows, width } = src;
  const dy = matrixOf(dout, rows, width, "norm output gradient");
  const dst = matrixOf(dx, rows, width, "norm input gradient");
  const st = matrixOf(stats, rows, 2, "norm statistics");
  const w = dense(weight, width).value;
  const dw = weights ? new Float64Array(width) : null;
  const db = weights && bias ? new Float64Array(width) : null;
  for (let n = 0; n < rows; n++) {
    const xo = src.offset + n * src.stride;
    const yo = dy.offset + n * dy.stride;
    const to = dst.offset + n * dst.stride;
    const at = st.offset + n * st.stride;
    const mean = st.data[at]!;
    const scale = st.data[at + 1]!;
    // Means over the channels of g and g * xhat, with g = w * dy.
    let sumG = 0;
    let sumGX = 0;
    for (let c = 0; c < width; c++) {
      const g = w[c]! * dy.data[yo + c]!;
      sumG += g;
      sumGX += g * (src.data[xo + c]! - mean) * scale;
    }
    const meanG = kind === "layer" ? sumG / width : 0;
    const meanGX = sumGX / width;
    for (let c = 0; c < width; c++) {
      const xhat = (src.data[xo + c]! - mean) * scale;
      const d = scale * (w[c]! * dy.data[yo + c]! - meanG - xhat * meanGX);
      dst.data[to + c] = add ? dst.data[to + c]! + d : d;
    }
    if (dw) for (let c = 0; c < width; c++) dw[c]! += dy.data[yo + c]! * (src.data[xo + c]! - mean) * scale;
    if (db) for (let c = 0; c < width; c++) db[c]! += dy.data[yo + c]!;
  }
  if (dw) addTo(dense(weight, width).gradToAdd(), dw);
  if (db && bias) addTo(dense(bias, width).gradToAdd(), db);
}

function addTo(grad: Float32Array, sums: Float64Array): void {
  for (let c = 0; c < sums.length; c++) grad[c]! += sums[c]!;
}
