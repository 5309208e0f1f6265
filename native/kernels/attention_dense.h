// Causal attention of a narrow head over all its entries. Lanes are query tokens, their channels stay in registers; the
// backward pass keeps only one group of queries' probabilities, so that its working set stays in the first-level cache.
#pragma once
#include "attention_head.h"

namespace ISA_NS {
template <int KC>
static void attend_dense(View q, View k, View v, const float* sink, View out, View lse, Head a, int heads) {
  const int K = KC, KP = 16, Tp = q.Tp, b = a.b, h = a.h, first = a.first;
  const float scale = kLog2e / sqrtf((float)K);
  const Head next = head_after(q, heads, a);
  const View inputs[] = {q, k, v};
  float *kt = thread_scratch((size_t)Tp * (2 * KP + VL)), *vt = kt + (size_t)Tp * KP, *S = vt + (size_t)Tp * KP;
  head_token_major(k, a, kt);
  head_token_major(v, a, vt);
  for (int t0 = 0; t0 < Tp; t0 += VL) {
    const int token = q.token(b, t0), end = t0 + VL;
    const vi lane = lanes() + t0;
    if (t0 % 16 == 0)
      for (const View& x : inputs) prefetch(x, next, t0);
    vf best = all(sink ? sink[h] * kLog2e : kNever);
    {
      vf qr[K];
      UNROLL for (int d = 0; d < K; d++) qr[d] = load(q.at(token, first + d)) * scale;
      for (int j = 0; j < end; j++) {
        const float* key = kt + (size_t)j * KP;
        vf s0 = all(0.f), s1 = all(0.f);
        UNROLL for (int d = 0; d + 1 < K; d += 2) {
          s0 += qr[d] * all(key[d]);
          s1 += qr[d + 1] * all(key[d + 1]);
        }
        s0 += s1;
        if (j > t0) s0 = select(lane >= j, s0, all(kNever));
        best = vmax(best, s0);
        store(S + j * VL, s0);
      }
    }
    vf total = sink ? vexp2(all(sink[h] * kLog2e) - best) : all(0.f);
    for (int j = 0; j < end; j++) {
      vf p = vexp2(load(S + j * VL) - best);  // 0 where it is never
      total += p;
      store(S + j * VL, p);
    }
    vf acc[K];
    UNROLL for (int d = 0; d < K; d++) acc[d] = all(0.f);
    for (int j = 0; j < end; j++) {
      vf p = load(S + j * VL);
      const float* value = vt + (size_t)j * KP;
      UNROLL for (int d = 0; d < K; d++) acc[d] += p * all(value[d]);
    }
    vf inverse = 1.f / total;
    UNROLL for (int d = 0; d < K; d++) store(out.at(token, first + d), acc[d] * inverse);
    store(lse.at(token, h), best * kLn2 + vlog(total));
  }
}

// dk and dv of one group of queries: acc[j] += x[j][i] * rows[t0 + i], JR keys at a time
template <int JR>
INLINE void add_outer_group(const float* x, const float* rows, int KP, float* acc) {
  for (int u = 0; u < KP; u += VL) {
    vf a[JR];
    UNROLL for (int j = 0; j < JR; j++) a[j] = load(acc + (size_t)j * KP + u);
    UNROLL for (int i = 0; i < VL; i++) {
      vf y = load(rows + (size_t)i * KP + u);
      UNROLL for (int j = 0; j < JR; j++) a[j] += all(x[j * VL + i]) * y;
    }
    UNROLL for (int j = 0; j < JR; j++) store(acc + (size_t)j * KP + u, a[j]);
  }
}

template <int KC>
static float attend_dense_backward(View q, View k, View v, const float* sink, View out, View lse, View dout, View dq,
                                   View dk, View dv, Head a, int heads) {
  const int K = KC, KP = 16, Tp = q.Tp, b = a.b, h = a.h, first = a.first;
  const float scale = 1.f / sqrtf((float)K);
  const Head next = head_after(q, heads, a);
  const View inputs[] = {q, k, v, out, dout};
  const size_t head = (size_t)Tp * KP;
  float* kt = thread_scratch(6 * head + 2 * (size_t)Tp * VL);
  float *vt = kt + head, *qt = vt + head, *gt = qt + head, *dkt = gt + head, *dvt = dkt + head;
  float *P = dvt + head, *X = P + (size_t)Tp * VL;
  head_token_major(k, a, kt);
  head_token_major(v, a, vt);
  head_token_major(q, a, qt);
  head_token_major(dout, a, gt);
  for (size_t i = 0; i < 2 * head; i += VL) store(dkt + i, all(0.f));
  vf dsink = all(0.f);
  for (int t0 = 0; t0 < Tp; t0 += VL) {
    const int token = q.token(b, t0), end = t0 + VL;
    const vi lane = lanes() + t0;
    if (t0 % 16 == 0)
      for (const View& x : inputs) prefetch(x, next, t0);
    if (all_zero(dout, a, t0, VL)) {
      for (int d = 0; d < K; d++) store(dq.at(token, first + d), all(0.f));
      continue;
    }
    const vf L = load(lse.at(token, h));
    vf D = all(0.f);
    {
      vf r[K];
      UNROLL for (int d = 0; d < K; d++) r[d] = load(q.at(token, first + d)) * (scale * kLog2e);
      for (int j = 0; j < end; j++) {
        const float* key = kt + (size_t)j * KP;
        vf s0 = -L * kLog2e, s1 = all(0.f);
        UNROLL for (int d = 0; d + 1 < K; d += 2) {
          s0 += r[d] * all(key[d]);
          s1 += r[d + 1] * all(key[d + 1]);
        }
        vf p = vexp2(s0 + s1);
        if (j > t0) p = select(lane >= j, p, all(0.f));
        store(P + j * VL, p);
      }
    }
    {
      vf g[K];
      UNROLL for (int d = 0; d < K; d++) {
        g[d] = load(dout.at(token, first + d));
        D += g[d] * load(out.at(token, first + d));
      }
      for (int j = 0; j < end; j++) {
        const float* value = vt + (size_t)j * KP;
        vf s0 = -D, s1 = all(0.f);
        UNROLL for (int d = 0; d + 1 < K; d += 2) {
          s0 += g[d] * all(value[d]);
          s1 += g[d + 1] * all(value[d + 1]);
        }
        store(X + j * VL, (s0 + s1) * load(P + j * VL) * scale);
      }
    }
    {
      vf acc[K];
      UNROLL for (int d = 0; d < K; d++) acc[d] = all(0.f);
      for (int j = 0; j < end; j++) {
        vf x = load(X + j * VL);
        const float* key = kt + (size_t)j * KP;
        UNROLL for (int d = 0; d < K; d++) acc[d] += x * all(key[d]);
      }
      UNROLL for (int d = 0; d < K; d++) store(dq.at(token, first + d), acc[d]);
    }
    for (int j = 0; j < end; j += 4) {  // end is a multiple of 4
      add_outer_group<4>(X + j * VL, qt + (size_t)t0 * KP, KP, dkt + (size_t)j * KP);
      add_outer_group<4>(P + j * VL, gt + (size_t)t0 * KP, KP, dvt + (size_t)j * KP);
    }
    if (sink) dsink -= vexp2((all(sink[h]) - L) * kLog2e) * D;
  }
  head_from_token_major(dkt, 1.f, dk, a);
  head_from_token_major(dvt, 1.f, dv, a);
  return hsum(dsink);
}
}  // namespace ISA_NS
