// AbsTopK: for each token the k features of largest magnitude; among equal ones the lowest index.
//
// Magnitudes order like integers by their bits. Each token has a window of 252 equal steps of these integers where its
// k-th magnitude is expected, and every entry becomes its step: a digit of 8 bits, so that one vector holds 4 * VL
// tokens' digits of a feature. Eight counting passes find the digit of the k-th. The entries that share it are mostly
// one to four: when not all of them stay, they are compared by value. Where they are many, or the window missed, the
// window becomes their range and the round is repeated.
#pragma once
#include <string.h>
#include "attention.h"
#include "elementwise.h"
#include "simd.h"
#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace ISA_NS {
constexpr int kMagnitude = 0x7fffffff;
constexpr int kGroup = 4 * VL;  // tokens searched together
constexpr int kZero = -127, kBelow = -126, kAbove = 127;  // digits of what is zero or outside of the window
constexpr int kSteps = kAbove - kBelow - 1;
constexpr int kListed = 16;    // entries of one digit that are compared by value
constexpr int kCounted = 128;  // features counted in 8 bits before the sum moves to 16

typedef int8_t vb __attribute__((vector_size(VL * 4), aligned(VL * 4), may_alias));
typedef uint8_t vu __attribute__((vector_size(VL * 4), aligned(VL * 4), may_alias));

// a + 1 where x > p
INLINE vb add_over(vb a, vb x, vb p) {
#if VL == 16
  return (vb)_mm512_mask_sub_epi8((__m512i)a, _mm512_cmpgt_epi8_mask((__m512i)x, (__m512i)p), (__m512i)a,
                                  _mm512_set1_epi8(-1));
#else
  return a - (vb)(x > p);
#endif
}
// bit i: byte i of a comparison result is true
INLINE uint64_t byte_bits(vb mask) {
#if VL == 16
  return _mm512_movepi8_mask((__m512i)mask);
#elif VL == 8
  return (uint32_t)_mm256_movemask_epi8((__m256i)mask);
#elif defined(__SSE2__)
  return (unsigned)_mm_movemask_epi8((__m128i)mask);
#else
  uint64_t bits = 0;
  for (int i = 0; i < kGroup; i++) bits |= (uint64_t)(mask[i] & 1) << i;
  return bits;
#endif
}
// Four vectors to bytes; what is out of range becomes the nearest byte.
INLINE vb to_bytes(vi a, vi b, vi c, vi d) {
#if VL == 16
  const __m512i ab = _mm512_packs_epi32((__m512i)a, (__m512i)b), cd = _mm512_packs_epi32((__m512i)c, (__m512i)d);
  const __m512i order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
  return (vb)_mm512_permutexvar_epi32(order, _mm512_packs_epi16(ab, cd));
#elif VL == 8
  const __m256i ab = _mm256_packs_epi32((__m256i)a, (__m256i)b), cd = _mm256_packs_epi32((__m256i)c, (__m256i)d);
  return (vb)_mm256_permutevar8x32_epi32(_mm256_packs_epi16(ab, cd), _mm256_set_epi32(7, 3, 6, 2, 5, 1, 4, 0));
#elif defined(__SSE2__)
  return (vb)_mm_packs_epi16(_mm_packs_epi32((__m128i)a, (__m128i)b), _mm_packs_epi32((__m128i)c, (__m128i)d));
#else
  vb bytes;
  const vi from[4] = {a, b, c, d};
  for (int i = 0; i < kGroup; i++) {
    const int x = from[i / VL][i % VL];
    bytes[i] = (int8_t)(x < -128 ? -128 : x > 127 ? 127 : x);
  }
  return bytes;
#endif
}

// Windows of a group's tokens: digit d is the magnitudes from center + (d << shift) on.
struct Windows {
  int center[kGroup], shift[kGroup];
};

INLINE vi digit_of(vi x, vi center, vi shift) {
  const vi t = (x - center) >> shift;
#if VL == 16
  return (vi)_mm512_mask_max_epi32((__m512i)alli(kZero), _mm512_test_epi32_mask((__m512i)x, (__m512i)x), (__m512i)t,
                                   (__m512i)alli(kBelow));
#else
  return x == alli(0) ? alli(kZero) : t > alli(kBelow) ? t : alli(kBelow);
#endif
}

INLINE void cut_digits(const float* in, int W, const Windows& w, int8_t* digits) {
  vi center[4], shift[4];
  UNROLL for (int j = 0; j < 4; j++) {
    center[j] = *(const vi*)(w.center + j * VL);
    shift[j] = *(const vi*)(w.shift + j * VL);
  }
  for (int c = 0; c < W; c++) {
    vi d[4];
    UNROLL for (int j = 0; j < 4; j++)
      d[j] = digit_of((vi)load(in + (size_t)c * kBlock + j * VL) & kMagnitude, center[j], shift[j]);
    *(vb*)(digits + (size_t)c * kGroup) = to_bytes(d[0], d[1], d[2], d[3]);
  }
}

// How many of each token's digits are over p.
INLINE void count_over(const int8_t* digits, int W, vb p, uint16_t* count) {
  for (int i = 0; i < kGroup; i++) count[i] = 0;
  for (int first = 0; first < W; first += kCounted) {
    const int end = first + kCounted < W ? first + kCounted : W;
    vb a[4] = {};
    int c = first;
    for (; c + 3 < end; c += 4)
      UNROLL for (int j = 0; j < 4; j++) a[j] = add_over(a[j], *(const vb*)(digits + (size_t)(c + j) * kGroup), p);
    for (; c < end; c++) a[0] = add_over(a[0], *(const vb*)(digits + (size_t)c * kGroup), p);
    alignas(64) uint8_t sum[kGroup];
    *(vb*)sum = (a[0] + a[1]) + (a[2] + a[3]);
    for (int i = 0; i < kGroup; i++) count[i] += sum[i];
  }
}

// The digit that k entries reach, and how many entries reach it and are over it.
INLINE void find_digits(const int8_t* digits, int W, int k, int8_t* digit, uint16_t* reach, uint16_t* over) {
  alignas(64) int8_t p[kGroup];
  uint16_t count[kGroup];
  for (int i = 0; i < kGroup; i++) digit[i] = -128, reach[i] = (uint16_t)W, over[i] = 0;
  for (int step = 128; step > 0; step >>= 1) {
    for (int i = 0; i < kGroup; i++) p[i] = (int8_t)(digit[i] + step - 1);
    count_over(digits, W, *(const vb*)p, count);
    for (int i = 0; i < kGroup; i++) {
      const bool enough = count[i] >= k;
      digit[i] = (int8_t)(enough ? digit[i] + step : digit[i]);
      reach[i] = enough ? count[i] : reach[i];
      over[i] = enough ? over[i] : count[i];
    }
  }
}

// Of these tokens' entries that share the digit of the k-th only `quota` stay, the largest: the others sink by one.
INLINE void compare_values(const float* in, int W, const int8_t* digit, const uint16_t* quota, uint64_t tokens,
                           int8_t* digits) {
  uint16_t list[kGroup][kListed];
  int length[kGroup] = {};
  for (int c = 0; c < W; c++) {
    uint64_t bits = byte_bits((vb)(*(const vb*)(digits + (size_t)c * kGroup) == *(const vb*)digit)) & tokens;
    for (; bits; bits &= bits - 1) {
      const int i = __builtin_ctzll(bits);
      list[i][length[i]++] = (uint16_t)c;
    }
  }
  for (; tokens; tokens &= tokens - 1) {
    const int i = __builtin_ctzll(tokens), n = length[i];
    int x[kListed];
    for (int a = 0; a < n; a++) x[a] = ((const int*)in)[(size_t)list[i][a] * kBlock + i] & kMagnitude;
    for (int a = 0; a < n; a++) {
      int before = 0;
      for (int b = 0; b < n; b++) before += x[b] > x[a] || (x[b] == x[a] && b < a);
      digits[(size_t)list[i][a] * kGroup + i] -= before >= quota[i];
    }
  }
}

// The same where the entries are equal: the first ones stay.
INLINE void drop_ties(int W, const int8_t* digit, uint16_t* quota, int8_t* digits) {
  for (int first = 0; first < W; first += kCounted) {
    const int end = first + kCounted < W ? first + kCounted : W;
    alignas(64) uint8_t before[kGroup], after[kGroup];
    for (int i = 0; i < kGroup; i++) before[i] = (uint8_t)(quota[i] < kCounted ? quota[i] : kCounted);
    vu left = *(const vu*)before;
    for (int c = first; c < end; c++) {
      auto* x = (vb*)(digits + (size_t)c * kGroup);
      const vu tied = (vu)(*x == *(const vb*)digit) & 1, stays = tied < left ? tied : left;
      left -= stays;
      *x -= (vb)(tied - stays);
    }
    *(vu*)after = left;
    for (int i = 0; i < kGroup; i++) quota[i] = (uint16_t)(quota[i] - (before[i] - after[i]));
  }
}

// Finds for each token of a group a digit that exactly k entries reach. `guess`: bits of a magnitude near the k-th, or 0;
// returns the next guess.
INLINE int search(const float* in, int W, int k, int guess, int8_t* digits, int8_t* digit) {
  Windows w;
  uint16_t reach[kGroup], over[kGroup], quota[kGroup];
  // two octaves around the guess; without one, a step for each power of two
  for (int i = 0; i < kGroup; i++) w.center[i] = guess ? guess : 128 << 23, w.shift[i] = guess ? 16 : 23;
  for (;;) {
    cut_digits(in, W, w, digits);
    find_digits(digits, W, k, digit, reach, over);
    bool again = false, ties = false;
    uint64_t few = 0;
    int64_t sum = 0, found = 0;
    for (int i = 0; i < kGroup; i++) {
      const int d = digit[i], step = 1 << w.shift[i], shared = reach[i] - over[i];
      const bool inside = d > kBelow && d < kAbove;
      int lo = w.center[i] + d * step, hi = d == kAbove ? kMagnitude : lo + step;
      if (d == kBelow) lo = 1;
      if (inside) sum += lo, found++;
      quota[i] = (uint16_t)(k - over[i]);
      if (quota[i] == shared) continue;
      if (d == kZero || (inside && step == 1)) {
        ties = true;
      } else if (shared <= kListed) {
        few |= (uint64_t)1 << i;
      } else {
        again = true;
        w.shift[i] = 0;
        while ((hi - 1 - lo) >> w.shift[i] >= kSteps) w.shift[i]++;
        w.center[i] = lo + ((-kBelow - 1) << w.shift[i]);
      }
    }
    if (again) continue;
    if (few) compare_values(in, W, digit, quota, few, digits);
    if (ties) drop_ties(W, digit, quota, digits);
    return found ? (int)(sum / found) : guess;
  }
}

// One block: x and out are its entries, bits those that stay.
INLINE void topk_block(const float* x, int W, int k, int* guess, float* out, uint64_t* bits) {
  auto* digits = (int8_t*)thread_scratch((size_t)W * VL);
  for (int t = 0; t < kBlock; t += kGroup) {
    alignas(64) int8_t digit[kGroup];
    const int next = search(x + t, W, k, __atomic_load_n(guess, __ATOMIC_RELAXED), digits, digit);
    __atomic_store_n(guess, next, __ATOMIC_RELAXED);
    for (int c = 0; c < W; c++) {
      const uint64_t keep = byte_bits((vb)(*(const vb*)(digits + (size_t)c * kGroup) >= *(const vb*)digit));
      bits[c] = t == 0 ? keep : bits[c] | keep << t;
      UNROLL for (int j = 0; j < 4; j++) {
        const size_t at = (size_t)c * kBlock + t + j * VL;
        store(out + at, load_kept(x + at, (unsigned)(keep >> (j * VL))));
      }
    }
  }
}

// `before(block)` returns the entries to cut.
template <class Before>
INLINE void topk_blocks(View out, int k, const KeptSet& kept, const Before& before) {
  local(out.blocks, [=](int b) {
    uint64_t* bits = kept.bits + (size_t)b * kept.W;
    if (k > 0) {
      topk_block(before(b), out.W, k, kept.guess, out.block(b), bits);
    } else {
      memset(out.block(b), 0, (size_t)out.W * kBlock * 4);
      memset(bits, 0, (size_t)out.W * 8);
    }
  });
}

static void abs_topk(View x, int k, View out, const KeptSet& kept) {
  topk_blocks(out, k, kept, [=](int b) { return x.block(b); });
}

static void nonlinearity_topk(int kind, View x, int k, View out, const KeptSet& kept) {
  topk_blocks(out, k, kept, [=](int b) {
    nonlinearity_block(kind, x.block(b), x.W, out.block(b));
    return out.block(b);
  });
}

static void abs_topk_backward(View dout, const KeptSet& kept, View dx, bool add) {
  local(dout.blocks, [=](int b) {
    for (int c = 0; c < dout.W; c++) {
      const float* g = dout.block(b) + (size_t)c * kBlock;
      float* d = dx.block(b) + (size_t)c * kBlock;
      uint64_t bits = kept.bits[(size_t)b * kept.W + c];
      for (int t = 0; t < kBlock; t += VL) {
        const vf r = load_kept(g + t, (unsigned)(bits >> t));
        store(d + t, add ? load(d + t) + r : r);
      }
    }
  });
}
}  // namespace ISA_NS
