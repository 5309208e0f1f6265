// Products with sparse weights, and the dense gradient of a weight.
#pragma once
#include "simd.h"

namespace ISA_NS {
// Accumulators of one row: 4 vectors of 16, or 8 of 8 or 4 lanes; the last needs two passes over a block's 64 tokens.
constexpr int kAcc = VL == 16 ? 4 : 8;
constexpr int kTile = kAcc * VL;

// out[r] (+)= bias[r] + sum over entries of val * x[idx], for the tokens of one block
template <bool ADD>
INLINE void spmm_block(const Compressed& rows, int R, const float* bias, const float* x, float* out) {
  for (int part = 0; part < kBlock; part += kTile) {
    for (int r = 0; r < R; r++) {
      int p = rows.ptr[r], end = rows.ptr[r + 1];
      float* o = out + (size_t)r * kBlock + part;
      vf a[kAcc], b[kAcc];
      vf start = all(bias ? bias[r] : 0.f);
      UNROLL for (int v = 0; v < kAcc; v++) a[v] = ADD ? load(o + v * VL) + start : start;
      if (VL == 16) {  // two chains hide the latency of the multiply-add
        UNROLL for (int v = 0; v < kAcc; v++) b[v] = all(0.f);
        for (; p + 1 < end; p += 2) {
          const float *x0 = x + (size_t)rows.idx[p] * kBlock + part, *x1 = x + (size_t)rows.idx[p + 1] * kBlock + part;
          vf w0 = all(rows.val[p]), w1 = all(rows.val[p + 1]);
          UNROLL for (int v = 0; v < kAcc; v++) {
            a[v] += w0 * load(x0 + v * VL);
            b[v] += w1 * load(x1 + v * VL);
          }
        }
        UNROLL for (int v = 0; v < kAcc; v++) a[v] += b[v];
      }
      for (; p < end; p++) {
        const float* x0 = x + (size_t)rows.idx[p] * kBlock + part;
        vf w0 = all(rows.val[p]);
        UNROLL for (int v = 0; v < kAcc; v++) a[v] += w0 * load(x0 + v * VL);
      }
      UNROLL for (int v = 0; v < kAcc; v++) store(o + v * VL, a[v]);
    }
  }
}

static void spmm(const Compressed& rows, View x, const float* bias, View out, bool add) {
  parallel(x.blocks, [&](int b) {
    if (add)
      spmm_block<true>(rows, out.W, bias, x.block(b), out.block(b));
    else
      spmm_block<false>(rows, out.W, bias, x.block(b), out.block(b));
  });
}

// Lists the nonzeros of each row of a block: token within the block and value.
INLINE int compress_block(const float* a, int R, int* ptr, uint16_t* idx, float* val, int p) {
  for (int r = 0; r < R; r++) {
    ptr[r] = p;
    const float* row = a + (size_t)r * kBlock;
#if VL == 16
    const __m512i iota = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    for (int t = 0; t < kBlock; t += 16) {
      __m512 x = _mm512_loadu_ps(row + t);
      __mmask16 m = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_NEQ_UQ);
      _mm512_storeu_ps(val + p, _mm512_maskz_compress_ps(m, x));
      __m512i ix = _mm512_add_epi32(iota, _mm512_set1_epi32(t));
      _mm256_storeu_si256((__m256i*)(idx + p), _mm512_cvtepi32_epi16(_mm512_maskz_compress_epi32(m, ix)));
      p += __builtin_popcount(m);
    }
#else
    for (int t = 0; t < kBlock; t++) {
      val[p] = row[t];
      idx[p] = (uint16_t)t;
      p += row[t] != 0.f;
    }
#endif
  }
  ptr[R] = p;
  return p;
}

// grad[r, 0..NV*VL) += sum over listed tokens of val * b[token]
template <int NV>
INLINE void outer_lists(const int* ptr, const uint16_t* idx, const float* val, const float* b, size_t ldb, float* grad,
                        size_t ldg, int r0, int r1, bool first) {
  for (int r = r0; r < r1; r++) {
    int p = ptr[r], end = ptr[r + 1];
    if (p == end && !first) continue;
    float* g = grad + (size_t)(r - r0) * ldg;
    vf acc[NV];
    UNROLL for (int v = 0; v < NV; v++) acc[v] = first ? all(0.f) : load(g + v * VL);
    for (; p < end; p++) {
      const float* row = b + (size_t)idx[p] * ldb;
      vf w = all(val[p]);
      UNROLL for (int v = 0; v < NV; v++) acc[v] += w * load(row + v * VL);
    }
    UNROLL for (int v = 0; v < NV; v++) store(g + v * VL, acc[v]);
  }
}

// The same for dense rows of a: MR rows share the loads of b.
constexpr int kDenseRows = 6;
template <int MR, int NV>
INLINE void outer_dense_tile(const float* a, const float* b, size_t ldb, float* grad, size_t ldg, bool first) {
  vf acc[MR][NV];
  UNROLL for (int i = 0; i < MR; i++) UNROLL for (int v = 0; v < NV; v++)
      acc[i][v] = first ? all(0.f) : load(grad + i * ldg + v * VL);
  for (int t = 0; t < kBlock; t++) {
    vf row[NV];
    UNROLL for (int v = 0; v < NV; v++) row[v] = load(b + (size_t)t * ldb + v * VL);
    UNROLL for (int i = 0; i < MR; i++) {
      vf w = all(a[i * kBlock + t]);
      UNROLL for (int v = 0; v < NV; v++) acc[i][v] += w * row[v];
    }
  }
  UNROLL for (int i = 0; i < MR; i++) UNROLL for (int v = 0; v < NV; v++) store(grad + i * ldg + v * VL, acc[i][v]);
}

template <int NV>
INLINE void outer_dense(const float* a, int rows, const float* b, size_t ldb, float* grad, size_t ldg, bool first) {
  int r = 0;
  for (; r + kDenseRows <= rows; r += kDenseRows)
    outer_dense_tile<kDenseRows, NV>(a + (size_t)r * kBlock, b, ldb, grad + r * ldg, ldg, first);
  for (; r < rows; r++) outer_dense_tile<1, NV>(a + (size_t)r * kBlock, b, ldb, grad + r * ldg, ldg, first);
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

// Operands: b transposed to token-major panels; a as lists where most of it is zero, else as it is.
static void outer(View a, View b, float* grad, Panels shape, bool add, float* panels, int* ptr, uint16_t* idx, float* val) {
  const int R = a.W, N = a.blocks * kBlock, np = shape.count();
  parallel(a.blocks, [&](int blk) {
    compress_block(a.block(blk), R, ptr + (size_t)blk * (R + 1), idx + (size_t)blk * R * kBlock,
                   val + (size_t)blk * R * kBlock, 0);
    for (int p = 0; p < np; p++) {
      int w = shape.width(p), cols = shape.cols - p * kPanel < kPanel ? shape.cols - p * kPanel : kPanel;
      transpose(b.block(blk) + (size_t)p * kPanel * kBlock, kBlock, cols, kBlock,
                panels + (size_t)p * kPanel * N + (size_t)blk * kBlock * w, w);
    }
  });
  size_t nonzero = 0;
  for (int blk = 0; blk < a.blocks; blk++) nonzero += ptr[(size_t)blk * (R + 1) + R];
  const bool lists = nonzero * 5 < (size_t)R * N * 3;
  const int chunk = 48, chunks = (R + chunk - 1) / chunk;  // 48 rows: a multiple of the dense tile's 6
  parallel(np * chunks, [&](int item) {
    int p = item / chunks, r0 = item % chunks * chunk, r1 = r0 + chunk < R ? r0 + chunk : R;
    int w = shape.width(p);
    float* g = grad + shape.row(p, r0);
    for (int blk = 0; blk < a.blocks; blk++) {
      const float* bp = panels + (size_t)p * kPanel * N + (size_t)blk * kBlock * w;
      const bool first = blk == 0 && !add;
      if (lists) {
        const int* rows = ptr + (size_t)blk * (R + 1);
        const size_t base = (size_t)blk * R * kBlock;
        for (int c = 0; c < w; c += 8 * VL) {
          int nv = (w - c < 8 * VL ? w - c : 8 * VL) / VL;
#define CALL(n) outer_lists<n>(rows, idx + base, val + base, bp + c, w, g + c, w, r0, r1, first)
          BY_WIDTH(nv, CALL)
#undef CALL
        }
      } else {
        const float* ap = a.block(blk) + (size_t)r0 * kBlock;
        constexpr int most = VL == 16 ? 4 : 2;
        for (int c = 0; c < w; c += most * VL) {
          int nv = (w - c < most * VL ? w - c : most * VL) / VL;
          if (nv == 1) outer_dense<1>(ap, r1 - r0, bp + c, w, g + c, w, first);
          else if (nv == 2) outer_dense<2>(ap, r1 - r0, bp + c, w, g + c, w, first);
#if VL == 16
          else if (nv == 3) outer_dense<3>(ap, r1 - r0, bp + c, w, g + c, w, first);
          else outer_dense<4>(ap, r1 - r0, bp + c, w, g + c, w, first);
#endif
        }
      }
    }
  });
}

static void bias_backward(View dout, float* dbias) {
  parallel((dout.W + 15) / 16, [&](int chunk) {
    for (int c = chunk * 16; c < dout.W && c < chunk * 16 + 16; c++) {
      vf sum = all(0.f);
      for (int b = 0; b < dout.blocks; b++) {
        const float* x = dout.block(b) + (size_t)c * kBlock;
        for (int t = 0; t < kBlock; t += VL) sum += load(x + t);
      }
      dbias[c] += hsum(sum);
    }
  });
}
}  // namespace ISA_NS
