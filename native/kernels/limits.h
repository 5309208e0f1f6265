// What a core can do at most: the measure for the other kernels.
#pragma once
#include "simd.h"

namespace ISA_NS {
// Multiply-adds on registers alone; returns how many floating point operations were done.
static double peak_fma(long rounds, float* out) {
  constexpr int chains = 12;  // enough to hide the latency, few enough for 16 registers
  vf acc[chains];
  UNROLL for (int i = 0; i < chains; i++) acc[i] = all(*out + i);
  const vf w = all(0.999f), b = all(1e-3f);
  for (long r = 0; r < rounds; r++) UNROLL for (int i = 0; i < chains; i++) acc[i] = acc[i] * w + b;
  vf sum = all(0.f);
  UNROLL for (int i = 0; i < chains; i++) sum += acc[i];
  store(out, sum);
  return 2.0 * chains * VL * rounds;
}

// Reads memory once.
static void peak_read(const float* x, size_t n, float* out) {
  constexpr int chains = 8;
  vf acc[chains];
  UNROLL for (int i = 0; i < chains; i++) acc[i] = all(0.f);
  for (size_t k = 0; k + chains * VL <= n; k += chains * VL)
    UNROLL for (int i = 0; i < chains; i++) acc[i] += load(x + k + i * VL);
  vf sum = all(0.f);
  UNROLL for (int i = 0; i < chains; i++) sum += acc[i];
  store(out, sum);
}
}  // namespace ISA_NS
