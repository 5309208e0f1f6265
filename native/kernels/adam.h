// Adam, and the candidates of the projection, in one pass over gradient and moments.
#pragma once
#include "simd.h"
#include "table.h"

namespace ISA_NS {
constexpr int kMagnitudeBits = 0x7fffffff;

static double sum_squares(const float* x, size_t n) {
  // lanes of float per 4,096 entries, chunks in double, in order: the same at any thread count
  const size_t chunk = 4096;
  double total = 0;
  for (size_t start = 0; start < n; start += chunk) {
    size_t end = start + chunk < n ? start + chunk : n, i = start;
    vf s0 = all(0.f), s1 = all(0.f);
    for (; i + 2 * VL <= end; i += 2 * VL) {
      vf a = load(x + i), b = load(x + i + VL);
      s0 += a * a;
      s1 += b * b;
    }
    double part = hsum(s0 + s1);
    for (; i < end; i++) part += (double)x[i] * x[i];
    total += part;
  }
  return total;
}

struct AdamFactors {
  vf b1, b2, o1, o2, step, root;
  float eps;
};
INLINE AdamFactors factors(const AdamArgs& a) {
  return {all(a.beta1),
          all(a.beta2),
          all((1.f - a.beta1) * a.grad_scale),
          all((1.f - a.beta2) * a.grad_scale * a.grad_scale),
          all(a.lr / a.correction1),
          all(1.f / a.correction2),
          a.eps};
}
INLINE void update_moments(const AdamFactors& f, const float* g, float* m, float* v) {
  vf grad = g ? load(g) : all(0.f);
  store(m, f.b1 * load(m) + f.o1 * grad);
  store(v, f.b2 * load(v) + f.o2 * (grad * grad));
}
INLINE vf updated(const AdamFactors& f, vf w, const float* m, const float* v) {
  return w - f.step * load(m) / (vsqrt(load(v) * f.root) + f.eps);
}

// Arrays are padded to a multiple of 16 entries.
static void adam_dense(const AdamArgs& a, float* w, const float* g, float* m, float* v, size_t n) {
  const AdamFactors f = factors(a);
  const size_t chunk = 1 << 16;
  parallel((int)((n + chunk - 1) / chunk), [&](int item) {
    size_t end = (item + 1) * chunk < n ? (item + 1) * chunk : n;
    for (size_t i = item * chunk; i < end; i += VL) {
      update_moments(f, g ? g + i : nullptr, m + i, v + i);
      store(w + i, updated(f, load(w + i), m + i, v + i));
    }
  });
}

INLINE int magnitude(float x) {
  int bits;
  __builtin_memcpy(&bits, &x, 4);
  return bits & kMagnitudeBits;
}

// Positions (ascending) in `row` of its `count` largest magnitudes among `n` listed columns; ties: lowest column.
// `cols` null lists all columns.
INLINE int largest(const float* row, const uint16_t* cols, int n, int count, int* found) {
  int have = 0;
  for (int i = 0; i < n; i++) {
    int c = cols ? cols[i] : i, m = magnitude(row[c]);
    if (have == count && m <= magnitude(row[found[have - 1]])) continue;
    int at = have < count ? have++ : have - 1;
    while (at > 0 && magnitude(row[found[at - 1]]) < m) {
      found[at] = found[at - 1];
      at--;
    }
    found[at] = c;
  }
  for (int i = 1; i < have; i++)  // by column
    for (int j = i; j > 0 && found[j - 1] > found[j]; j--) {
      int swap = found[j];
      found[j] = found[j - 1];
      found[j - 1] = swap;
    }
  return have;
}

static int adam_rows(const AdamArgs& a, const SparseParam& p, int r0, int r1, bool update, float threshold, int protect,
                     float* row, Candidates out) {
  const AdamFactors f = factors(a);
  const Panels& shape = p.shape;
  const int np = shape.count(), padded = round_up(shape.cols, kLaneAlign);
  int n = 0, found[64];
  int limit;
  __builtin_memcpy(&limit, &threshold, 4);
  if (limit < 1) limit = 1;  // zeros are never candidates
  for (int r = r0; r < r1; r++) {
    out.row_ptr[r - r0] = n;
    for (int c = 0; c < padded; c += VL) store(row + c, all(0.f));
    for (int q = p.primary.ptr[r]; q < p.primary.ptr[r + 1]; q++) row[p.primary.idx[q]] = p.primary.val[q];
    const int start = n;
    for (int panel = 0; panel < np; panel++) {
      const int w = shape.width(panel), c0 = panel * kPanel;
      const size_t at = shape.row(panel, r);
      for (int c = 0; c < w; c += VL) {
        if (update) update_moments(f, p.has_grad ? p.grad + at + c : nullptr, p.m + at + c, p.v + at + c);
        vf x = updated(f, load(row + c0 + c), p.m + at + c, p.v + at + c);
        store(row + c0 + c, x);
        vi big = ((vi)x & kMagnitudeBits) >= limit;
#if VL == 16
        __mmask16 bits = (__mmask16)lane_bits(big);
        const __m512i iota = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
        _mm512_storeu_ps(out.val + n, _mm512_maskz_compress_ps(bits, (__m512)x));
        __m512i ix = _mm512_add_epi32(iota, _mm512_set1_epi32(c0 + c));
        _mm256_storeu_si256((__m256i*)(out.col + n), _mm512_cvtepi32_epi16(_mm512_maskz_compress_epi32(bits, ix)));
        n += __builtin_popcount(bits);
#else
        for (unsigned bits = lane_bits(big); bits; bits &= bits - 1) {
          int i = __builtin_ctz(bits);
          out.val[n] = row[c0 + c + i];
          out.col[n++] = (uint16_t)(c0 + c + i);
        }
#endif
      }
    }
    for (int i = start; i < n; i++) out.is_protected[i] = 0;
    if (protect == 0) continue;
    if (n - start >= protect) {
      int have = largest(row, out.col + start, n - start, protect, found);
      for (int i = 0, at = start; i < have; i++) {
        while (out.col[at] != found[i]) at++;
        out.is_protected[at] = 1;
      }
    } else {  // too few above the threshold: every candidate is protected, and the next largest join
      int have = largest(row, nullptr, shape.cols, protect, found);
      n = start;
      for (int i = 0; i < have; i++) {
        if (row[found[i]] == 0.f) continue;
        out.val[n] = row[found[i]];
        out.col[n] = (uint16_t)found[i];
        out.is_protected[n++] = 1;
      }
    }
  }
  out.row_ptr[r1 - r0] = n;
  return n;
}
}  // namespace ISA_NS
