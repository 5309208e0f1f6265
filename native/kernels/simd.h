// Vectors of the instruction set this translation unit is compiled for (SC_ISA: 2 = AVX-512, 1 = AVX2, 0 = plain).
// Everything is in a namespace of the set's own and nothing comes from the standard library's templates: the linker
// could otherwise keep one set's copy of a shared function and run it on a machine that lacks the instructions.
#pragma once
#include "../layout.h"
#include "../pool.h"
#include "../queue.h"
#if SC_ISA == 2
#include <immintrin.h>
#define VL 16
#define ISA_NS avx512
#elif SC_ISA == 1
#include <immintrin.h>
#define VL 8
#define ISA_NS avx2
#else
#define VL 4
#define ISA_NS plain
#endif
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

namespace ISA_NS {
typedef float vf __attribute__((vector_size(VL * 4), aligned(4), may_alias));
typedef int32_t vi __attribute__((vector_size(VL * 4), aligned(4), may_alias));

INLINE vf load(const float* p) { return *(const vf*)p; }
INLINE void store(float* p, vf x) { *(vf*)p = x; }
#if VL == 16
INLINE vf all(float x) { return (vf)_mm512_set1_ps(x); }
INLINE vi alli(int32_t x) { return (vi)_mm512_set1_epi32(x); }
INLINE vf vsqrt(vf x) { return (vf)_mm512_sqrt_ps((__m512)x); }
INLINE float hsum(vf x) { return _mm512_reduce_add_ps((__m512)x); }
// bit i: lane i of a comparison result is true
INLINE unsigned lane_bits(vi mask) { return _mm512_movepi32_mask((__m512i)mask); }
#elif VL == 8
INLINE vf all(float x) { return (vf)_mm256_set1_ps(x); }
INLINE vi alli(int32_t x) { return (vi)_mm256_set1_epi32(x); }
INLINE vf vsqrt(vf x) { return (vf)_mm256_sqrt_ps((__m256)x); }
INLINE float hsum(vf x) {
  __m128 h = _mm_add_ps(_mm256_castps256_ps128((__m256)x), _mm256_extractf128_ps((__m256)x, 1));
  h = _mm_add_ps(h, _mm_movehl_ps(h, h));
  h = _mm_add_ss(h, _mm_shuffle_ps(h, h, 1));
  return _mm_cvtss_f32(h);
}
INLINE unsigned lane_bits(vi mask) { return (unsigned)_mm256_movemask_ps((__m256)mask); }
#else
INLINE vf all(float x) { return vf{x, x, x, x}; }
INLINE vi alli(int32_t x) { return vi{x, x, x, x}; }
INLINE vf vsqrt(vf x) {
  for (int i = 0; i < VL; i++) x[i] = __builtin_sqrtf(x[i]);
  return x;
}
INLINE float hsum(vf x) { return (x[0] + x[1]) + (x[2] + x[3]); }
INLINE unsigned lane_bits(vi m) {
  return (unsigned)(m[0] & 1) | (unsigned)(m[1] & 2) | (unsigned)(m[2] & 4) | (unsigned)(m[3] & 8);
}
#endif
INLINE vf select(vi mask, vf a, vf b) { return mask ? a : b; }
INLINE vi selecti(vi mask, vi a, vi b) { return mask ? a : b; }
// of numbers; which operand a NaN gives depends on the instruction set
#if VL == 16
INLINE vf vmax(vf a, vf b) { return (vf)_mm512_max_ps((__m512)a, (__m512)b); }
#elif VL == 8
INLINE vf vmax(vf a, vf b) { return (vf)_mm256_max_ps((__m256)a, (__m256)b); }
#else
INLINE vf vmax(vf a, vf b) { return select(a > b, a, b); }
#endif
INLINE vf tofloat(vi x) { return __builtin_convertvector(x, vf); }
INLINE vi lanes() {
  vi x;
  for (int i = 0; i < VL; i++) x[i] = i;
  return x;
}
INLINE bool any(vi mask) { return lane_bits(mask) != 0; }
// all lanes set
INLINE bool every(vi mask) { return lane_bits(mask) == (1u << VL) - 1; }
// lanes whose bit is set in `bits`
INLINE vi from_bits(unsigned bits) {
#if VL == 16
  return (vi)_mm512_movm_epi32((__mmask16)bits);
#else
  vi one;
  for (int i = 0; i < VL; i++) one[i] = 1 << i;
  return (alli((int)bits) & one) != alli(0);
#endif
}

// exp to about 1e-7 relative; arguments are clamped to [-87, 88]. Range reduction by ln 2 split in two, degree-6 Taylor
// remainder with minimax coefficients (Cephes, S. Moshier).
INLINE vf vexp(vf x) {
  x = vmax(all(-87.f), x);
  x = select(x > all(88.f), all(88.f), x);
  const vf magic = all(12582912.f);
  vf n = x * 1.44269504f + magic;
  vi shifted = ((vi)n) << 23;
  n = n - magic;
  vf r = x - n * 0.693359375f;
  r = r + n * 2.12194440e-4f;
  vf p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  return (vf)((vi)p + shifted);
}

// 2^x for x < 128, to about 1e-7 relative; exactly 0 from -127 down.
INLINE vf vexp2(vf x) {
  x = vmax(all(-127.f), x);
  const vf magic = all(12582912.f);
  const vf n = x + magic;
  const vi shifted = ((vi)n) << 23;
  const vf r = x - (n - magic);
  vf p = r * 1.33335581e-3f + 9.61812911e-3f;
  p = p * r + 5.55041087e-2f;
  p = p * r + 2.40226507e-1f;
  p = p * r + 6.93147182e-1f;
  p = p * r + 1.0f;
  return (vf)((vi)p + shifted);
}

// Natural logarithm of a positive normal number, to about 1e-7 (Cephes).
INLINE vf vlog(vf x) {
  const vi root = alli(0x3f3504f3);  // sqrt(1/2): the mantissa is taken from there to sqrt(2)
  const vi bits = (vi)x - root;
  const vf e = tofloat(bits >> 23), f = (vf)((bits & alli(0x7fffff)) + root) - 1.f, z = f * f;
  vf p = f * 7.0376836292e-2f - 1.1514610310e-1f;
  p = p * f + 1.1676998740e-1f;
  p = p * f - 1.2420140846e-1f;
  p = p * f + 1.4249322787e-1f;
  p = p * f - 1.6668057665e-1f;
  p = p * f + 2.0000714765e-1f;
  p = p * f - 2.4999993993e-1f;
  p = p * f + 3.3333331174e-1f;
  return f + (p * f * z - e * 2.12194440e-4f - z * 0.5f) + e * 0.693359375f;
}

// Runs body(item) for item = 0..items-1 on the pool.
template <class Body>
INLINE void parallel(int items, const Body& body) {
  struct Call {
    static void run(void* context, int item) { (*(const Body*)context)(item); }
  };
  pool_run(items, &Call::run, (void*)&body);
}

// Queues body(block) for each block. The body is copied: it captures by value, and touches only that block of activations.
template <class Body>
INLINE void local(int blocks, const Body& body) {
  static_assert(__is_trivially_copyable(Body) && sizeof(Body) <= kClosure, "a queued op is copied");
  struct Call {
    static void run(void* closure, int block) { (*(Body*)closure)(block); }
  };
  queue_local(blocks, &Call::run, &body, sizeof(Body));
}

// out[c * ldo + r] = in[r * ldi + c] for a 16 x 16 tile
INLINE void transpose16(const float* in, size_t ldi, float* out, size_t ldo) {
#if VL == 16
  __m512 a[16], b[16];
  UNROLL for (int i = 0; i < 16; i++) a[i] = _mm512_loadu_ps(in + (size_t)i * ldi);
  UNROLL for (int i = 0; i < 8; i++) {
    b[2 * i] = _mm512_unpacklo_ps(a[2 * i], a[2 * i + 1]);
    b[2 * i + 1] = _mm512_unpackhi_ps(a[2 * i], a[2 * i + 1]);
  }
  UNROLL for (int i = 0; i < 4; i++) UNROLL for (int j = 0; j < 2; j++) {
      a[4 * i + 2 * j] = (__m512)_mm512_unpacklo_pd((__m512d)b[4 * i + j], (__m512d)b[4 * i + 2 + j]);
      a[4 * i + 2 * j + 1] = (__m512)_mm512_unpackhi_pd((__m512d)b[4 * i + j], (__m512d)b[4 * i + 2 + j]);
    }
  UNROLL for (int j = 0; j < 4; j++) {
    b[j] = _mm512_shuffle_f32x4(a[j], a[4 + j], 0x88);
    b[4 + j] = _mm512_shuffle_f32x4(a[j], a[4 + j], 0xdd);
    b[8 + j] = _mm512_shuffle_f32x4(a[8 + j], a[12 + j], 0x88);
    b[12 + j] = _mm512_shuffle_f32x4(a[8 + j], a[12 + j], 0xdd);
  }
  UNROLL for (int j = 0; j < 4; j++) {
    a[j] = _mm512_shuffle_f32x4(b[j], b[8 + j], 0x88);
    a[8 + j] = _mm512_shuffle_f32x4(b[j], b[8 + j], 0xdd);
    a[4 + j] = _mm512_shuffle_f32x4(b[4 + j], b[12 + j], 0x88);
    a[12 + j] = _mm512_shuffle_f32x4(b[4 + j], b[12 + j], 0xdd);
  }
  UNROLL for (int i = 0; i < 16; i++) _mm512_storeu_ps(out + (size_t)i * ldo, a[i]);
#else
  for (int r = 0; r < 16; r++)
    for (int c = 0; c < 16; c++) out[(size_t)c * ldo + r] = in[(size_t)r * ldi + c];
#endif
}

// out[c * ldo + r] = in[r * ldi + c]; C is a multiple of 16; rows past R count as zero up to the next multiple of 16.
INLINE void transpose(const float* in, size_t ldi, int R, int C, float* out, size_t ldo) {
  for (int r = 0; r < R; r += 16) {
    if (r + 16 <= R) {
      for (int c = 0; c < C; c += 16) transpose16(in + (size_t)r * ldi + c, ldi, out + (size_t)c * ldo + r, ldo);
    } else {
      for (int c = 0; c < C; c++)
        for (int i = 0; i < 16; i++) out[(size_t)c * ldo + r + i] = r + i < R ? in[(size_t)(r + i) * ldi + c] : 0.f;
    }
  }
}
}  // namespace ISA_NS
