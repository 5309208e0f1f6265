// RMSNorm and LayerNorm across features, vectorised over tokens.
#pragma once
#include "simd.h"

namespace ISA_NS {
static void norm(int kind, View x, const float* weight, const float* bias, View out, View stats) {
  parallel(x.blocks, [&](int b) {
    const float* in = x.block(b);
    float *o = out.block(b), *st = stats.block(b);
    const float scale = 1.f / x.W, eps = kind == 1 ? 1e-5f : 1.1920928955078125e-07f;
    for (int t = 0; t < kBlock; t += VL) {
      vf mean = all(0.f), square = all(0.f);
      if (kind == 1) {
        for (int c = 0; c < x.W; c++) mean += load(in + (size_t)c * kBlock + t);
        mean *= scale;
      }
      for (int c = 0; c < x.W; c++) {
        vf v = load(in + (size_t)c * kBlock + t) - mean;
        square += v * v;
      }
      vf inverse = 1.f / vsqrt(square * scale + eps);
      store(st + t, mean);
      store(st + kBlock + t, inverse);
      for (int c = 0; c < x.W; c++) {
        vf v = (load(in + (size_t)c * kBlock + t) - mean) * inverse * weight[c];
        store(o + (size_t)c * kBlock + t, bias ? v + bias[c] : v);
      }
    }
  });
}

// scratch: blocks * W floats for dweight and as many for dbias; summed over blocks in order
static void norm_backward(int kind, View x, const float* weight, View stats, View dout, View dx, bool add, float* dweight,
                          float* dbias, float* scratch) {
  const int W = x.W;
  float* scratch_bias = scratch + (size_t)x.blocks * W;
  parallel(x.blocks, [&](int b) {
    const float *in = x.block(b), *g = dout.block(b), *st = stats.block(b);
    float* d = dx.block(b);
    const float scale = 1.f / W;
    for (int t = 0; t < kBlock; t += VL) {
      vf mean = load(st + t), inverse = load(st + kBlock + t), dot = all(0.f), total = all(0.f);
      for (int c = 0; c < W; c++) {
        vf dh = load(g + (size_t)c * kBlock + t) * weight[c];
        dot += dh * (load(in + (size_t)c * kBlock + t) - mean);
        if (kind == 1) total += dh;
      }
      dot *= inverse * inverse * scale;
      total *= scale;
      for (int c = 0; c < W; c++) {
        vf h = load(in + (size_t)c * kBlock + t) - mean;
        vf r = (load(g + (size_t)c * kBlock + t) * weight[c] - h * dot - total) * inverse;
        float* to = d + (size_t)c * kBlock + t;
        store(to, add ? load(to) + r : r);
      }
    }
    if (dweight) {
      for (int c = 0; c < W; c++) {
        vf sum = all(0.f), sum_bias = all(0.f);
        for (int t = 0; t < kBlock; t += VL) {
          vf dy = load(g + (size_t)c * kBlock + t);
          sum += dy * ((load(in + (size_t)c * kBlock + t) - load(st + t)) * load(st + kBlock + t));
          sum_bias += dy;
        }
        scratch[(size_t)b * W + c] = hsum(sum);
        scratch_bias[(size_t)b * W + c] = hsum(sum_bias);
      }
    }
  });
  if (!dweight) return;
  for (int b = 0; b < x.blocks; b++)
    for (int c = 0; c < W; c++) {
      dweight[c] += scratch[(size_t)b * W + c];
      if (dbias) dbias[c] += scratch_bias[(size_t)b * W + c];
    }
}
}  // namespace ISA_NS
