/**
 * The entries of largest magnitude, on the device: AbsTopK and the L0 projection. Among equal magnitudes the lowest index
 * wins, as in the other engines (reference/projection.ts is the rule). Magnitudes are compared exactly.
 */
import * as tf from "@tensorflow/tfjs";
import type { Protect } from "../engine.ts";

/** How the k-th largest of each row is found: by the backend's sort, or by a search with comparisons and sums alone. */
export type Selection = "sort" | "search";

const SMALLEST_EXPONENT = -126;
const LARGEST_EXPONENT = 127;
const MANTISSA_BITS = 23;

/** 1 where kept: the k entries of each row of `sizes` that are largest, 1 <= k < columns. Entries below 0 come last. */
function largestOfRows(sizes: tf.Tensor2D, k: number, selection: Selection): tf.Tensor2D {
  return tf.tidy(() => {
    const cut = selection === "sort" ? kthBySort(sizes, k) : kthBySearch(sizes, k);
    const above = tf.greater(sizes, cut);
    const equal = tf.equal(sizes, cut);
    const room = tf.sub(k, tf.sum(tf.cast(above, "float32"), 1, true));
    // Counts in float32 are exact up to 2^24.
    const rank = tf.cumsum(tf.cast(equal, "float32"), 1);
    return tf.logicalOr(above, tf.logicalAnd(equal, tf.lessEqual(rank, room))) as tf.Tensor2D;
  });
}

function kthBySort(sizes: tf.Tensor2D, k: number): tf.Tensor2D {
  return tf.slice(tf.topk(sizes, k, true).values as tf.Tensor2D, [0, k - 1], [-1, 1]);
}

/**
 * The largest float32 that k entries reach, bit by bit: first the exponent by halving, then the mantissa. Rows with less
 * than k normal numbers get 0.
 */
function kthBySearch(sizes: tf.Tensor2D, k: number): tf.Tensor2D {
  const reached = (at: tf.Tensor2D): tf.Tensor2D =>
    tf.greaterEqual(tf.sum(tf.cast(tf.greaterEqual(sizes, at), "float32"), 1, true), k) as tf.Tensor2D;
  const shape: [number, number] = [sizes.shape[0], 1];
  let low: tf.Tensor2D = tf.fill(shape, SMALLEST_EXPONENT);
  for (let step = 128; step >= 1; step /= 2) {
    const higher = tf.minimum(tf.add(low, step), LARGEST_EXPONENT) as tf.Tensor2D;
    low = tf.where(reached(powerOf2(higher)), higher, low);
  }
  const base = powerOf2(low);
  let cut: tf.Tensor2D = tf.where(reached(base), base, tf.zerosLike(base));
  let bit = tf.mul(cut, 0.5) as tf.Tensor2D;
  for (let i = 0; i < MANTISSA_BITS; i++) {
    const higher = tf.add(cut, bit) as tf.Tensor2D;
    cut = tf.where(reached(higher), higher, cut);
    bit = tf.mul(bit, 0.5);
  }
  return cut;
}

/** Exact, which `pow` and `exp` are not on every device: a product of powers of 2 that are. */
function powerOf2(exponent: tf.Tensor2D): tf.Tensor2D {
  let rest = tf.abs(exponent) as tf.Tensor2D;
  const below = tf.less(exponent, 0);
  let power: tf.Tensor2D = tf.onesLike(rest);
  for (let bit = 64; bit >= 1; bit /= 2) {
    const has = tf.greaterEqual(rest, bit);
    const factor = tf.where(below, tf.fill(rest.shape, 2 ** -bit), tf.fill(rest.shape, 2 ** bit));
    power = tf.where(has, tf.mul(power, factor), power);
    rest = tf.where(has, tf.sub(rest, bit), rest);
  }
  return power;
}

/** AbsTopK of each token. */
export function absTopKMask(x: tf.Tensor2D, k: number, selection: Selection): tf.Tensor2D {
  if (k >= x.shape[1]) return tf.ones(x.shape, "bool");
  if (k <= 0) return tf.zeros(x.shape, "bool");
  return largestOfRows(tf.abs(x), k, selection);
}

/** What the projection keeps of a parameter, of the parameter's shape (reference/projection.ts, `keepLargest`). */
export function projectionMask(
  value: tf.Tensor,
  keep: number,
  protect: Protect,
  minPerNeuron: number,
  selection: Selection,
): tf.Tensor {
  return tf.tidy(() => {
    const { shape, size } = value;
    if (keep <= 0 && !(protect && minPerNeuron > 0)) return tf.zeros(shape, "bool");
    const sizes = tf.abs(value);
    if (!(protect && minPerNeuron > 0 && shape.length === 2)) {
      return tf.reshape(largestOfRows(tf.reshape(sizes, [1, size]), keep, selection), shape);
    }
    const matrix = sizes as tf.Tensor2D;
    const lines = protect === "row" ? matrix : tf.transpose(matrix);
    const [count, length] = lines.shape;
    const each = Math.min(minPerNeuron, length);
    const ofLines = each === length ? tf.ones<tf.Rank.R2>(lines.shape, "bool") : largestOfRows(lines, each, selection);
    const kept = protect === "row" ? ofLines : tf.transpose(ofLines);
    const more = keep - count * each;
    if (more <= 0) return kept;
    const rest = tf.where(kept, tf.fill(shape, -1), matrix);
    const others = largestOfRows(tf.reshape(rest, [1, size]), more, selection);
    return tf.logicalOr(kept, tf.reshape(others, shape));
  });
}
