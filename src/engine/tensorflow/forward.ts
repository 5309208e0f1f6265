/**
 * The ops in TensorFlow.js, forward only; their gradients are TensorFlow.js's own (`tf.grads`). Activations are
 * [N, width] with N = B*T; everything is a pure function of tensors. The reference kernels in engine/ops say what each
 * computes.
 */
import * as tf from "@tensorflow/tfjs";
import type { Nonlinearity, NormKind, TokenShape } from "../engine.ts";
import { hot, type Products } from "./products.ts";

/** float32's machine epsilon, as torch's RMSNorm by default. */
const RMS_EPS = 1.1920928955078125e-7;
const LAYER_EPS = 1e-5;
/** Added to the score of a key that is not to be read: weight 0 in float32, and no gradient becomes NaN. */
const UNSEEN = -1e30;

export function linear(p: Products, x: tf.Tensor2D, w: tf.Tensor2D, bias: tf.Tensor1D | null): tf.Tensor2D {
  const y = p.timesTransposed(x, w);
  return bias ? tf.add(y, bias) : y;
}

export function norm(kind: NormKind, x: tf.Tensor2D, weight: tf.Tensor1D, bias: tf.Tensor1D | null): tf.Tensor2D {
  const centred = kind === "layer" ? tf.sub(x, tf.mean(x, 1, true)) : x;
  const variance = tf.mean(tf.square(centred), 1, true);
  const scale = tf.rsqrt(tf.add(variance, kind === "rms" ? RMS_EPS : LAYER_EPS));
  const y = tf.mul(tf.mul(centred, scale), weight) as tf.Tensor2D;
  return bias ? tf.add(y, bias) : y;
}

export function nonlinearity(kind: Nonlinearity, x: tf.Tensor2D): tf.Tensor2D {
  if (kind === "relu") return tf.relu(x);
  return tf.mul(tf.mul(x, 0.5), tf.add(1, tf.erf(tf.mul(x, Math.SQRT1_2))));
}

/** x where kept, else 0. */
export function cut(x: tf.Tensor2D, kept: tf.Tensor2D): tf.Tensor2D {
  return tf.where(kept, x, tf.zerosLike(x));
}

export function mask(x: tf.Tensor2D, m: tf.Tensor1D, mean: tf.Tensor1D): tf.Tensor2D {
  return tf.add(tf.mul(x, m), tf.mul(tf.sub(1, m), mean));
}

export function patch(x: tf.Tensor2D, values: tf.Tensor2D, where: tf.Tensor2D): tf.Tensor2D {
  return tf.where(tf.notEqual(where, 0), values, x);
}

/** Row t of the table for position t of every sequence. */
export function positions(table: tf.Tensor2D, { batch, length }: TokenShape): tf.Tensor2D {
  return tf.tile(tf.slice(table, [0, 0], [length, -1]), [batch, 1]);
}

/** Rows of a table whose last row is a constant. */
export function rowsButLast(p: Products, table: tf.Tensor2D, index: tf.Tensor1D): tf.Tensor2D {
  const last = table.shape[0] - 1;
  const constant = tf.customGrad((row) => ({
    value: tf.clone(row as tf.Tensor),
    gradFunc: (dy: tf.Tensor) => tf.zerosLike(dy),
  }));
  const row = constant(tf.slice(table, [last, 0], [1, -1])) as tf.Tensor2D;
  return p.rows(last === 0 ? row : tf.concat([tf.slice(table, [0, 0], [last, -1]), row], 0), index);
}

/** [T, T] to add to scores: nothing where the key is not after the query. */
function causal(length: number): tf.Tensor2D {
  const at = tf.range(0, length, 1, "float32");
  const isAfter = tf.greater(tf.reshape(at, [1, length]), tf.reshape(at, [length, 1]));
  return tf.mul(tf.cast(isAfter, "float32"), UNSEEN) as tf.Tensor2D;
}

/** `sink` [H] is a logit that joins the softmax without a value of its own. */
export function attention(
  p: Products,
  q: tf.Tensor2D,
  k: tf.Tensor2D,
  v: tf.Tensor2D,
  sink: tf.Tensor1D | null,
  heads: number,
  { batch, length }: TokenShape,
): tf.Tensor2D {
  const width = q.shape[1] / heads;
  const byHead = (x: tf.Tensor2D): tf.Tensor4D =>
    tf.transpose(tf.reshape(x, [batch, length, heads, width]), [0, 2, 1, 3]);
  const scores = tf.mul(p.timesTransposed(byHead(q), byHead(k)), 1 / Math.sqrt(width)) as tf.Tensor4D;
  // A sum, as `where` over broadcast shapes takes thirty times as long on the WebAssembly backend.
  const seen = tf.add(scores, causal(length)) as tf.Tensor4D;
  let weights = seen;
  if (sink) {
    const column = tf.tile(tf.reshape(sink, [1, heads, 1, 1]), [batch, 1, length, 1]);
    weights = tf.slice(tf.softmax(tf.concat([seen, column], 3)), [0, 0, 0, 0], [-1, -1, -1, length]) as tf.Tensor4D;
  } else {
    weights = tf.softmax(seen);
  }
  return tf.reshape(tf.transpose(p.times(weights, byHead(v)), [0, 2, 1, 3]), q.shape);
}

/** Sum over the rows of logits of -log P(target), each times its weight. */
export function crossEntropy(logits: tf.Tensor2D, targets: tf.Tensor1D, weights: tf.Tensor1D): tf.Scalar {
  const own = tf.sum(tf.mul(tf.logSoftmax(logits), hot(targets, logits.shape[1])), 1);
  return tf.sub(0, tf.sum(tf.mul(own, weights)));
}

/** softplus(wrong - right) of each row of logits, by the formula that neither overflows nor loses small values. */
export function pairLosses(logits: tf.Tensor2D, right: tf.Tensor1D, wrong: tf.Tensor1D): tf.Tensor1D {
  const difference = tf.sub(hot(wrong, logits.shape[1]), hot(right, logits.shape[1]));
  const margin = tf.sum(tf.mul(logits, difference), 1);
  return tf.add(tf.relu(margin), tf.log1p(tf.exp(tf.neg(tf.abs(margin)))));
}
