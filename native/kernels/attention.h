// Causal attention with a sink, one (sequence, head) at a time. Lanes are query tokens; the backward pass keeps only one
// group of queries' probabilities, so that its working set stays in the first-level cache.
#pragma once
#include <math.h>
#include <stdlib.h>
#include "simd.h"

namespace ISA_NS {
constexpr float kNever = -1e30f;

// Grows a buffer of this thread; kept until the thread ends.
INLINE float* thread_scratch(size_t floats) {
  static thread_local float* buffer = nullptr;
  static thread_local size_t size = 0;
  if (size < floats) {
    free(buffer);
    buffer = (float*)aligned_alloc(64, (floats * 4 + 63) / 64 * 64);
    size = floats;
  }
  return buffer;
}

// 2^x for x < 128, to about 1e-7 relative; exactly 0 from -127 down.
INLINE vf vexp2(vf x) {
  x = vmax(x, all(-127.f));
  const vf magic = all(12582912.f);
  const vf n = x + magic;
  const vi shifted = ((vi)n) << 23;
  const vf r = x - (n - magic);
  vf p = r * 1.33335581e-3f + 9.61812911e-3f;
  p = p * r + 5.55041087e-2f;
  p = p * r + 2.40226507e-1f;
  p = p * r + 6.93147182e-1f;
  p = p * r + 1.0f;
  return (vf)((vi)p + shifted);
}

constexpr float kLog2e = 1.44269504f, kLn2 = 0.693147181f;
// Head h of sequence b, token-major: out[t * KP + d], KP = K rounded up to 16
INLINE void head_token_major(View x, int b, int first, int K, int KP, float* out) {
  for (int t = 0; t < x.Tp; t += 16) {
    const float* in = x.at(x.token(b, t), first);
    float* o = out + (size_t)t * KP;
    for (int d = 0; d < KP; d += 16) {
      int rows = K - d < 16 ? K - d : 16;
      if (rows == 16) {
        transpose16(in + (size_t)d * kBlock, kBlock, o + d, KP);
      } else {
        for (int i = 0; i < 16; i++)
          for (int j = 0; j < 16; j++) o[(size_t)i * KP + d + j] = j < rows ? in[(size_t)(d + j) * kBlock + i] : 0.f;
      }
    }
  }
}

INLINE void head_from_token_major(const float* in, int KP, View x, int b, int first, int K) {
  float tile[256];
  for (int t = 0; t < x.Tp; t += 16)
    for (int d = 0; d < K; d += 16) {
      transpose16(in + (size_t)t * KP + d, KP, tile, 16);
      for (int r = 0; r < 16 && d + r < K; r++) {
        float* o = x.at(x.token(b, t), first + d + r);
        for (int i = 0; i < 16; i += VL) store(o + i, load(tile + r * 16 + i));
      }
    }
}

// Lanes after the last sequence are never written by attention and must not hold leftovers.
INLINE void clear_tail(View x) {
  int tail = x.B * x.Tp % kBlock;
  if (tail == 0) return;
  for (int c = 0; c < x.W; c++) {
    float* o = x.block(x.blocks - 1) + (size_t)c * kBlock;
    for (int t = tail; t < kBlock; t++) o[t] = 0.f;
  }
}

template <int KC>
static void attention_head(View q, View k, View v, const float* sink, View out, View lse, int b, int h, int heads) {
  const int K = KC ? KC : q.W / heads, KP = round_up(K, 16), Tp = q.Tp, first = h * K;
  const float scale = kLog2e / sqrtf((float)K);
  float *kt = thread_scratch((size_t)Tp * (2 * KP + VL)), *vt = kt + (size_t)Tp * KP, *S = vt + (size_t)Tp * KP;
  head_token_major(k, b, first, K, KP, kt);
  head_token_major(v, b, first, K, KP, vt);
  for (int t0 = 0; t0 < Tp; t0 += VL) {
    const int token = q.token(b, t0), end = t0 + VL;
    const vi lane = lanes() + t0;
    vf best = all(sink ? sink[h] * kLog2e : kNever);
    {
      vf qr[KC ? KC : 256];
      UNROLL for (int d = 0; d < K; d++) qr[d] = load(q.at(token, first + d)) * scale;
      for (int j = 0; j < end; j++) {
        const float* key = kt + (size_t)j * KP;
        vf s0 = all(0.f), s1 = all(0.f);
        UNROLL for (int d = 0; d + 1 < K; d += 2) {
          s0 += qr[d] * all(key[d]);
          s1 += qr[d + 1] * all(key[d + 1]);
        }
        if (K & 1) s0 += qr[K - 1] * all(key[K - 1]);
        s0 += s1;
        if (j > t0) s0 = select(lane >= j, s0, all(kNever));
        best = vmax(best, s0);
        store(S + j * VL, s0);
      }
    }
    vf total = sink ? vexp2(all(sink[h] * kLog2e) - best) : all(0.f);
    for (int j = 0; j < end; j++) {
      vf p = vexp2(load(S + j * VL) - best);
      if (j > t0) p = select(lane >= j, p, all(0.f));
      total += p;
      store(S + j * VL, p);
    }
    vf acc[KC ? KC : 256];
    UNROLL for (int d = 0; d < K; d++) acc[d] = all(0.f);
    for (int j = 0; j < end; j++) {
      vf p = load(S + j * VL);
      const float* value = vt + (size_t)j * KP;
      UNROLL for (int d = 0; d < K; d++) acc[d] += p * all(value[d]);
    }
    vf inverse = 1.f / total;
    UNROLL for (int d = 0; d < K; d++) store(out.at(token, first + d), acc[d] * inverse);
    float* l = lse.at(token, h);
    for (int i = 0; i < VL; i++) l[i] = best[i] * kLn2 + logf(total[i]);
  }
}

// dk and dv of one group of queries: acc[j] += x[j][i] * rows[t0 + i], JR keys at a time
template <int JR>
INLINE void add_outer(const float* x, const float* rows, int KP, float* acc) {
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
static float attention_head_backward(View q, View k, View v, const float* sink, View out, View lse, View dout, View dq,
                                     View dk, View dv, int b, int h, int heads) {
  const int K = KC ? KC : q.W / heads, KP = round_up(K, 16), Tp = q.Tp, first = h * K;
  const float scale = 1.f / sqrtf((float)K);
  const size_t head = (size_t)Tp * KP;
  float* kt = thread_scratch(6 * head + 2 * (size_t)Tp * VL);
  float *vt = kt + head, *qt = vt + head, *gt = qt + head, *dkt = gt + head, *dvt = dkt + head;
  float *P = dvt + head, *X = P + (size_t)Tp * VL;
  head_token_major(k, b, first, K, KP, kt);
  head_token_major(v, b, first, K, KP, vt);
  head_token_major(q, b, first, K, KP, qt);
  head_token_major(dout, b, first, K, KP, gt);
  for (size_t i = 0; i < 2 * head; i += VL) store(dkt + i, all(0.f));
  vf dsink = all(0.f);
  for (int t0 = 0; t0 < Tp; t0 += VL) {
    const int token = q.token(b, t0), end = t0 + VL;
    const vi lane = lanes() + t0;
    const vf L = load(lse.at(token, h));
    vf D = all(0.f);
    {
      vf r[KC ? KC : 256];
      UNROLL for (int d = 0; d < K; d++) r[d] = load(q.at(token, first + d)) * (scale * kLog2e);
      for (int j = 0; j < end; j++) {
        const float* key = kt + (size_t)j * KP;
        vf s0 = -L * kLog2e, s1 = all(0.f);
        UNROLL for (int d = 0; d + 1 < K; d += 2) {
          s0 += r[d] * all(key[d]);
          s1 += r[d + 1] * all(key[d + 1]);
        }
        if (K & 1) s0 += r[K - 1] * all(key[K - 1]);
        vf p = vexp2(s0 + s1);
        if (j > t0) p = select(lane >= j, p, all(0.f));
        store(P + j * VL, p);
      }
    }
    {
      vf g[KC ? KC : 256];
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
        if (K & 1) s0 += g[K - 1] * all(value[K - 1]);
        store(X + j * VL, (s0 + s1) * load(P + j * VL) * scale);
      }
    }
    {
      vf acc[KC ? KC : 256];
      UNROLL for (int d = 0; d < K; d++) acc[d] = all(0.f);
      for (int j = 0; j < end; j++) {
        vf x = load(X + j * VL);
        const float* key = kt + (size_t)j * KP;
        UNROLL for (int d = 0; d < K; d++) acc[d] += x * all(key[d]);
      }
      UNROLL for (int d = 0; d < K; d++) store(dq.at(token, first + d), acc[d]);
    }
    for (int j = 0; j < end; j += 4) {  // end is a multiple of 4
      add_outer<4>(X + j * VL, qt + (size_t)t0 * KP, KP, dkt + (size_t)j * KP);
      add_outer<4>(P + j * VL, gt + (size_t)t0 * KP, KP, dvt + (size_t)j * KP);
    }
    if (sink) dsink -= vexp2((all(sink[h]) - L) * kLog2e) * D;
  }
  head_from_token_major(dkt, KP, dk, b, first, K);
  head_from_token_major(dvt, KP, dv, b, first, K);
  return hsum(dsink);
}

static void attention(View q, View k, View v, const float* sink, int heads, View out, View lse) {
  const int K = q.W / heads;
  parallel(q.B * heads, [&](int item) {
    int b = item / heads, h = item % heads;
    if (K == 16) attention_head<16>(q, k, v, sink, out, lse, b, h, heads);
    else if (K == 8) attention_head<8>(q, k, v, sink, out, lse, b, h, heads);
    else attention_head<0>(q, k, v, sink, out, lse, b, h, heads);
  });
  clear_tail(out);
  clear_tail(lse);
}

// dsinks: (B, heads), one entry per item, summed by the caller in order
static void attention_backward(View q, View k, View v, const float* sink, int heads, View out, View lse, View dout,
                               View dq, View dk, View dv, float* dsinks) {
  const int K = q.W / heads;
  parallel(q.B * heads, [&](int item) {
    int b = item / heads, h = item % heads;
    float d;
    if (K == 16) d = attention_head_backward<16>(q, k, v, sink, out, lse, dout, dq, dk, dv, b, h, heads);
    else if (K == 8) d = attention_head_backward<8>(q, k, v, sink, out, lse, dout, dq, dk, dv, b, h, heads);
    else d = attention_head_backward<0>(q, k, v, sink, out, lse, dout, dq, dk, dv, b, h, heads);
    dsinks[item] = d;
  });
  clear_tail(dq);
  clear_tail(dk);
  clear_tail(dv);
}
}  // namespace ISA_NS
