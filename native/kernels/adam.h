// Adam, and the candidates of the projection, in one pass over gradient and moments.
#pragma once
#include "simd.h"
#include "table.h"

namespace ISA_NS {
constexpr int kMagnitudeBits = 0x7fffffff;

// Lanes of float for every 4,096 entries, those sums in double and in order.
static double sum_squares(const float* x, size_t n) {
  const size_t chunk = 4096;
  double total = 0;
  for (size_t start = 0; start < n; start += chunk) {
    size_t end = start + chunk < n ? start + chunk : n, i = start;
    vf sum[4];
    UNROLL for (int u = 0; u < 4; u++) sum[u] = all(0.f);
    for (; i + 4 * VL <= end; i += 4 * VL) {
      UNROLL for (int u = 0; u < 4; u++) {
        vf a = load(x + i + u * VL);
        sum[u] += a * a;
      }
    }
    double part = hsum((sum[0] + sum[1]) + (sum[2] + sum[3]));
    for (; i < end; i++) part += (double)x[i] * x[i];
    total += part;
  }
  return total;
}

struct Betas {
  vf b1, b2, o1, o2;
};
struct AdamFactors {
  Betas one, gap;
  vf step, root;
  float eps;
};
INLINE Betas betas(float b1, float b2, float scale) {
  return {all(b1), all(b2), all((1.f - b1) * scale), all((1.f - b2) * scale * scale)};
}
INLINE AdamFactors factors(const AdamArgs& a) {
  return {betas(a.beta1, a.beta2, a.grad_scale), betas(a.gap1, a.gap2, a.grad_scale), all(a.lr / a.correction1),
          all(1.f / a.correction2), a.eps};
}
INLINE Betas select(vi mask, const Betas& a, const Betas& b) {
  return {select(mask, a.b1, b.b1), select(mask, a.b2, b.b2), select(mask, a.o1, b.o1), select(mask, a.o2, b.o2)};
}
INLINE void update_moments(const Betas& f, const float* g, float* m, float* v) {
  vf grad = g ? load(g) : all(0.f);
  store(m, f.b1 * load(m) + f.o1 * grad);
  store(v, f.b2 * load(v) + f.o2 * (grad * grad));
}
INLINE vf updated(const AdamFactors& f, vf w, const float* m, const float* v) {
  return w - f.step * load(m) / (vsqrt(load(v) * f.root) + f.eps);
}

// One run of entries; g null: no gradient.
static void adam_dense(const AdamArgs& a, float* w, const float* g, float* m, float* v, size_t n) {
  const AdamFactors f = factors(a);
  size_t i = 0;
  for (; i + VL <= n; i += VL) {
    update_moments(f.one, g ? g + i : nullptr, m + i, v + i);
    store(w + i, updated(f, load(w + i), m + i, v + i));
  }
  if (i == n) return;
  float last[4][VL] = {};
  const size_t bytes = (n - i) * 4;
  float* const from[4] = {w + i, g ? (float*)g + i : last[1], m + i, v + i};
  for (int k = 0; k < 4; k++) __builtin_memcpy(last[k], from[k], bytes);
  update_moments(f.one, last[1], last[2], last[3]);
  store(last[0], updated(f, load(last[0]), last[2], last[3]));
  for (int k = 0; k < 4; k++)
    if (k != 1) __builtin_memcpy(from[k], last[k], bytes);
}

INLINE vi magnitudes(vf x) { return (vi)x & kMagnitudeBits; }
INLINE int magnitude(float x) {
  int bits;
  __builtin_memcpy(&bits, &x, 4);
  return bits & kMagnitudeBits;
}

// New values of rows [r0, r1), into x (rows of `ld`). A panel is walked down before the next, so that memory is read in
// long runs.
enum Update { kNothing, kMoments, kMomentsAfterGap };
template <Update UPDATE>
INLINE void adam_values(const AdamFactors& f, const SparseParam& p, int r0, int r1, float* x, int ld) {
  for (int i = 0, n = (r1 - r0) * ld; i < n; i += VL) store(x + i, all(0.f));
  for (int r = r0; r < r1; r++)
    for (int q = p.primary.ptr[r]; q < p.primary.ptr[r + 1]; q++) x[(r - r0) * ld + p.primary.idx[q]] = p.primary.val[q];
  for (int panel = 0, np = p.shape.count(); panel < np; panel++) {
    const int w = p.shape.width(panel);
    for (int r = r0; r < r1; r++) {
      const size_t at = p.shape.row(panel, r);
      const float* g = p.has_grad ? p.grad + at : nullptr;
      float *row = x + (r - r0) * ld + panel * kPanel, *m = p.m + at, *v = p.v + at;
      for (int c = 0; c < w; c += VL) {
        const vf before = load(row + c);
        if (UPDATE == kMoments) update_moments(f.one, g ? g + c : nullptr, m + c, v + c);
        if (UPDATE == kMomentsAfterGap)
          update_moments(select(before != 0.f, f.one, f.gap), g ? g + c : nullptr, m + c, v + c);
        store(row + c, updated(f, before, m + c, v + c));
      }
    }
  }
}

// bit i: fewer than `count` of 16 magnitudes are larger than the i-th, or equal and before it.
constexpr int kParts = 16;
INLINE unsigned largest_of_parts(const int* m, int count) {
  unsigned bits = 0;
  for (int u = 0; u < kParts; u += VL) {
    const vi mine = (vi)load((const float*)(m + u)), lane = lanes() + u;
    vi before = alli(0);
    UNROLL for (int k = 0; k < kParts; k++) before -= alli(m[k]) > mine + (lane > k);
    bits |= lane_bits(before < count) << u;
  }
  return bits;
}

// The magnitude that `count` entries of a row reach, were there as many that are not zero: the count-th largest of the
// maxima of its 16 interleaved parts. 0 when there are fewer parts.
INLINE int reached(const float* row, int n, int count) {
  if (count > kParts) return 0;
  vi best[kParts / VL];
  UNROLL for (int u = 0; u < kParts / VL; u++) best[u] = alli(0);
  float last[kParts] = {};
  for (int c = 0; c < n; c += kParts) {
    const float* part = row + c;
    if (n - c < kParts) {
      __builtin_memcpy(last, part, (size_t)(n - c) * 4);
      part = last;
    }
    UNROLL for (int u = 0; u < kParts / VL; u++) {
      const vi m = magnitudes(load(part + u * VL));
      best[u] = m > best[u] ? m : best[u];
    }
  }
  int part[kParts], least = kMagnitudeBits;
  __builtin_memcpy(part, best, sizeof(part));
  for (unsigned bits = largest_of_parts(part, count); bits; bits &= bits - 1) {
    const int m = part[__builtin_ctz(bits)];
    if (m < least) least = m;
  }
  return least;
}

// Appends the entries of a row whose magnitude is at least `limit`. One whole vector past the last may be written.
INLINE int list_row(const float* row, int padded, int limit, const Candidates& out, int n) {
  for (int c = 0; c < padded; c += VL) {
    const vf x = load(row + c);
    unsigned bits = lane_bits(magnitudes(x) >= limit);
#if VL == 16
    const __m512i iota = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    _mm512_storeu_ps(out.val + n, _mm512_maskz_compress_ps((__mmask16)bits, (__m512)x));
    const __m512i at = _mm512_maskz_compress_epi32((__mmask16)bits, _mm512_add_epi32(iota, _mm512_set1_epi32(c)));
    _mm256_storeu_si256((__m256i*)(out.col + n), _mm512_cvtepi32_epi16(at));
    n += __builtin_popcount(bits);
#else
    for (; bits; bits &= bits - 1) {
      const int i = c + __builtin_ctz(bits);
      out.val[n] = row[i];
      out.col[n++] = (uint16_t)i;
    }
#endif
  }
  return n;
}

// Marks the `count` largest of listed values, all of which are at least `bound`; ties: the first.
INLINE void mark_largest(const float* val, int n, int count, int bound, uint8_t* mark) {
  int place[kParts], size[kParts], hits = 0;
  for (int u = 0; u < kParts; u++) size[u] = -1;
  for (int start = 0; start < n && hits <= kParts; start += VL) {
    unsigned bits = lane_bits(magnitudes(load(val + start)) >= bound);
    if (n - start < VL) bits &= (1u << (n - start)) - 1;
    for (; bits; bits &= bits - 1, hits++) {
      if (hits == kParts) goto many;
      place[hits] = start + __builtin_ctz(bits);
      size[hits] = magnitude(val[place[hits]]);
    }
  }
  for (unsigned bits = largest_of_parts(size, count < hits ? count : hits); bits; bits &= bits - 1)
    mark[place[__builtin_ctz(bits)]] = 1;
  return;
many:
  int found[64], have = 0;
  for (int i = 0; i < n; i++) {
    const int m = magnitude(val[i]);
    if (have == count && m <= magnitude(val[found[have - 1]])) continue;
    int at = have < count ? have++ : have - 1;
    for (; at > 0 && magnitude(val[found[at - 1]]) < m; at--) found[at] = found[at - 1];
    found[at] = i;
  }
  for (int i = 0; i < have; i++) mark[found[i]] = 1;
}

// Drops what is neither marked nor at least `limit`; returns what is left.
INLINE int drop_small(const Candidates& out, int start, int n, int limit) {
  int to = start;
  for (int i = start; i < n; i++) {
    out.val[to] = out.val[i];
    out.col[to] = out.col[i];
    out.is_protected[to] = out.is_protected[i];
    to += out.is_protected[i] || magnitude(out.val[i]) >= limit;
  }
  return to;
}

static int adam_rows(const AdamArgs& a, const SparseParam& p, int r0, int r1, bool update, int limit, int protect,
                     float* x, Candidates out) {
  const int padded = round_up(p.shape.cols, kLaneAlign);
  const AdamFactors f = factors(a);
  if (!update)
    adam_values<kNothing>(f, p, r0, r1, x, padded);
  else if (a.gap1 == a.beta1 && a.gap2 == a.beta2)
    adam_values<kMoments>(f, p, r0, r1, x, padded);
  else
    adam_values<kMomentsAfterGap>(f, p, r0, r1, x, padded);
  if (limit < 1) limit = 1;  // zeros are never candidates
  int n = 0;
  for (int r = r0; r < r1; r++) {
    const float* row = x + (size_t)(r - r0) * padded;
    const int start = n, bound = protect > 0 ? reached(row, padded, protect) : limit;
    out.row_ptr[r - r0] = start;
    n = list_row(row, padded, bound < 1 ? 1 : bound < limit ? bound : limit, out, n);
    for (int i = start; i < n; i++) out.is_protected[i] = 0;
    if (protect == 0) continue;
    mark_largest(out.val + start, n - start, protect, bound, out.is_protected + start);
    if (bound < limit) n = drop_small(out, start, n, limit);
  }
  out.row_ptr[r1 - r0] = n;
  return n;
}

static int adam_kept(const AdamArgs& a, const SparseParam& p, int r0, int r1, int protect, Candidates out) {
  constexpr int most = 256;
  const int* ptr = p.primary.ptr;
  const int start = ptr[r0], n = ptr[r1] - start;
  size_t at[most];
  float m[most], v[most];
  for (int r = r0; r <= r1; r++) out.row_ptr[r - r0] = ptr[r] - start;
  for (int i = 0; i < n; i++) out.is_protected[i] = 0;
  for (int r = r0, from = 0; from < n; from += most) {
    const int count = n - from < most ? n - from : most;
    const float* g = p.has_kept ? p.kept_grad + start + from : nullptr;
    for (int i = 0; i < count; i++) {
      const int q = start + from + i, c = p.primary.idx[q];
      while (ptr[r + 1] <= q) r++;
      at[i] = p.shape.row(c / kPanel, r) + c % kPanel;
      m[i] = p.m[at[i]];
      v[i] = p.v[at[i]];
      out.val[from + i] = p.primary.val[q];
      out.col[from + i] = (uint16_t)c;
    }
    adam_dense(a, out.val + from, g, m, v, count);
    for (int i = 0; i < count; i++) {
      p.m[at[i]] = m[i];
      p.v[at[i]] = v[i];
    }
  }
  for (int r = r0; r < r1 && protect > 0; r++) {
    const int from = ptr[r] - start, to = ptr[r + 1] - start;
    const int bound = reached(out.val + from, to - from, protect);
    mark_largest(out.val + from, to - from, protect, bound, out.is_protected + from);
  }
  return n;
}
}  // namespace ISA_NS
