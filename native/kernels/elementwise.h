// Ops that touch each entry once: copy, sum, nonlinearity, mask, patch. They are queued.
#pragma once
#include "simd.h"

namespace ISA_NS {
// body(block, feature, first of the 64 entries of each operand)
template <class Body>
INLINE void each_feature(int blocks, int W, const Body& body) {
  local(blocks, [=](int b) {
    for (int c = 0; c < W; c++) body(b, (size_t)c * kBlock);
  });
}

static void copy(View x, View out, bool add) {
  each_feature(x.blocks, x.W, [=](int b, size_t at) {
    const float* s = x.block(b) + at;
    float* d = out.block(b) + at;
    for (int t = 0; t < kBlock; t += VL) store(d + t, add ? load(d + t) + load(s + t) : load(s + t));
  });
}

static void sum(View p, View q, View out) {
  each_feature(p.blocks, p.W, [=](int b, size_t at) {
    const float *x = p.block(b) + at, *y = q.block(b) + at;
    float* d = out.block(b) + at;
    for (int t = 0; t < kBlock; t += VL) store(d + t, load(x + t) + load(y + t));
  });
}

// Standard normal distribution function and density. erfc(z) = exp(-z^2) t R(t) with z = |x| / sqrt(2) and
// t = 1/(1 + 0.33 z), R fitted to 9e-8 relative for 0 <= z <= 9.
INLINE void normal_cdf(vf x, vf* cdf, vf* density) {
  vf size = (vf)((vi)x & 0x7fffffff);
  vf t = 1.f / (1.f + size * 0.23334524f);
  vf e = vexp(x * x * -0.5f);
  vf r = t * -0.13593029f + 0.46269421f;
  r = r * t + -0.35544854f;
  r = r * t + 0.41254938f;
  r = r * t + 0.04500741f;
  r = r * t + 0.20192438f;
  r = r * t + 0.18283725f;
  r = r * t + 0.18636610f;
  vf half = r * t * e * 0.5f;
  *cdf = select(x < all(0.f), half, 1.f - half);
  *density = e * 0.39894228f;
}

INLINE void nonlinearity_block(int kind, const float* x, int W, float* out) {
  for (size_t i = 0; i < (size_t)W * kBlock; i += VL) {
    vf v = load(x + i), cdf, density;
    if (kind == 1) {
      store(out + i, select(v > all(0.f), v, all(0.f)));
    } else {
      normal_cdf(v, &cdf, &density);
      store(out + i, v * cdf);
    }
  }
}

static void nonlinearity(int kind, View x, View out) {
  local(x.blocks, [=](int b) { nonlinearity_block(kind, x.block(b), x.W, out.block(b)); });
}

INLINE vf slope(int kind, vf x) {
  if (kind == 1) return select(x > all(0.f), all(1.f), all(0.f));
  vf cdf, density;
  normal_cdf(x, &cdf, &density);
  return cdf + x * density;
}

// p[i] where bit i is set, else 0. (Not a masked load: those made the GELU's reverse 1.5 times slower on Zen 5.)
INLINE vf load_kept(const float* p, unsigned bits) {
  return (vf)((vi)load(p) & from_bits(bits & ((1u << VL) - 1)));
}

// `kept`: where the gradient counts, or null
static void nonlinearity_backward(int kind, View x, View dout, const KeptSet* kept, View dx, bool add) {
  local(x.blocks, [=](int b) {
    for (int c = 0; c < x.W; c++) {
      const size_t at = (size_t)c * kBlock;
      const float *s = x.block(b) + at, *g = dout.block(b) + at;
      float* d = dx.block(b) + at;
      const uint64_t bits = kept ? kept->bits[(size_t)b * kept->W + c] : ~(uint64_t)0;
      for (int t = 0; t < kBlock; t += VL) {
        const vf r = load_kept(g + t, (unsigned)(bits >> t)) * slope(kind, load(s + t));
        store(d + t, add ? load(d + t) + r : r);
      }
    }
  });
}

static void mask(View x, const float* mask, const float* mean, View out) {
  local(x.blocks, [=](int b) {
    for (int c = 0; c < x.W; c++) {
      const float* s = x.block(b) + (size_t)c * kBlock;
      float* d = out.block(b) + (size_t)c * kBlock;
      vf m = all(mask[c]), rest = all((1.f - mask[c]) * mean[c]);
      for (int t = 0; t < kBlock; t += VL) store(d + t, m * load(s + t) + rest);
    }
  });
}

// sums: (blocks, W), what each block adds to the gradient of the mask
static void mask_backward(View x, const float* mask, const float* mean, View dout, View dx, bool add, float* sums) {
  local(x.blocks, [=](int b) {
    for (int c = 0; c < x.W; c++) {
      const float *s = x.block(b) + (size_t)c * kBlock, *g = dout.block(b) + (size_t)c * kBlock;
      float* d = dx.block(b) + (size_t)c * kBlock;
      vf m = all(mask[c]), mu = all(mean[c]), total = all(0.f);
      UNROLL for (int t = 0; t < kBlock; t += VL) {
        vf dy = load(g + t);
        total += dy * (load(s + t) - mu);
        vf r = m * dy;
        store(d + t, add ? load(d + t) + r : r);
      }
      sums[(size_t)b * x.W + c] = hsum(total);
    }
  });
}

static void patch(View x, View values, View where, View out) {
  each_feature(x.blocks, x.W, [=](int b, size_t at) {
    const float *s = x.block(b) + at, *v = values.block(b) + at, *w = where.block(b) + at;
    float* d = out.block(b) + at;
    for (int t = 0; t < kBlock; t += VL) store(d + t, select(load(w + t) != all(0.f), load(v + t), load(s + t)));
  });
}

static void patch_backward(View dout, View where, View dx, bool add) {
  each_feature(dout.blocks, dout.W, [=](int b, size_t at) {
    const float *g = dout.block(b) + at, *w = where.block(b) + at;
    float* d = dx.block(b) + at;
    for (int t = 0; t < kBlock; t += VL) {
      vf r = select(load(w + t) != all(0.f), all(0.f), load(g + t));
      store(d + t, add ? load(d + t) + r : r);
    }
  });
}
}  // namespace ISA_NS
