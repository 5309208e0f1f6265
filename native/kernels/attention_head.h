// What the two ways of computing attention share: one head of one sequence at a time.
#pragma once
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "simd.h"

namespace ISA_NS {
constexpr float kNever = -1e30f;
constexpr float kLog2e = 1.44269504f, kLn2 = 0.693147181f;

// Grows a buffer of this thread; kept until the thread ends. A thread of the pool cannot report that memory ran out.
INLINE float* thread_scratch(size_t floats) {
  static thread_local float* buffer = nullptr;
  static thread_local size_t size = 0;
  if (size < floats) {
    free(buffer);
    buffer = (float*)aligned_alloc(64, (floats * 4 + 63) / 64 * 64);
    if (!buffer) {
      fprintf(stderr, "out of memory: no %zu bytes for the scratch of a thread\n", floats * 4);
      abort();
    }
    size = floats;
  }
  return buffer;
}

// Channels [first, first + K) of sequence b. KP: K rounded up to 16; rows of token-major copies are that long.
struct Head {
  int b, h, K, KP, first;
};
INLINE Head head_of(View q, int heads, int item) {
  const int K = q.W / heads, h = item % heads;
  return {item / heads, h, K, round_up(K, 16), h * K};
}

// The head that this thread probably computes next; b is B or more after the last.
INLINE Head head_after(View q, int heads, Head a) { return head_of(q, heads, a.b * heads + a.h + pool_threads()); }

// Asks for its next 16 tokens: a head's 4 kB per block are too short for the hardware to foresee.
INLINE void prefetch(View x, Head next, int t) {
  if (next.b >= x.B) return;
  const float* in = x.at(x.token(next.b, t), next.first);
  for (int d = 0; d < next.K; d++) __builtin_prefetch(in + (size_t)d * kBlock);
}

// Are tokens [t, t + n) of the head zero? Then they need no backward pass: in a pruning step the loss sees one token.
INLINE bool all_zero(View x, Head a, int t, int n) {
  vi bits = alli(0);
  for (int i = 0; i < n; i += VL)
    for (int d = 0; d < a.K; d++) bits |= (vi)load(x.at(x.token(a.b, t + i), a.first + d)) & 0x7fffffff;
  return !any(bits != alli(0));
}

// out[t * KP + d]
INLINE void head_token_major(View x, Head a, float* out) {
  for (int t = 0; t < x.Tp; t += 16)
    for (int d = 0; d < a.K; d += 16)
      transpose(x.at(x.token(a.b, t), a.first + d), kBlock, a.K - d < 16 ? a.K - d : 16, 16, out + (size_t)t * a.KP + d, a.KP);
}

INLINE void head_from_token_major(const float* in, float factor, View x, Head a) {
  float tile[256];
  for (int t = 0; t < x.Tp; t += 16)
    for (int d = 0; d < a.K; d += 16) {
      transpose16(in + (size_t)t * a.KP + d, a.KP, tile, 16);
      for (int r = 0; r < 16 && d + r < a.K; r++) {
        float* o = x.at(x.token(a.b, t), a.first + d + r);
        for (int i = 0; i < 16; i += VL) store(o + i, load(tile + r * 16 + i) * factor);
      }
    }
}
}  // namespace ISA_NS
