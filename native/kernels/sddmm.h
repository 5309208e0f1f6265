// The gradient of a sparse matrix at its stored entries alone: for entry (r, c), the dot product of row r of one
// activation and row c of another over all tokens.
#pragma once
#include "simd.h"

namespace ISA_NS {
// Rows [r0, r1), tokens of `BLOCKS` blocks from b on: row r stays in registers while its entries pass.
template <int BLOCKS>
INLINE void sddmm_blocks(const Compressed& rows, View x, View y, int b, int r0, int r1, float* grad) {
  constexpr int tile = VL == 16 ? kBlock : 8 * VL, per = tile / VL;  // tokens and vectors of a row that registers hold
  for (int part = 0; part < kBlock; part += tile)
    for (int r = r0; r < r1; r++) {
      int q = rows.ptr[r];
      const int end = rows.ptr[r + 1];
      if (q == end) continue;
      vf a[BLOCKS][per];
      vi some = alli(0);
      UNROLL for (int k = 0; k < BLOCKS; k++) UNROLL for (int v = 0; v < per; v++) {
        a[k][v] = load(x.block(b + k) + (size_t)r * kBlock + part + v * VL);
        some |= a[k][v] != 0.f;
      }
      if (!any(some)) continue;  // a neuron that no token of the block uses
      for (; q < end; q++) {
        vf sum[2] = {all(0.f), all(0.f)};
        UNROLL for (int k = 0; k < BLOCKS; k++) {
          const float* other = y.block(b + k) + (size_t)rows.idx[q] * kBlock + part;
          UNROLL for (int v = 0; v < per; v++) sum[v & 1] += a[k][v] * load(other + v * VL);
        }
        grad[q] += hsum(sum[0] + sum[1]);
      }
    }
}

// Each thread has rows of about the same number of entries, and takes blocks in order: as many at a time as leave y's
// part of them in its cache.
static void sddmm(const Compressed& rows, int R, View x, View y, float* grad, bool add) {
  const int most = VL < 16 || y.W > 2048 ? 1 : y.W > 512 ? 2 : 4, parts = 2 * pool_threads(), nnz = rows.ptr[R];
  auto first = [&](int part) {  // the first row that starts at the part's share of the entries or after
    const int want = (int)((long)nnz * part / parts);
    int low = 0, high = R;
    while (low < high) {
      const int middle = (low + high) / 2;
      if (rows.ptr[middle] < want)
        low = middle + 1;
      else
        high = middle;
    }
    return low;
  };
  parallel(parts, [&](int part) {
    const int r0 = first(part), r1 = part + 1 == parts ? R : first(part + 1);
    for (int q = rows.ptr[r0]; q < rows.ptr[r1] && !add; q++) grad[q] = 0.f;
    int b = 0;
    for (; most == 4 && b + 4 <= x.blocks; b += 4) sddmm_blocks<VL == 16 ? 4 : 1>(rows, x, y, b, r0, r1, grad);
    for (; most >= 2 && b + 2 <= x.blocks; b += 2) sddmm_blocks<VL == 16 ? 2 : 1>(rows, x, y, b, r0, r1, grad);
    for (; b < x.blocks; b++) sddmm_blocks<1>(rows, x, y, b, r0, r1, grad);
  });
}

// The same for a table of rows by token. Parallel over rows of the table, so that tokens add in order.
static void embed_backward_kept(View dout, const int* ids, const Compressed& rows, int R, float* grad, bool add) {
  const int parts = pool_threads();
  parallel(parts, [&](int part) {
    const int r0 = (int)((long)R * part / parts), r1 = (int)((long)R * (part + 1) / parts);
    for (int q = rows.ptr[r0]; q < rows.ptr[r1] && !add; q++) grad[q] = 0.f;
    for (int b = 0; b < dout.B; b++)
      for (int t = 0; t < dout.T; t++) {
        const int r = ids[b * dout.T + t];
        if (r < r0 || r >= r1) continue;
        const float* d = dout.at(dout.token(b, t), 0);
        for (int q = rows.ptr[r]; q < rows.ptr[r + 1]; q++) grad[q] += d[(size_t)rows.idx[q] * kBlock];
      }
  });
}
}  // namespace ISA_NS
