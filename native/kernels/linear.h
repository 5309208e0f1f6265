// Products with sparse weights: y = W x, and with the other orientation dx = W^T dy.
#pragma once
#include "simd.h"
#include "table.h"

namespace ISA_NS {
// Sums of one row: 4 vectors of 16, or 8 of 8 or 4 lanes; the last needs two passes over a block's 64 tokens.
constexpr int kAcc = VL == 16 ? 4 : 8;
constexpr int kTile = kAcc * VL;
// Rows of W that share the loads of x where most of W is there, and vectors of tokens that they work on.
constexpr int kShare = 6, kShareTokens = VL == 16 ? 4 : 2;
// Features of x that stay in the first-level cache, and entries of a row among them that are worth a pass of their own.
constexpr int kNear = 128, kWorthPass = 32;

// out[r] = start + sum over entries [from[r], to[r]) of val * x[idx], for kTile tokens of a block. start is the bias, plus
// what out holds when `add`. The rows' addresses are hidden from the compiler: it would compute one for each vector.
static __attribute__((noinline)) void spmm_tile(const Compressed& rows, const int* from, const int* to, int R,
                                                const float* bias, bool add, const float* x, float* out) {
  for (int r = 0; r < R; r++, out += kBlock) {
    int p = from[r];
    const int end = to[r];
    if (p == end && add && !bias) continue;
    vf a[kAcc], b[kAcc];
    const vf start = all(bias ? bias[r] : 0.f);
    UNROLL for (int v = 0; v < kAcc; v++) a[v] = add ? load(out + v * VL) + start : start;
    if (VL == 16) {  // two chains hide the latency of the multiply-add
      UNROLL for (int v = 0; v < kAcc; v++) b[v] = all(0.f);
      for (; p + 1 < end; p += 2) {
        const float *x0 = x + (size_t)rows.idx[p] * kBlock, *x1 = x + (size_t)rows.idx[p + 1] * kBlock;
        asm("" : "+r"(x0), "+r"(x1));
        const vf w0 = all(rows.val[p]), w1 = all(rows.val[p + 1]);
        UNROLL for (int v = 0; v < kAcc; v++) {
          a[v] += w0 * load(x0 + v * VL);
          b[v] += w1 * load(x1 + v * VL);
        }
      }
      UNROLL for (int v = 0; v < kAcc; v++) a[v] += b[v];
    }
    for (; p < end; p++) {
      const float* x0 = x + (size_t)rows.idx[p] * kBlock;
      asm("" : "+r"(x0));
      const vf w0 = all(rows.val[p]);
      UNROLL for (int v = 0; v < kAcc; v++) a[v] += w0 * load(x0 + v * VL);
    }
    UNROLL for (int v = 0; v < kAcc; v++) store(out + v * VL, a[v]);
  }
}

// out[0..MR) = start + w (MR rows of I) times x
template <int MR>
static __attribute__((noinline)) void dense_tile(const float* w, int I, const float* bias, bool add, const float* x,
                                                 float* out) {
  constexpr int NV = kShareTokens;
  vf acc[MR][NV];
  UNROLL for (int m = 0; m < MR; m++) UNROLL for (int v = 0; v < NV; v++)
      acc[m][v] = all(bias ? bias[m] : 0.f) + (add ? load(out + m * kBlock + v * VL) : all(0.f));
  for (int i = 0; i < I; i++, x += kBlock) {
    vf row[NV];
    UNROLL for (int v = 0; v < NV; v++) row[v] = load(x + v * VL);
    UNROLL for (int m = 0; m < MR; m++) {
      const vf s = all(w[(size_t)m * I + i]);
      UNROLL for (int v = 0; v < NV; v++) acc[m][v] += s * row[v];
    }
  }
  UNROLL for (int m = 0; m < MR; m++) UNROLL for (int v = 0; v < NV; v++) store(out + m * kBlock + v * VL, acc[m][v]);
}

// How a product runs. Passes are over ranges of columns whose part of x stays in cache; where most of W is there it is
// unpacked, and rows share loads.
static SpmmPlan spmm_plan(int R, int I, size_t nnz) {
  if (nnz * 2 > (size_t)R * I) return {0, 0, (size_t)R * I * 4, nullptr};
  const size_t worth = nnz == 0 ? (size_t)I : ((size_t)kWorthPass * R * I + nnz - 1) / nnz;
  const int width = worth >= (size_t)I || I <= kNear ? I : worth < (size_t)kNear ? kNear : (int)worth;
  const int passes = (I + width - 1) / width;
  return {passes, width, passes > 1 ? (size_t)(passes + 1) * R * 4 : 0, nullptr};
}

// Before the blocks: bounds[c * R + r] becomes the first entry of row r whose column is at least c * width.
static void spmm_prepare(const Compressed& rows, int R, int I, const SpmmPlan& plan) {
  const int chunk = 64, passes = plan.passes;
  if (passes == 1) return;
  int* bounds = (int*)plan.scratch;
  parallel((R + chunk - 1) / chunk, [&](int item) {
    for (int r = item * chunk; r < R && r < (item + 1) * chunk; r++) {
      int p = rows.ptr[r];
      const int end = rows.ptr[r + 1];
      if (passes == 0) {
        float* row = (float*)plan.scratch + (size_t)r * I;
        for (int i = 0; i < I; i++) row[i] = 0.f;
        for (; p < end; p++) row[rows.idx[p]] = rows.val[p];
        continue;
      }
      for (int c = 0; c < passes; c++) {
        while (p < end && rows.idx[p] < c * plan.width) p++;
        bounds[(size_t)c * R + r] = p;
      }
      bounds[(size_t)passes * R + r] = end;
    }
  });
}

// out (+)= rows x + bias for the tokens of one block
static void spmm_block(const Compressed& rows, int R, int I, const float* bias, const float* x, float* out, bool add,
                       const SpmmPlan& plan) {
  const int passes = plan.passes;
  if (passes == 0) {
    for (int part = 0; part < kBlock; part += kShareTokens * VL) {
      int r = 0;
      for (; r < R;) {
        const float *w = (const float*)plan.scratch + (size_t)r * I, *b = bias ? bias + r : nullptr;
        float* o = out + (size_t)r * kBlock + part;
        if (r + kShare <= R) {
          dense_tile<kShare>(w, I, b, add, x + part, o);
          r += kShare;
        } else {
          dense_tile<1>(w, I, b, add, x + part, o);
          r++;
        }
      }
    }
    return;
  }
  for (int part = 0; part < kBlock; part += kTile)
    for (int c = 0; c < passes; c++) {
      const int* from = passes > 1 ? (const int*)plan.scratch + (size_t)c * R : rows.ptr;
      const int* to = passes > 1 ? from + R : rows.ptr + 1;
      spmm_tile(rows, from, to, R, c == 0 ? bias : nullptr, add || c > 0, x + part, out + part);
    }
}

static void spmm(Compressed rows, View x, const float* bias, View out, bool add, SpmmPlan plan) {
  spmm_prepare(rows, out.W, x.W, plan);
  local(x.blocks, [=](int b) { spmm_block(rows, out.W, x.W, bias, x.block(b), out.block(b), add, plan); });
}

// sums: (blocks, W)
static void bias_backward(View dout, float* sums) {
  local(dout.blocks, [=](int b) {
    for (int c = 0; c < dout.W; c++) {
      const float* x = dout.block(b) + (size_t)c * kBlock;
      vf sum = all(0.f);
      UNROLL for (int t = 0; t < kBlock; t += VL) sum += load(x + t);
      sums[(size_t)b * dout.W + c] = hsum(sum);
    }
  });
}
}  // namespace ISA_NS
