/** Two-way cross entropy of a task: softplus(z[wrong] - z[right]) at each answer position. */
import type { Activation } from "../engine.ts";
import { checkIds, matrix, matrixOf } from "../reference/storage.ts";
import type { Tape } from "../tape.ts";

/** logits (1, P, V); starts the backward pass from the mean of the P losses. */
export function pairLoss(
  tape: Tape,
  logits: Activation,
  right: Int32Array,
  wrong: Int32Array,
): { losses: Float32Array; mean: number } {
  const { engine } = tape;
  const dlogits = tape.recording ? tape.alloc(logits.tokens, logits.width) : null;
  const losses = engine.pairLoss(logits, right, wrong, dlogits);
  if (dlogits) {
    tape.record(() => {
      const { dx, add } = tape.gradTarget(logits);
      engine.copy(dlogits, dx, add);
    });
  }
  let sum = 0;
  for (const loss of losses) sum += loss;
  return { losses, mean: losses.length > 0 ? sum / losses.length : 0 };
}

export function pairLossKernel(
  logits: Activation,
  right: Int32Array,
  wrong: Int32Array,
  dlogits: Activation | null,
): Float32Array {
  const src = matrix(logits);
  const dst = dlogits ? matrixOf(dlogits, src.rows, src.width, "logits gradient") : null;
  checkIds(right, src.rows, src.width, "right ids");
  checkIds(wrong, src.rows, src.width, "wrong ids");
  const losses = new Float32Array(src.rows);
  for (let p = 0; p < src.rows; p++) {
    const from = src.offset + p * src.stride;
    const gap = src.data[from + wrong[p]!]! - src.data[from + right[p]!]!;
    losses[p] = Math.max(gap, 0) + Math.log1p(Math.exp(-Math.abs(gap)));
    if (dst) {
      const to = dst.offset + p * dst.stride;
      dst.data.fill(0, to, to + dst.width);
      const slope = 1 / (1 + Math.exp(-gap)) / src.rows;
      dst.data[to + wrong[p]!]! += slope;
      dst.data[to + right[p]!]! -= slope;
    }
  }
  return losses;
}
