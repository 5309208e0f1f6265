// RMSNorm and LayerNorm across features, vectorised over tokens: a few vectors side by side, so that memory is read in
// its order.
#pragma once
#include "simd.h"

namespace ISA_NS {
constexpr int kSide = 4, kSideTokens = kSide * VL;

static void norm(int kind, View x, const float* weight, const float* bias, View out, View stats) {
  local(x.blocks, [=](int b) {
    const float scale = 1.f / x.W, eps = kind == 1 ? 1e-5f : 1.1920928955078125e-07f;
    for (int t = 0; t < kBlock; t += kSideTokens) {
      const float* in = x.block(b) + t;
      float *o = out.block(b) + t, *st = stats.block(b) + t;
      vf mean[kSide], inverse[kSide];
      UNROLL for (int i = 0; i < kSide; i++) mean[i] = inverse[i] = all(0.f);
      if (kind == 1) {
        for (int c = 0; c < x.W; c++)
          UNROLL for (int i = 0; i < kSide; i++) mean[i] += load(in + (size_t)c * kBlock + i * VL);
        UNROLL for (int i = 0; i < kSide; i++) mean[i] *= scale;
      }
      for (int c = 0; c < x.W; c++)
        UNROLL for (int i = 0; i < kSide; i++) {
          const vf v = load(in + (size_t)c * kBlock + i * VL) - mean[i];
          inverse[i] += v * v;
        }
      UNROLL for (int i = 0; i < kSide; i++) {
        inverse[i] = 1.f / vsqrt(inverse[i] * scale + eps);
        store(st + i * VL, mean[i]);
        store(st + kBlock + i * VL, inverse[i]);
      }
      for (int c = 0; c < x.W; c++) {
        const vf w = all(weight[c]), shift = all(bias ? bias[c] : 0.f);
        UNROLL for (int i = 0; i < kSide; i++) {
          const size_t at = (size_t)c * kBlock + i * VL;
          store(o + at, (load(in + at) - mean[i]) * inverse[i] * w + shift);
        }
      }
    }
  });
}

// Part of the reverse: kSideTokens tokens of a block. dweight and dbias (null: not wanted) are of these tokens alone.
template <int KIND>
INLINE void norm_backward_part(const float* in, int W, const float* weight, const float* st, const float* g, float* d,
                               bool add, float* dweight, float* dbias) {
  vf mean[kSide], inverse[kSide], dot[kSide], total[kSide];
  UNROLL for (int i = 0; i < kSide; i++) {
    mean[i] = load(st + i * VL);
    inverse[i] = load(st + kBlock + i * VL);
    dot[i] = total[i] = all(0.f);
  }
  for (int c = 0; c < W; c++) {
    const vf w = all(weight[c]);
    vf dw = all(0.f), db = all(0.f);
    UNROLL for (int i = 0; i < kSide; i++) {
      const size_t at = (size_t)c * kBlock + i * VL;
      const vf dy = load(g + at), product = dy * (load(in + at) - mean[i]);
      dot[i] += product * w;
      dw += product * inverse[i];
      db += dy;
      if (KIND == 1) total[i] += dy * w;
    }
    if (dweight) dweight[c] += hsum(dw);
    if (dbias) dbias[c] += hsum(db);
  }
  const float scale = 1.f / W;
  UNROLL for (int i = 0; i < kSide; i++) {
    dot[i] *= inverse[i] * inverse[i] * scale;
    total[i] *= scale;
  }
  for (int c = 0; c < W; c++) {
    const vf w = all(weight[c]);
    UNROLL for (int i = 0; i < kSide; i++) {
      const size_t at = (size_t)c * kBlock + i * VL;
      vf r = (load(g + at) * w - (load(in + at) - mean[i]) * dot[i] - total[i]) * inverse[i];
      store(d + at, add ? load(d + at) + r : r);
    }
  }
}

// dweights, dbiases: a row of W sums for each block; null: not wanted.
static void norm_backward(int kind, View x, const float* weight, View stats, View dout, View dx, bool add, float* dweights,
                          float* dbiases) {
  local(x.blocks, [=](int b) {
    const int W = x.W;
    float *dw = dweights ? dweights + (size_t)b * W : nullptr, *db = dbiases ? dbiases + (size_t)b * W : nullptr;
    for (int c = 0; c < W; c++) {
      if (dw) dw[c] = 0.f;
      if (db) db[c] = 0.f;
    }
    for (int t = 0; t < kBlock; t += kSideTokens)
      (kind == 1 ? norm_backward_part<1> : norm_backward_part<0>)(x.block(b) + t, W, weight, stats.block(b) + t,
                                                                   dout.block(b) + t, dx.block(b) + t, add, dw, db);
  });
}
}  // namespace ISA_NS
