// AbsTopK: for each token the k features of largest magnitude. Lanes are tokens; the k-th magnitude is searched on the
// bits of the floats, which order like integers once the sign is dropped.
#pragma once
#include "simd.h"

namespace ISA_NS {
constexpr int kMagnitude = 0x7fffffff;

INLINE vi count_at_least(const float* x, int W, vi threshold) {
  vi c0 = alli(0), c1 = alli(0);
  int f = 0;
  for (; f + 1 < W; f += 2) {
    c0 -= ((vi)load(x + (size_t)f * kBlock) & kMagnitude) >= threshold;
    c1 -= ((vi)load(x + (size_t)(f + 1) * kBlock) & kMagnitude) >= threshold;
  }
  if (f < W) c0 -= ((vi)load(x + (size_t)f * kBlock) & kMagnitude) >= threshold;
  return c0 + c1;
}

// Two thresholds in one pass over the values.
INLINE void count_two(const float* x, int W, vi p, vi q, vi* cp, vi* cq) {
  vi a = alli(0), b = alli(0);
  for (int f = 0; f < W; f++) {
    vi m = (vi)load(x + (size_t)f * kBlock) & kMagnitude;
    a -= m >= p;
    b -= m >= q;
  }
  *cp = a;
  *cq = b;
}

// For each lane: the largest magnitude `lo` that at least k entries reach, or any magnitude that exactly k reach.
// above = how many entries are strictly larger than lo where the search ran to the end, else 0.
INLINE void kth_magnitude(const float* x, int W, int k, float guess, vi* lo_out, vi* quota_out, float* next_guess) {
  const vi K = alli(k);
  vi lo = alli(0), hi = alli(0x7f800001), count_lo = alli(W), count_hi = alli(0);
  vf g0 = all(guess * 0.93f), g1 = all(guess * 1.07f);
  for (int pass = 0; pass < 80; pass++) {
    vi p = (vi)g0, q = (vi)g1, cp, cq;
    if (pass == 1) p = alli(1);  // settles at once the tokens with fewer than k nonzeros
    p = selecti(p <= lo, lo + 1, p);
    p = selecti(p >= hi, hi - 1, p);
    q = selecti(q <= lo, lo + 1, q);
    q = selecti(q >= hi, hi - 1, q);
    count_two(x, W, p, q, &cp, &cq);
    for (int i = 0; i < 2; i++) {
      vi m = i ? q : p, c = i ? cq : cp;
      vi up = (c >= K) & (m > lo), down = (c < K) & (m < hi);
      lo = selecti(up, m, lo);
      count_lo = selecti(up, c, count_lo);
      hi = selecti(down, m, hi);
      count_hi = selecti(down, c, count_hi);
    }
    if (every((count_lo == K) | ((hi - lo) <= 1))) break;
    if (pass % 4 == 3) {  // thirds of the bits: bounds the number of passes
      vi w = hi - lo;
      g0 = (vf)(lo + w / 3);
      g1 = (vf)(lo + w / 3 * 2);
    } else {  // interpolate in value between the bracket's ends
      vf fl = (vf)lo, fh = (vf)hi;
      fh = select(hi >= alli(0x7f000000), fl * 2.f + 1e-20f, fh);
      vf slope = (fh - fl) / tofloat(count_lo - count_hi);
      vf want = tofloat(count_lo - K), spread = vsqrt(want + 1.f) * 0.8f;
      g0 = fl + slope * (want - spread);
      g0 = select(g0 < fl, fl, g0);
      g1 = fl + slope * (want + spread);
    }
  }
  *lo_out = lo;
  *quota_out = selecti(count_lo == K, K, K - count_hi);  // entries equal to lo that may stay
  float total = 0.f;
  for (int i = 0; i < VL; i++) total += ((vf)lo)[i];
  total /= VL;
  *next_guess = total > 1e-30f ? total : 1e-3f;
}

static void abs_topk(View x, int k, View out, const KeptSet& kept) {
  parallel(x.blocks, [&](int b) {
    uint64_t* bits = kept.bits + (size_t)b * kept.W;
    for (int c = 0; c < x.W; c++) bits[c] = 0;
    for (int t = 0; t < kBlock; t += VL) {
      const float* in = x.block(b) + t;
      float* o = out.block(b) + t;
      if (k <= 0) {
        for (int c = 0; c < x.W; c++) store(o + (size_t)c * kBlock, all(0.f));
        continue;
      }
      vi lo, quota;
      float* guess = kept.guess + (size_t)b * (kBlock / VL) + t / VL;
      kth_magnitude(in, x.W, k, *guess, &lo, &quota, guess);
      for (int c = 0; c < x.W; c++) {
        vf v = load(in + (size_t)c * kBlock);
        vi m = (vi)v & kMagnitude;
        vi equal = (m == lo) & (quota > alli(0));  // ties: the lowest index wins
        quota += equal;
        vi keep = (m > lo) | equal;
        store(o + (size_t)c * kBlock, (vf)((vi)v & keep));
        bits[c] |= (uint64_t)lane_bits(keep) << t;
      }
    }
  });
}

static void abs_topk_backward(View dout, const KeptSet& kept, View dx, bool add) {
  parallel(dout.blocks, [&](int b) {
    for (int c = 0; c < dout.W; c++) {
      const float* g = dout.block(b) + (size_t)c * kBlock;
      float* d = dx.block(b) + (size_t)c * kBlock;
      uint64_t bits = kept.bits[(size_t)b * kept.W + c];
      for (int t = 0; t < kBlock; t += VL) {
        vf r = (vf)((vi)load(g + t) & from_bits((unsigned)(bits >> t) & ((1u << VL) - 1)));
        store(d + t, add ? load(d + t) + r : r);
      }
    }
  });
}
}  // namespace ISA_NS
