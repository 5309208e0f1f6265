// Causal attention with a sink, one (sequence, head) at a time.
#pragma once
#include "attention_dense.h"
#include "attention_tiles_backward.h"

namespace ISA_NS {
// Lanes after the last sequence are never written by attention and must not hold leftovers.
INLINE void clear_tail(View x) {
  int tail = x.B * x.Tp % kBlock;
  if (tail == 0) return;
  for (int c = 0; c < x.W; c++) {
    float* o = x.block(x.blocks - 1) + (size_t)c * kBlock;
    for (int t = tail; t < kBlock; t++) o[t] = 0.f;
  }
}

INLINE int count_nonzeros(View x, Head a) {
  vi count = alli(0);
  for (int t = 0; t < x.Tp; t += 16) {
    const float* in = x.at(x.token(a.b, t), a.first);
    for (int d = 0; d < a.K; d++)
      for (int u = 0; u < 16; u += VL) count -= load(in + (size_t)d * kBlock + u) != all(0.f);
  }
  int sum = 0;
  for (int i = 0; i < VL; i++) sum += count[i];
  return sum;
}

// Tiles pay where there are zeros to skip and enough tokens to fill them, and where the channels do not fit registers.
INLINE bool use_tiles(View k, View v, Head a) {
  if (a.K != 16 && a.K != 8) return true;
  if (k.Tp < (VL == 16 ? 192 : 48)) return false;
  return count_nonzeros(k, a) + count_nonzeros(v, a) < a.K * k.Tp;  // less than half of both
}

static void attention(View q, View k, View v, const float* sink, int heads, View out, View lse) {
  parallel(q.B * heads, [&](int item) {
    const Head a = head_of(q, heads, item);
    if (use_tiles(k, v, a)) attend_tiles(q, k, v, sink, out, lse, a, heads);
    else if (a.K == 16) attend_dense<16>(q, k, v, sink, out, lse, a, heads);
    else attend_dense<8>(q, k, v, sink, out, lse, a, heads);
  });
  clear_tail(out);
  clear_tail(lse);
}

// dsinks: (B, heads), one entry per item, summed by the caller in order
static void attention_backward(View q, View k, View v, const float* sink, int heads, View out, View lse, View dout,
                               View dq, View dk, View dv, float* dsinks) {
  parallel(q.B * heads, [&](int item) {
    const Head a = head_of(q, heads, item);
    float& d = dsinks[item];
    if (use_tiles(k, v, a)) d = attend_tiles_backward(q, k, v, sink, out, lse, dout, dq, dk, dv, a, heads);
    else if (a.K == 16) d = attend_dense_backward<16>(q, k, v, sink, out, lse, dout, dq, dk, dv, a, heads);
    else d = attend_dense_backward<8>(q, k, v, sink, out, lse, dout, dq, dk, dv, a, heads);
  });
  clear_tail(dq);
  clear_tail(dk);
  clear_tail(dv);
}
}  // namespace ISA_NS
