// Ops that touch each entry once: copy, sum, nonlinearity, mask, patch.
#pragma once
#include "simd.h"

namespace ISA_NS {
// body(block, feature, first of the 64 entries of each operand)
template <class Body>
INLINE void each_feature(int blocks, int W, const Body& body) {
  parallel(blocks, [&](int b) {
    for (int c = 0; c < W; c++) body(b, (size_t)c * kBlock);
  });
}

static void copy(View x, View out, bool add) {
  each_feature(x.blocks, x.W, [&](int b, size_t at) {
    const float* s = x.block(b) + at;
    float* d = out.block(b) + at;
    for (int t = 0; t < kBlock; t += VL) store(d + t, add ? load(d + t) + load(s + t) : load(s + t));
  });
}

static void sum(View p, View q, View out) {
  each_feature(p.blocks, p.W, [&](int b, size_t at) {
    const float *x = p.block(b) + at, *y = q.block(b) + at;
    float* d = out.block(b) + at;
    for (int t = 0; t < kBlock; t += VL) store(d + t, load(x + t) + load(y + t));
  });
}

// Standard normal distribution function and density. erfc(z) = exp(-z^2) t R(t), t = 1/(1 + 0.33 z), R fitted to
// 9e-8 relative for 0 <= z <= 9.
INLINE void normal_cdf(vf x, vf* cdf, vf* density) {
  vf z = select(x < all(0.f), -x, x) * 0.70710678f;
  vf t = 1.f / (1.f + z * 0.33f);
  vf e = vexp(-(z * z));
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

static void nonlinearity(int kind, View x, View out) {
  each_feature(x.blocks, x.W, [&](int b, size_t at) {
    const float* s = x.block(b) + at;
    float* d = out.block(b) + at;
    for (int t = 0; t < kBlock; t += VL) {
      vf v = load(s + t), cdf, density;
      if (kind == 1) {
        store(d + t, select(v > all(0.f), v, all(0.f)));
      } else {
        normal_cdf(v, &cdf, &density);
        store(d + t, v * cdf);
      }
    }
  });
}

static void nonlinearity_backward(int kind, View x, View dout, View dx, bool add) {
  each_feature(x.blocks, x.W, [&](int b, size_t at) {
    const float *s = x.block(b) + at, *g = dout.block(b) + at;
    float* d = dx.block(b) + at;
    for (int t = 0; t < kBlock; t += VL) {
      vf v = load(s + t), cdf, density, r;
      if (kind == 1) {
        r = select(v > all(0.f), load(g + t), all(0.f));
      } else {
        normal_cdf(v, &cdf, &density);
        r = load(g + t) * (cdf + v * density);
      }
      store(d + t, add ? load(d + t) + r : r);
    }
  });
}

static void mask(View x, const float* mask, const float* mean, View out) {
  parallel(x.blocks, [&](int b) {
    for (int c = 0; c < x.W; c++) {
      const float* s = x.block(b) + (size_t)c * kBlock;
      float* d = out.block(b) + (size_t)c * kBlock;
      vf m = all(mask[c]), rest = all((1.f - mask[c]) * mean[c]);
      for (int t = 0; t < kBlock; t += VL) store(d + t, m * load(s + t) + rest);
    }
  });
}

static void mask_backward(View x, const float* mask, const float* mean, View dout, View dx, bool add, float* dmask) {
  parallel((x.W + 15) / 16, [&](int chunk) {
    for (int c = chunk * 16; c < x.W && c < chunk * 16 + 16; c++) {
      vf m = all(mask[c]), mu = all(mean[c]), total = all(0.f);
      for (int b = 0; b < x.blocks; b++) {
        const float *s = x.block(b) + (size_t)c * kBlock, *g = dout.block(b) + (size_t)c * kBlock;
        float* d = dx.block(b) + (size_t)c * kBlock;
        for (int t = 0; t < kBlock; t += VL) {
          vf dy = load(g + t);
          total += dy * (load(s + t) - mu);
          vf r = m * dy;
          store(d + t, add ? load(d + t) + r : r);
        }
      }
      dmask[c] += hsum(total);
    }
  });
}

static void patch(View x, View values, View where, View out) {
  each_feature(x.blocks, x.W, [&](int b, size_t at) {
    const float *s = x.block(b) + at, *v = values.block(b) + at, *w = where.block(b) + at;
    float* d = out.block(b) + at;
    for (int t = 0; t < kBlock; t += VL) store(d + t, select(load(w + t) != all(0.f), load(v + t), load(s + t)));
  });
}

static void patch_backward(View dout, View where, View dx, bool add) {
  each_feature(dout.blocks, dout.W, [&](int b, size_t at) {
    const float *g = dout.block(b) + at, *w = where.block(b) + at;
    float* d = dx.block(b) + at;
    for (int t = 0; t < kBlock; t += VL) {
      vf r = select(load(w + t) != all(0.f), all(0.f), load(g + t));
      store(d + t, add ? load(d + t) + r : r);
    }
  });
}
}  // namespace ISA_NS
