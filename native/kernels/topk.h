// AbsTopK: for each token the k features of largest magnitude. Lanes are tokens; the k-th magnitude is searched on the
// bits of the floats, which order like integers once the sign is dropped.
#pragma once
#include "attention.h"
#include "simd.h"

namespace ISA_NS {
constexpr int kMagnitude = 0x7fffffff;

INLINE vi vmini(vi a, vi b) { return selecti(a < b, a, b); }
INLINE vi vmaxi(vi a, vi b) { return selecti(a > b, a, b); }

// How many of each lane's magnitudes reach p and q, in one pass. m: [W][VL], contiguous.
INLINE void count_two(const int* m, int W, vi p, vi q, vi* cp, vi* cq) {
  vi a0 = alli(0), a1 = alli(0), b0 = alli(0), b1 = alli(0);
  int f = 0;
  for (; f + 1 < W; f += 2) {
    const vi x = *(const vi*)(m + f * VL), y = *(const vi*)(m + (f + 1) * VL);
    a0 -= x >= p;
    b0 -= x >= q;
    a1 -= y >= p;
    b1 -= y >= q;
  }
  if (f < W) {
    const vi x = *(const vi*)(m + f * VL);
    a0 -= x >= p;
    b0 -= x >= q;
  }
  *cp = a0 + a1;
  *cq = b0 + b1;
}

// For each lane a magnitude `lo` and how many entries equal to it may stay (`quota`), such that these and the larger ones
// are k. `nonzero` counts the entries that are not zero.
//
// The bracket [lo, hi) narrows by interpolating in value between the counts at its ends. When it holds the k-th magnitude
// within two entries of an end in every lane, one more pass reads that entry off.
INLINE void kth_magnitude(const int* m, int W, int k, float guess, vi nonzero, vi* lo_out, vi* quota_out, float* next) {
  const vi K = alli(k), one = alli(1);
  vi lo = one, hi = alli(0x7f800001), count_lo = nonzero, count_hi = alli(0);
  const vi few = nonzero < K;  // zeros complete the k: settled below
  vf g0 = all(guess * 0.95f), g1 = all(guess * 1.05f);
  for (int pass = 0, looked = 0; pass < 96; pass++) {
    vi p = (vi)g0, q = (vi)g1, cp, cq;
    p = vmaxi(vmini(p, hi - 1), lo + 1);
    q = vmaxi(vmini(q, hi - 1), lo + 1);
    count_two(m, W, p, q, &cp, &cq);
    for (int i = 0; i < 2; i++) {
      const vi t = i ? q : p, c = i ? cq : cp;
      const vi up = (c >= K) & (t > lo), down = (c < K) & (t < hi);
      lo = selecti(up, t, lo);
      count_lo = selecti(up, c, count_lo);
      hi = selecti(down, t, hi);
      count_hi = selecti(down, c, count_hi);
    }
    const vi over = count_lo - K, under = K - count_hi;
    vi done = few | (over == 0) | ((hi - lo) <= one);
    if (every(done)) break;
    if (!looked && every(done | (over <= 2) | (under <= 2))) {
      // the three smallest magnitudes from lo on, and the three largest below hi
      looked = 1;
      vi s1 = alli(kMagnitude), s2 = s1, s3 = s1, l1 = alli(0), l2 = l1, l3 = l1;
      for (int f = 0; f < W; f++) {
        const vi x = *(const vi*)(m + f * VL);
        vi s = selecti(x >= lo, x, alli(kMagnitude)), l = x & (x < hi), c;
        c = vmaxi(s1, s);
        s1 = vmini(s1, s);
        s = vmaxi(s2, c);
        s2 = vmini(s2, c);
        s3 = vmini(s3, s);
        c = vmini(l1, l);
        l1 = vmaxi(l1, l);
        l = vmini(l2, c);
        l2 = vmaxi(l2, c);
        l3 = vmaxi(l3, l);
      }
      // dropping one or two from below, or taking one or two from above, where no ties are in the way
      const vi open = ~done;
      const vi drop1 = open & (over == 1) & (s1 < s2), drop2 = open & (over == 2) & (s2 < s3);
      const vi take1 = open & (under == 1) & (l1 > l2), take2 = open & (under == 2) & (l2 > l3);
      lo = selecti(drop1, s2, lo);
      lo = selecti(drop2, s3, lo);
      lo = selecti(take1, l1, lo);
      lo = selecti(take2, l2, lo);
      const vi settled = drop1 | drop2 | take1 | take2;
      count_lo = selecti(settled, K, count_lo);
      if (every(done | settled)) break;
      // Ties: draw the bracket to the entries at its ends and ask whether the k-th is one of them.
      const vi tied = open & ~settled;
      lo = selecti(tied, s1, lo);
      hi = selecti(tied, l1 + 1, hi);
      g0 = (vf)(lo + 1);
      g1 = (vf)(hi - 1);
      continue;
    }
    if (pass > 8 && pass % 2 == 0) {  // quarters of the bits: ties and skewed values end too
      const vi quarter = (hi - lo) >> 2;
      g0 = (vf)(lo + quarter);
      g1 = (vf)(hi - quarter);
    } else if (pass > 8) {  // many equal values: does the k-th lie just above lo?
      g0 = (vf)(lo + 1);
      g1 = (vf)(lo + ((hi - lo) >> 1));
    } else {
      const vf fl = (vf)lo;
      const vf fh = select(hi >= alli(0x7f000000), fl * 1.3f, (vf)hi);
      const vf between = tofloat(count_lo - count_hi), want = tofloat(count_lo - K);
      const vf slope = (fh - fl) / between;
      const vf spread = vsqrt(want * tofloat(K - count_hi) / between + 0.25f);
      g0 = vmax(fl, fl + slope * (want - spread));
      g1 = fl + slope * (want + spread);
    }
  }
  vi quota = selecti(count_lo == K, K, K - count_hi);
  lo = selecti(few, alli(0), lo);
  *lo_out = lo;
  *quota_out = selecti(few, K - nonzero, quota);
  float total = 0.f;
  for (int i = 0; i < VL; i++) total += ((vf)lo)[i];
  total /= VL;
  *next = total > 1e-30f ? total : 1e-3f;
}

static void abs_topk(View x, int k, View out, const KeptSet& kept) {
  parallel(x.blocks, [&](int b) {
    uint64_t* bits = kept.bits + (size_t)b * kept.W;
    int* m = (int*)thread_scratch((size_t)x.W * VL);
    for (int c = 0; c < x.W; c++) bits[c] = 0;
    for (int t = 0; t < kBlock; t += VL) {
      const float* in = x.block(b) + t;
      float* o = out.block(b) + t;
      if (k <= 0) {
        for (int c = 0; c < x.W; c++) store(o + (size_t)c * kBlock, all(0.f));
        continue;
      }
      vi nonzero = alli(0);
      for (int c = 0; c < x.W; c++) {  // side by side: rows 256 bytes apart would share a few cache sets
        const vi v = (vi)load(in + (size_t)c * kBlock) & kMagnitude;
        *(vi*)(m + c * VL) = v;
        nonzero -= v > alli(0);
      }
      vi lo, quota;
      float* guess = kept.guess + (size_t)b * (kBlock / VL) + t / VL;
      kth_magnitude(m, x.W, k, *guess, nonzero, &lo, &quota, guess);
      for (int c = 0; c < x.W; c++) {
        const vi v = *(const vi*)(m + c * VL);
        const vi equal = (v == lo) & (quota > alli(0));  // ties: the lowest index wins
        quota += equal;
        const vi keep = (v > lo) | equal;
        store(o + (size_t)c * kBlock, (vf)((vi)load(in + (size_t)c * kBlock) & keep));
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
