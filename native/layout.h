// Storage of the native engine. Activations are blocked and feature-major: [block of 64 tokens][feature][64], so that
// one nonzero weight is one multiply-add of 64 contiguous floats, and token-wise work vectorises across tokens.
// Each sequence starts at a multiple of 16 tokens (T is padded to Tp), so that vectors never straddle sequences.
// Padding lanes hold finite values; their gradients are zero, so they never reach a weight.
#pragma once
#include <stddef.h>
#include <stdint.h>

constexpr int kBlock = 64;      // tokens in a block
constexpr int kLaneAlign = 16;  // tokens a sequence is padded to: the widest vector
constexpr int kPanel = 128;     // columns in a panel of a dense gradient

// Forced inline: these are shared by translation units compiled for different instruction sets, and an out-of-line copy
// could be taken from the wrong one.
#define SC_INLINE inline __attribute__((always_inline))

SC_INLINE int round_up(int n, int to) { return (n + to - 1) / to * to; }

// A view of features [start, start + W) of an activation whose blocks hold `ld` features.
struct View {
  float* data;
  int B, T, Tp, W, ld, blocks;
  SC_INLINE float* block(int b) const { return data + (size_t)b * ld * kBlock; }
  // index of token (b, t) counted with padding
  SC_INLINE int token(int b, int t) const { return b * Tp + t; }
  SC_INLINE float* at(int padded, int feature) const {
    return data + ((size_t)(padded / kBlock) * ld + feature) * kBlock + padded % kBlock;
  }
};

// One bit per entry: bits[block * W + feature] covers the 64 tokens of a block. `guess` passes from block to block what is
// near a k-th magnitude; it changes the speed of a search, never its result.
struct KeptSet {
  uint64_t* bits;
  int* guess;
  int B, T, Tp, W, blocks;
};

// A dense parameter with dense moments.
struct DenseParam {
  float *value, *grad, *m, *v;
  size_t size;
  int rows, cols;    // (1, n) for vectors
  uint8_t* written;  // by row: 1 where the gradient was written; the others count as zero
};

// Panels of 128 columns; the last is padded to a multiple of 16. Panel p, row r starts at p*128*rows + r*width(p).
struct Panels {
  int rows, cols;
  SC_INLINE int count() const { return (cols + kPanel - 1) / kPanel; }
  SC_INLINE int width(int p) const { return p + 1 < count() ? kPanel : round_up(cols - p * kPanel, kLaneAlign); }
  SC_INLINE size_t row(int p, int r) const { return (size_t)p * kPanel * rows + (size_t)r * width(p); }
  SC_INLINE size_t size() const { return cols == 0 ? 0 : row(count() - 1, rows); }
};

// Compressed rows: entries of row r are [ptr[r], ptr[r+1]).
struct Compressed {
  int* ptr;
  uint16_t* idx;
  float* val;
};

// A weight matrix (O, I). It is stored in its primary orientation (rows = the neurons or channels whose largest entries
// are protected: outputs, or inputs when `transposed`), and compressed along the other axis too.
// grad, m and v are dense in panels of the primary orientation.
struct SparseParam {
  int O, I;
  bool transposed, protect;
  Panels shape;          // of the primary orientation
  Compressed primary, secondary;
  size_t capacity, nnz;
  float *grad, *m, *v;
  float* kept_grad;          // of the stored entries alone, in the primary order; made when first needed
  size_t kept_capacity;
  bool has_grad, has_kept;   // which of the two holds the gradient
  // Magnitude of the smallest kept entry of the last projection (0 = unknown), and the part of it that the next one is
  // expected to reach. They change its speed, never its result.
  float threshold, margin;
  SC_INLINE const Compressed& by_output() const { return transposed ? secondary : primary; }
  SC_INLINE const Compressed& by_input() const { return transposed ? primary : secondary; }
};
