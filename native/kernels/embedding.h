// Lookups by token, positions, and the fused unembedding loss.
#pragma once
#include <math.h>
#include "attention.h"
#include "linear.h"
#include "table.h"
#include "simd.h"

namespace ISA_NS {
// Index of padded token n in the (B, T) arrays of ids, or -1 for padding.
INLINE int source(View x, int n) {
  int b = n / x.Tp, t = n % x.Tp;
  return b < x.B && t < x.T ? b * x.T + t : -1;
}

static void embed(const Compressed& rows, const int* ids, View out) {
  parallel(out.blocks, [&](int b) {
    float* o = out.block(b);
    for (size_t i = 0; i < (size_t)out.W * kBlock; i += VL) store(o + i, all(0.f));
    for (int t = 0; t < kBlock; t++) {
      int n = source(out, b * kBlock + t);
      if (n < 0) continue;
      for (int p = rows.ptr[ids[n]]; p < rows.ptr[ids[n] + 1]; p++) o[(size_t)rows.idx[p] * kBlock + t] = rows.val[p];
    }
  });
}

// scratch: token-major copy of dout, blocks * 64 * round_up(W, 16) floats
static void embed_backward(View dout, const int* ids, float* grad, Panels shape, bool add, float* scratch) {
  const int ld = round_up(dout.W, 16);
  parallel(dout.blocks, [&](int b) {
    transpose(dout.block(b), kBlock, dout.W, kBlock, scratch + (size_t)b * kBlock * ld, ld);
  });
  const int width = 64, per = kPanel / width;  // columns of a thread, so that tokens add in order
  parallel(shape.count() * per, [&](int item) {
    const int p = item / per, c0 = item % per * width, w = shape.width(p), c1 = w < c0 + width ? w : c0 + width;
    for (int r = 0; r < shape.rows && !add; r++)
      for (int c = c0; c < c1; c += VL) store(grad + shape.row(p, r) + c, all(0.f));
    for (int b = 0; b < dout.B; b++)
      for (int t = 0; t < dout.T; t++) {
        float* g = grad + shape.row(p, ids[b * dout.T + t]);
        const float* d = scratch + (size_t)dout.token(b, t) * ld + p * kPanel;
        for (int c = c0; c < c1; c += VL) store(g + c, load(g + c) + load(d + c));
      }
  });
}

static void positions(const float* table, View out) {
  parallel(out.blocks, [&](int b) {
    float* o = out.block(b);
    for (int t = 0; t < kBlock; t++) {
      int n = source(out, b * kBlock + t);
      for (int c = 0; c < out.W; c++) o[(size_t)c * kBlock + t] = n < 0 ? 0.f : table[(size_t)(n % out.T) * out.W + c];
    }
  });
}

static void positions_backward(View dout, float* dtable) {
  for (int b = 0; b < dout.B; b++)
    for (int t = 0; t < dout.T; t++)
      for (int c = 0; c < dout.W; c++) dtable[(size_t)t * dout.W + c] += *dout.at(dout.token(b, t), c);
}

// A 16-token, 16-feature tile of x += the rows `row[i]` (null: none) of a table, features [c, c + width)
INLINE void add_tile(float* x, const float* const* row, int c, int width) {
  float tile[256], turned[256];
  if (width == 16) {
    for (int i = 0; i < 16; i++)
      for (int j = 0; j < 16; j += VL) store(tile + i * 16 + j, row[i] ? load(row[i] + c + j) : all(0.f));
  } else {
    for (int i = 0; i < 16; i++)
      for (int j = 0; j < 16; j++) tile[i * 16 + j] = row[i] && j < width ? row[i][c + j] : 0.f;
  }
  transpose16(tile, 16, turned, 16);
  for (int j = 0; j < width; j++)
    for (int i = 0; i < 16; i += VL) {
      float* to = x + (size_t)(c + j) * kBlock + i;
      store(to, load(to) + load(turned + j * 16 + i));
    }
}

INLINE void add_rows_block(View shape, int b, float* x, const float* table, const int* ids, int V) {
  for (int t = 0; t < kBlock; t += 16) {
    const float* row[16];
    for (int i = 0; i < 16; i++) {
      int n = source(shape, b * kBlock + t + i);
      row[i] = n < 0 ? nullptr : table + (size_t)ids[n] * V;
    }
    for (int c = 0; c < V; c += 16) add_tile(x + t, row, c, V - c < 16 ? V - c : 16);
  }
}

static void add_rows(View x, const float* table, const int* ids) {
  parallel(x.blocks, [&](int b) { add_rows_block(x, b, x.block(b), table, ids, x.W); });
}

static void add_row(View x, const float* row) {
  local(x.blocks, [=](int b) {
    for (int c = 0; c < x.W; c++) {
      float* o = x.block(b) + (size_t)c * kBlock;
      for (int t = 0; t < kBlock; t += VL) store(o + t, load(o + t) + row[c]);
    }
  });
}

// Parallel over columns, so that tokens add in order.
static void add_rows_backward(View dx, const int* places, float* dtable) {
  const int V = dx.W, width = 512, chunks = (V + width - 1) / width;
  parallel(chunks, [&](int chunk) {
    const int c0 = chunk * width, c1 = c0 + width < V ? c0 + width : V;
    float turned[256];
    for (int b = 0; b < dx.blocks; b++)
      for (int t = 0; t < kBlock; t += 16) {
        float* row[16];
        vf keep[16];  // all bits: add to what is there; none: replace it
        bool some = false;
        for (int i = 0; i < 16; i++) {
          const int n = source(dx, b * kBlock + t + i), place = n < 0 ? -1 : places[n];
          row[i] = place < 0 ? nullptr : dtable + (size_t)(place >> 1) * V;
          keep[i] = (vf)alli(place & 1 ? 0 : -1);
          some |= row[i] != nullptr;
        }
        if (!some) continue;
        for (int c = c0; c < c1; c += 16) {
          const float* in = dx.block(b) + (size_t)c * kBlock + t;
          if (c + 16 <= c1) {
            transpose16(in, kBlock, turned, 16);
            for (int i = 0; i < 16; i++)
              if (row[i])
                for (int j = 0; j < 16; j += VL) {
                  float* to = row[i] + c + j;
                  store(to, (vf)((vi)load(to) & (vi)keep[i]) + load(turned + i * 16 + j));
                }
          } else {
            for (int i = 0; i < 16; i++)
              if (row[i])
                for (int j = 0; c + j < c1; j++)
                  row[i][c + j] = (((vi)keep[i])[0] ? row[i][c + j] : 0.f) + in[(size_t)j * kBlock + i];
          }
        }
      }
  });
}

static void unembed_loss(const UnembedArgs& a) {
  const int V = a.unembed->O;
  const float share = a.counted > 0 ? 1.f / a.counted : 0.f;
  spmm_prepare(a.unembed->by_output(), V, a.x.W, a.product);
  parallel(a.x.blocks, [&](int b) {
    float* z = a.dlogits.data ? a.dlogits.block(b) : a.scratch + (size_t)b * V * kBlock;
    spmm_block(a.unembed->by_output(), V, a.x.W, a.logits_bias, a.x.block(b), z, false, a.product);
    if (a.bigram) add_rows_block(a.x, b, z, a.bigram, a.tokens, V);
    double loss = 0;
    for (int t = 0; t < kBlock; t += VL) {
      int target[VL];
      vi counts = alli(0);
      for (int i = 0; i < VL; i++) {
        int n = source(a.x, b * kBlock + t + i);
        target[i] = n < 0 ? -1 : a.targets[n];
        if (target[i] >= 0) counts[i] = -1;
      }
      vf best = all(kNever), total = all(0.f);
      for (int c = 0; c < V; c++) best = vmax(best, load(z + (size_t)c * kBlock + t));
      for (int i = 0; i < VL; i++)
        if (target[i] >= 0) loss -= (double)z[(size_t)target[i] * kBlock + t + i] - best[i];
      for (int c = 0; c < V; c++) {
        float* o = z + (size_t)c * kBlock + t;
        vf e = vexp(load(o) - best);
        total += e;
        if (a.dlogits.data) store(o, e);
      }
      for (int i = 0; i < VL; i++)
        if (target[i] >= 0) loss += log((double)total[i]);
      if (!a.dlogits.data) continue;
      vf factor = select(counts, share / total, all(0.f));
      for (int c = 0; c < V; c++) {
        float* o = z + (size_t)c * kBlock + t;
        store(o, load(o) * factor);
      }
      for (int i = 0; i < VL; i++)
        if (target[i] >= 0) z[(size_t)target[i] * kBlock + t + i] -= share;
    }
    a.losses[b] = loss;
  });
}
}  // namespace ISA_NS
