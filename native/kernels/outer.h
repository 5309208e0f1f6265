// The dense gradient of a weight: grad[r, c] (+)= sum over tokens of a[r] * b[c]. AbsTopK leaves most entries of one
// operand or both at zero: the products of one operand's zeros are skipped.
#pragma once
#include "attention.h"
#include "simd.h"
#include "table.h"

namespace ISA_NS {
constexpr int kGroupRows = 256;     // features of the first operand that share a pass over a panel of the second
constexpr int kDenseRows = 6;   // rows of a dense tile
constexpr int kWide = 8 * VL;   // columns that a list works on at once
constexpr float kMostlyZero = 0.55f;   // share of nonzeros up to which lists are faster than dense tiles

static float nonzero_share(View x) {
  size_t count = 0;
  const int step = x.blocks > 1 ? x.blocks / 2 : 1;
  int looked = 0;
  for (int b = 0; b < x.blocks; b += step, looked++)
    for (size_t i = 0; i < (size_t)x.W * kBlock; i += VL)
      count += __builtin_popcount(lane_bits(load(x.block(b) + i) != all(0.f)));
  return (float)count / ((float)looked * x.W * kBlock);
}

// Lists the nonzeros of each feature of a block: token within the block, and value.
static void list_block(const float* x, int W, const OuterScratch& s, int b) {
  int* ptr = s.ptr + (size_t)b * (W + 1);
  uint16_t* token = s.token + (size_t)b * W * kBlock;
  float* val = s.val + (size_t)b * W * kBlock;
  int at = 0;
  for (int f = 0; f < W; f++) {
    const float* row = x + (size_t)f * kBlock;
    ptr[f] = at;
#if VL == 16
    const __m512i iota = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    for (int t = 0; t < kBlock; t += 16) {
      const __m512 v = _mm512_loadu_ps(row + t);
      const __mmask16 m = _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_NEQ_UQ);
      _mm512_storeu_ps(val + at, _mm512_maskz_compress_ps(m, v));
      const __m512i ix = _mm512_maskz_compress_epi32(m, _mm512_add_epi32(iota, _mm512_set1_epi32(t)));
      _mm256_storeu_si256((__m256i*)(token + at), _mm512_cvtepi32_epi16(ix));
      at += __builtin_popcount(m);
    }
#else
    uint64_t bits = 0;
    for (int t = 0; t < kBlock; t += VL) bits |= (uint64_t)lane_bits(load(row + t) != all(0.f)) << t;
    for (; bits; bits &= bits - 1) {
      const int t = __builtin_ctzll(bits);
      val[at] = row[t];
      token[at++] = (uint16_t)t;
    }
#endif
  }
  ptr[W] = at;
}

// grad[i][0..NV*VL) += sum over the tokens of list i of val * b[token], for n lists.
// Not inlined, and the row's address hidden: the compiler would spill a sum for each vector instead of using offsets.
template <int NV>
static __attribute__((noinline)) void outer_lists(const int* ptr, const uint16_t* token, const float* val,
                                                  const float* b, size_t ldb, float* grad, size_t ldg, int n,
                                                  bool replace) {
  for (int i = 0; i < n; i++) {
    int p = ptr[i];
    const int end = ptr[i + 1];
    if (p == end && !replace) continue;
    float* g = grad + (size_t)i * ldg;
    vf acc[NV];
    UNROLL for (int v = 0; v < NV; v++) acc[v] = replace ? all(0.f) : load(g + v * VL);
    for (; p < end; p++) {
      const float* row = b + (size_t)token[p] * ldb;
      asm("" : "+r"(row));
      const vf w = all(val[p]);
      UNROLL for (int v = 0; v < NV; v++) acc[v] += w * load(row + v * VL);
    }
    UNROLL for (int v = 0; v < NV; v++) store(g + v * VL, acc[v]);
  }
}

// Dense rows of a, of some blocks: MR rows share the loads of b.
template <int MR, int NV>
static __attribute__((noinline)) void outer_dense_tile(const float* a, size_t next_block, int blocks, const float* b,
                                                       size_t ldb, float* grad, size_t ldg, bool replace) {
  vf acc[MR][NV];
  UNROLL for (int i = 0; i < MR; i++) UNROLL for (int v = 0; v < NV; v++)
      acc[i][v] = replace ? all(0.f) : load(grad + i * ldg + v * VL);
  for (int blk = 0; blk < blocks; blk++, a += next_block)
    for (int t = 0; t < kBlock; t++, b += ldb) {
      vf row[NV];
      UNROLL for (int v = 0; v < NV; v++) row[v] = load(b + v * VL);
      UNROLL for (int i = 0; i < MR; i++) {
        const vf w = all(a[i * kBlock + t]);
        UNROLL for (int v = 0; v < NV; v++) acc[i][v] += w * row[v];
      }
    }
  UNROLL for (int i = 0; i < MR; i++) UNROLL for (int v = 0; v < NV; v++) store(grad + i * ldg + v * VL, acc[i][v]);
}

template <int NV>
static void outer_dense(const float* a, size_t next_block, int blocks, int rows, const float* b, size_t ldb, float* grad,
                        size_t ldg, bool replace) {
  int r = 0;
  for (; r + kDenseRows <= rows; r += kDenseRows)
    outer_dense_tile<kDenseRows, NV>(a + (size_t)r * kBlock, next_block, blocks, b, ldb, grad + r * ldg, ldg, replace);
  for (; r < rows; r++)
    outer_dense_tile<1, NV>(a + (size_t)r * kBlock, next_block, blocks, b, ldb, grad + r * ldg, ldg, replace);
}

#define BY_WIDTH(nv, CALL) \
  switch (nv) {            \
    case 8: CALL(8); break; \
    case 7: CALL(7); break; \
    case 6: CALL(6); break; \
    case 5: CALL(5); break; \
    case 4: CALL(4); break; \
    case 3: CALL(3); break; \
    case 2: CALL(2); break; \
    default: CALL(1); break; \
  }

// The products of n listed features from `first` on with a panel's w columns, all tokens.
static void lists_by_panel(const OuterScratch& s, int W, int blocks, int first, int n, const float* panel, int w,
                           float* grad, bool replace) {
  for (int b = 0; b < blocks; b++) {
    const int* ptr = s.ptr + (size_t)b * (W + 1) + first;
    const uint16_t* token = s.token + (size_t)b * W * kBlock;
    const float *val = s.val + (size_t)b * W * kBlock, *rows = panel + (size_t)b * kBlock * w;
    for (int c = 0; c < w; c += kWide) {
      const int nv = (w - c < kWide ? w - c : kWide) / VL;
#define CALL(n_) outer_lists<n_>(ptr, token, val, rows + c, w, grad + c, w, n, replace && b == 0)
      BY_WIDTH(nv, CALL)
#undef CALL
    }
  }
}

static void dense_by_panel(View a, int first, int n, const float* panel, int w, float* grad, bool replace) {
  constexpr int most = VL == 16 ? 4 : 2, together = 8;  // vectors of columns; blocks of tokens
  const size_t next = (size_t)a.ld * kBlock;
  for (int b = 0; b < a.blocks; b += together) {
    const int blocks = a.blocks - b < together ? a.blocks - b : together;
    const float *x = a.block(b) + (size_t)first * kBlock, *rows = panel + (size_t)b * kBlock * w;
    const bool fresh = replace && b == 0;
    for (int c = 0; c < w; c += most * VL) {
      const int nv = (w - c < most * VL ? w - c : most * VL) / VL;
      if (nv == 1) outer_dense<1>(x, next, blocks, n, rows + c, w, grad + c, w, fresh);
      else if (nv == 2) outer_dense<2>(x, next, blocks, n, rows + c, w, grad + c, w, fresh);
#if VL == 16
      else if (nv == 3) outer_dense<3>(x, next, blocks, n, rows + c, w, grad + c, w, fresh);
      else outer_dense<4>(x, next, blocks, n, rows + c, w, grad + c, w, fresh);
#endif
    }
  }
}

// grad[c0 + i, r0 + r] (+)= tile[r][i] for r < n and i < w
static void add_transposed(const float* tile, int n, int w, float* grad, Panels shape, int c0, int r0, bool replace) {
  const int cols = shape.rows - c0 < w ? shape.rows - c0 : w;
  for (int r = 0; r < n; r += 16)
    for (int i = 0; i < cols; i += 16) {
      float part[256];
      transpose16(tile + (size_t)r * w + i, w, part, 16);
      const int p = (r0 + r) / kPanel;
      for (int j = 0; j < 16 && i + j < cols; j++) {
        float* g = grad + shape.row(p, c0 + i + j) + (r0 + r) % kPanel;
        for (int v = 0; v < 16; v += VL) store(g + v, replace ? load(part + j * 16 + v) : load(g + v) + load(part + j * 16 + v));
      }
    }
}

// One operand is listed where it is mostly zero, else taken as it is; the other is transposed to token-major panels.
// Items are groups of features by panels, the panels of a group in a row: its lists stay in the second-level cache.
static void outer(View a, View b, float* grad, Panels shape, bool add, const OuterScratch& s) {
  const bool few_a = nonzero_share(a) <= kMostlyZero, few_b = nonzero_share(b) <= kMostlyZero;
  const bool swap = few_b && (!few_a || (b.W < kPanel && a.W >= kPanel)), lists = few_a || few_b;
  const View x = swap ? b : a, y = swap ? a : b;
  const Panels panels{a.blocks * kBlock, y.W};
  const int np = panels.count();
  parallel(x.blocks, [&](int blk) {
    if (lists) list_block(x.block(blk), x.W, s, blk);
    for (int p = 0; p < np; p++) {
      const int cols = y.W - p * kPanel < kPanel ? y.W - p * kPanel : kPanel, w = panels.width(p);
      transpose(y.block(blk) + (size_t)p * kPanel * kBlock, kBlock, cols, kBlock, s.panels + panels.row(p, blk * kBlock), w);
    }
  });
  int group = kGroupRows;  // smaller where threads would have nothing to do
  while (group > 64 && (x.W + group - 1) / group * np < 4 * pool_threads()) group /= 2;
  if (!lists) group -= group % kDenseRows;
  parallel((x.W + group - 1) / group * np, [&](int item) {
    const int first = item / np * group, n = x.W - first < group ? x.W - first : group;
    const int p = item % np, w = panels.width(p);
    const float* panel = s.panels + panels.row(p, 0);
    if (!swap) {
      float* g = grad + shape.row(p, first);
      if (lists) lists_by_panel(s, x.W, x.blocks, first, n, panel, w, g, !add);
      else dense_by_panel(x, first, n, panel, w, g, !add);
    } else {
      float* tile = thread_scratch((size_t)kGroupRows * kPanel);
      lists_by_panel(s, x.W, x.blocks, first, n, panel, w, tile, true);
      for (int r = n; r % 16; r++)
        for (int c = 0; c < w; c++) tile[(size_t)r * w + c] = 0.f;
      add_transposed(tile, n, w, grad, shape, p * kPanel, first, !add);
    }
  });
}
}  // namespace ISA_NS
