// The backward pass of attention in tiles. The gradients of keys and values sum over all queries: there, lanes are channels.
#pragma once
#include "attention_tiles.h"

namespace ISA_NS {
// acc[j] += sum of x[j][i] * rows[i] over the queries i from key j on. ahead: first key - first query
template <int KC>
INLINE void add_outer(const float* x, const float* rows, int KP, int n, int ahead, int end, float* acc) {
  constexpr int JR = 8;  // keys that share the loads of rows; n is a multiple
  if (KC) KP = KC;
  for (int j = 0; j < n; j += JR)
    for (int c = 0; c < KP; c += VL) {
      float *first = acc + (size_t)j * KP + c;
      vf a[JR];
      UNROLL for (int r = 0; r < JR; r++) a[r] = load(first + (size_t)r * KP);
      for (int i = ahead + j > 0 ? ahead + j : 0; i < end; i++) {
        const vf y = load(rows + (size_t)i * KP + c);
        UNROLL for (int r = 0; r < JR; r++) a[r] += all(x[(j + r) * kQueries + i]) * y;
      }
      UNROLL for (int r = 0; r < JR; r++) store(first + (size_t)r * KP, a[r]);
    }
}
static void add_outer(const float* x, const float* rows, int KP, int n, int ahead, int end, float* acc) {
  if (KP == 16) add_outer<16>(x, rows, KP, n, ahead, end, acc);
  else add_outer<0>(x, rows, KP, n, ahead, end, acc);
}

// log: log-denominators in powers of 2; mean: sum over keys of P * dP; P: [n][kQueries]
template <int NV>
INLINE void probabilities(Head a, KeyTile t, const float* qs, const float* log, float* P) {
  multiply_rows<NV>(
      *t.key_rows, t.n, a.K, t.keys, a.KP, qs,
      [&](int j, vf* acc) INLINE_LAMBDA {
        const float* start = causal_row(t.ahead + j);
        UNROLL for (int u = 0; u < NV; u++) acc[u] = load(start + u * VL) - load(log + u * VL);
      },
      [&](int j, vf* acc) INLINE_LAMBDA {
        UNROLL for (int u = 0; u < NV; u++) store(P + j * kQueries + u * VL, vexp2(acc[u]));
      });
}

// Overwrites P by the gradient of the scores, and adds what it does to the queries.
template <int NV>
INLINE void score_gradients(Head a, KeyTile t, const float* channels, const Rows& channel_rows, const float* g,
                            const float* mean, float* P, float* dq) {
  multiply_rows<NV>(
      *t.value_rows, t.n, a.K, t.values, a.KP, g,
      [&](int, vf* acc) INLINE_LAMBDA { UNROLL for (int u = 0; u < NV; u++) acc[u] = -load(mean + u * VL); },
      [&](int j, vf* acc) INLINE_LAMBDA {
        float* p = P + j * kQueries;
        UNROLL for (int u = 0; u < NV; u++) store(p + u * VL, acc[u] * load(p + u * VL));
      });
  multiply_rows<NV>(
      channel_rows, a.K, t.n, channels, kKeys, P,
      [&](int d, vf* acc) INLINE_LAMBDA { UNROLL for (int u = 0; u < NV; u++) acc[u] = load(dq + d * kQueries + u * VL); },
      [&](int d, vf* acc) INLINE_LAMBDA { UNROLL for (int u = 0; u < NV; u++) store(dq + d * kQueries + u * VL, acc[u]); });
}

static float attend_tiles_backward(View q, View k, View v, const float* sink, View out, View lse, View dout, View dq,
                                   View dk, View dv, Head a, int heads) {
  const int Tp = q.Tp, tiles = (Tp + kKeys - 1) / kKeys, K = a.K, KP = a.KP;
  const size_t tile = (size_t)kKeys * KP, wide = (size_t)K * kQueries;
  float* keys = thread_scratch(tiles * (7 * tile + 3 * sizeof(Rows) / 4) + 3 * wide + (kKeys + 2) * kQueries);
  float *values = keys + tiles * tile, *channels = values + tiles * tile, *queries = channels + tiles * tile;
  float *gradients = queries + tiles * tile, *dkeys = gradients + tiles * tile, *dvalues = dkeys + tiles * tile;
  float *qs = dvalues + tiles * tile, *g = qs + wide, *dqs = g + wide, *P = dqs + wide;
  float *log = P + kKeys * kQueries, *mean = log + kQueries;
  Rows *key_rows = (Rows*)(mean + kQueries), *value_rows = key_rows + tiles, *channel_rows = value_rows + tiles;
  head_token_major(k, a, keys);
  head_token_major(v, a, values);
  head_token_major(q, a, queries);
  head_token_major(dout, a, gradients);
  for (size_t i = 0; i < 2 * tiles * tile; i += VL) store(dkeys + i, all(0.f));
  for (int s = 0; s < tiles; s++) {
    const int n = Tp - s * kKeys < kKeys ? Tp - s * kKeys : kKeys;
    gather(k, a, s * kKeys, kKeys, 1.f, channels + s * tile, kKeys);
    find_rows(keys + s * tile, KP, n, KP, key_rows + s);
    find_rows(values + s * tile, KP, n, KP, value_rows + s);
    find_rows(channels + s * tile, kKeys, K, kKeys, channel_rows + s);
  }
  const float scale = 1.f / sqrtf((float)K);
  const Head next = head_after(q, heads, a);
  const View inputs[] = {q, k, v, out, dout};
  vf dsink = all(0.f);
  for (int t0 = 0; t0 < Tp; t0 += kQueries) {
    const int end = Tp - t0 < kQueries ? Tp : t0 + kQueries;
    if (all_zero(dout, a, t0, end - t0)) {
      for (int t = t0; t < end; t += VL)
        for (int d = 0; d < K; d++) store(dq.at(q.token(a.b, t), a.first + d), all(0.f));
      continue;
    }
    gather(q, a, t0, kQueries, scale * kLog2e, qs, kQueries);
    gather(dout, a, t0, kQueries, 1.f, g, kQueries);
    for (size_t i = 0; i < wide; i += VL) store(dqs + i, all(0.f));
    for (int i = 0; i < kQueries; i += VL) {
      vf L = all(0.f), D = all(0.f);
      if (t0 + i < end) {
        const int token = q.token(a.b, t0 + i);
        L = load(lse.at(token, a.h));
        for (int d = 0; d < K; d++) D += load(g + d * kQueries + i) * load(out.at(token, a.first + d));
        if (sink) dsink -= vexp2((all(sink[a.h]) - L) * kLog2e) * D;
      }
      store(log + i, L * kLog2e);
      store(mean + i, D);
    }
    for (int s = 0; s * kKeys < end; s++) {
      const int j0 = s * kKeys, i0 = j0 > t0 ? j0 - t0 : 0;
      if (end == Tp)
        for (const View& x : inputs)
          for (int t = j0; t < j0 + kKeys && t < Tp; t += 16) prefetch(x, next, t);
      const KeyTile t = {Tp - j0 < kKeys ? Tp - j0 : kKeys, j0 - t0 - i0, keys + s * tile, values + s * tile,
                         key_rows + s, value_rows + s};
#define CALL(nv) probabilities<nv>(a, t, qs + i0, log + i0, P + i0)
      BY_VECTORS((end - t0 - i0) / VL, CALL)
#undef CALL
      add_outer(P, gradients + (size_t)t0 * KP, KP, t.n, j0 - t0, end - t0, dvalues + s * tile);
#define CALL(nv) \
  score_gradients<nv>(a, t, channels + s * tile, channel_rows[s], g + i0, mean + i0, P + i0, dqs + i0)
      BY_VECTORS((end - t0 - i0) / VL, CALL)
#undef CALL
      add_outer(P, queries + (size_t)t0 * KP, KP, t.n, j0 - t0, end - t0, dkeys + s * tile);
    }
    for (int i = 0; i < end - t0; i += VL)
      for (int d = 0; d < K; d++)
        store(dq.at(q.token(a.b, t0 + i), a.first + d), load(dqs + d * kQueries + i) * scale);
  }
  head_from_token_major(dkeys, scale, dk, a);
  head_from_token_major(dvalues, 1.f, dv, a);
  return hsum(dsink);
}
}  // namespace ISA_NS
