/**
 * Matrix products and rows of tables in the form that the backend is good at. TensorFlow.js differentiates a product by
 * products of transposed operands, and rows of a table by a segment sum. The WebAssembly backend computes the first ten
 * times slower than after an explicit transposition, and has no kernel for the second; the cpu backend's takes as many
 * passes as the table has rows.
 */
import * as tf from "@tensorflow/tfjs";

type Table = tf.Tensor2D;

/** How the backend computes. */
export interface Products {
  /** a b^T over the last two axes, any axes before them alike. */
  timesTransposed<R extends tf.Rank>(a: tf.Tensor<R>, b: tf.Tensor<R>): tf.Tensor<R>;
  /** a b over the last two axes. */
  times<R extends tf.Rank>(a: tf.Tensor<R>, b: tf.Tensor<R>): tf.Tensor<R>;
  /** [P, width] from a table [rows, width] and P row numbers. */
  rows(table: Table, index: tf.Tensor1D): Table;
}

export const PLAIN: Products = {
  timesTransposed: (a, b) => tf.matMul(a, b, false, true),
  times: (a, b) => tf.matMul(a, b),
  rows: (table, index) => tf.gather(table, index),
};

function transposed<T extends tf.Tensor>(x: T): T {
  const axes = x.shape.map((_, axis) => axis);
  axes.push(...axes.splice(-2).reverse());
  return tf.transpose(x, axes);
}

/** a b, whose gradient is made of the same. */
const product = tf.customGrad((...args) => {
  const [a, b, save] = args as unknown as [tf.Tensor, tf.Tensor, tf.GradSaveFunc];
  save([a, b]);
  return {
    value: tf.matMul(a, b),
    gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => [
      tf.matMul(dy, transposed(saved[1]!)),
      tf.matMul(transposed(saved[0]!), dy),
    ],
  };
}) as <R extends tf.Rank>(a: tf.Tensor<R>, b: tf.Tensor<R>) => tf.Tensor<R>;

/** For cpu. */
export const ROWS_AS_PRODUCT: Products = {
  ...PLAIN,
  rows: (table, index) => tf.matMul(hot(index, table.shape[0]), table),
};

/** For WebAssembly. */
export const UNTRANSPOSED: Products = {
  timesTransposed: (a, b) => product(a, transposed(b)),
  times: (a, b) => product(a, b),
  rows: (table, index) => product(hot(index, table.shape[0]), table),
};

/**
 * Rows that are 1 at the index, from 0 to depth - 1, and 0 elsewhere. Integers first: in float32 the WebAssembly
 * backend's oneHot returns garbage. It also refuses a depth of 1.
 */
export function hot(index: tf.Tensor1D, depth: number): tf.Tensor2D {
  if (depth === 1) return tf.ones([index.size, 1]);
  return tf.cast(tf.oneHot(index, depth), "float32") as tf.Tensor2D;
}
