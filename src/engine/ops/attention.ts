/**
 * Causal attention with an optional sink: a logit per head that joins the softmax's denominator only. Head h is
 * channels [h * K, (h + 1) * K). The reverse recomputes the weights from the stored log-denominator.
 */
import { assert } from "../../util/errors.ts";
import type { Activation, DenseParam } from "../engine.ts";
import { dense, matrix, matrixOf } from "../reference/storage.ts";
import type { Tape } from "../tape.ts";

/** [B, T, H*K] from queries, keys and values of that shape; scale 1/sqrt(K). */
export function attention(
  tape: Tape,
  q: Activation,
  k: Activation,
  v: Activation,
  sink: DenseParam | null,
  heads: number,
): Activation {
  const { engine } = tape;
  const out = tape.alloc(q.tokens, q.width);
  const lse = tape.alloc(q.tokens, heads);
  engine.attention(q, k, v, sink, heads, out, lse);
  tape.record(() => {
    if (!tape.hasGrad(out)) return;
    // The kernel replaces: where a gradient is there already, it writes beside it and the sum follows.
    const targets = [q, k, v].map((x) => {
      const { dx, add } = tape.gradTarget(x);
      return { dx, write: add ? tape.alloc(x.tokens, x.width) : dx };
    });
    const [dq, dk, dv] = targets.map((target) => target.write) as [Activation, Activation, Activation];
    const weights = sink !== null && tape.trains(sink);
    engine.attentionBackward(q, k, v, sink, heads, out, lse, tape.grad(out), dq, dk, dv, weights);
    for (const { dx, write } of targets) if (write !== dx) engine.copy(write, dx, true);
  });
  return out;
}

export function attentionKernel(
  q: Activation,
  k: Activation,
  v: Activation,
  sink: DenseParam | null,
  heads: number,
  out: Activation,
  lse: Activation,
): void {
  const qm = matrix(q);
  const { batch, length } = qm.tokens;
  const km = matrixOf(k, qm.rows, qm.width, "keys");
  const vm = matrixOf(v, qm.rows, qm.width, "values");
  const ym = matrixOf(out, qm.rows, qm.width, "attention output");
  const lm = matrixOf(lse, qm.rows, heads, "attention log-denominator");
  const width = headWidth(qm.width, heads);
  const scale = 1 / Math.sqrt(width);
  const sinks = sink ? dense(sink, heads).value : null;
  const weight = new Float64Array(length);
  const sums = new Float64Array(width);
  for (let b = 0; b < batch; b++) {
    const first = b * length;
    for (let h = 0; h < heads; h++) {
      const ch = h * width;
      for (let t = 0; t < length; t++) {
        const qo = qm.offset + (first + t) * qm.stride + ch;
        let top = sinks ? sinks[h]! : Number.NEGATIVE_INFINITY;
        for (let s = 0; s <= t; s++) {
          const ko = km.offset + (first + s) * km.stride + ch;
          let score = 0;
          for (let c = 0; c < width; c++) score += qm.data[qo + c]! * km.data[ko + c]!;
          score *= scale;
          weight[s] = score;
          if (score > top) top = score;
        }
        let total = sinks ? Math.exp(sinks[h]! - top) : 0;
        sums.fill(0);
        for (let s = 0; s <= t; s++) {
          const e = Math.exp(weight[s]! - top);
          total += e;
          const vo = vm.offset + (first + s) * vm.stride + ch;
          for (let c = 0; c < width; c++) sums[c]! += e * vm.data[vo + c]!;
        }
        const yo = ym.offset + (first + t) * ym.stride + ch;
        for (let c = 0; c < width; c++) ym.data[yo + c] = sums[c]! / total;
        lm.data[lm.offset + (first + t) * lm.stride + h] = top + Math.log(total);
      }
    }
  }
}

export function attentionBackwardKernel(
  q: Activation,
  k: Activation,
  v: Activation,
  sink: DenseParam | null,
  heads: number,
  out: Activation,
  lse: Activation,
  dout: Activation,
  dq: Activation,
  dk: Activation,
  dv: Activation,
  weights: boolean,
): void {
  const qm = matrix(q);
  const { batch, length } = qm.tokens;
  const km = matrixOf(k, qm.rows, qm.width, "keys");
  const vm = matrixOf(v, qm.rows, qm.width, "values");
  const ym = matrixOf(out, qm.rows, qm.width, "attention output");
  const lm = matrixOf(lse, qm.rows, heads, "attention log-denominator");
  const dym = matrixOf(dout, qm.rows, qm.width, "attention output gradient");
  const dqm = matrixOf(dq, qm.rows, qm.width, "query gradient");
  const dkm = matrixOf(dk, qm.rows, qm.width, "key gradient");
  const dvm = matrixOf(dv, qm.rows, qm.width, "value gradient");
  const width = headWidth(qm.width, heads);
  const scale = 1 / Math.sqrt(width);
  const sinks = sink ? dense(sink, heads).value : null;
  const dsink = new Float64Array(heads);
  const dqRow = new Float64Array(width);
  const dkAll = new Float64Array(length * width);
  const dvAll = new Float64Array(length * width);
  for (let b = 0; b < batch; b++) {
    const first = b * length;
    for (let h = 0; h < heads; h++) {
      const ch = h * width;
      dkAll.fill(0);
      dvAll.fill(0);
      for (let t = 0; t < length; t++) {
        const qo = qm.offset + (first + t) * qm.stride + ch;
        const yo = ym.offset + (first + t) * ym.stride + ch;
        const go = dym.offset + (first + t) * dym.stride + ch;
        const logTotal = lm.data[lm.offset + (first + t) * lm.stride + h]!;
        // Sum over keys of weight * d(weight), which softmax's reverse subtracts.
        let mean = 0;
        for (let c = 0; c < width; c++) mean += dym.data[go + c]! * ym.data[yo + c]!;
        if (sinks) dsink[h]! -= Math.exp(sinks[h]! - logTotal) * mean;
        dqRow.fill(0);
        for (let s = 0; s <= t; s++) {
          const ko = km.offset + (first + s) * km.stride + ch;
          const vo = vm.offset + (first + s) * vm.stride + ch;
          const so = s * width;
          let score = 0;
          let dweight = 0;
          for (let c = 0; c < width; c++) {
            score += qm.data[qo + c]! * km.data[ko + c]!;
            dweight += dym.data[go + c]! * vm.data[vo + c]!;
          }
          const weight = Math.exp(score * scale - logTotal);
          const dscore = weight * (dweight - mean) * scale;
          for (let c = 0; c < width; c++) {
            dqRow[c]! += dscore * km.data[ko + c]!;
            dkAll[so + c]! += dscore * qm.data[qo + c]!;
            dvAll[so + c]! += weight * dym.data[go + c]!;
          }
        }
        const dqo = dqm.offset + (first + t) * dqm.stride + ch;
        for (let c = 0; c < width; c++) dqm.data[dqo + c] = dqRow[c]!;
      }
      for (let s = 0; s < length; s++) {
        const dko = dkm.offset + (first + s) * dkm.stride + ch;
        const dvo = dvm.offset + (first + s) * dvm.stride + ch;
        for (let c = 0; c < width; c++) {
          dkm.data[dko + c] = dkAll[s * width + c]!;
          dvm.data[dvo + c] = dvAll[s * width + c]!;
        }
      }
    }
  }
  if (weights && sink) {
    const grad = dense(sink, heads).gradToAdd();
    for (let h = 0; h < heads; h++) grad[h]! += dsink[h]!;
  }
}

function headWidth(width: number, heads: number): number {
  assert(width % heads === 0, `${width} channels do not divide into ${heads} heads`);
  return width / heads;
}
