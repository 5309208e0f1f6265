// The kernels of one instruction set. What each computes: src/engine/engine.ts, under the same name.
#pragma once
#include "../layout.h"

enum NormKind { kRms = 0, kLayer = 1 };
enum NonlinearityKind { kGelu = 0, kRelu = 1 };

struct AdamArgs {
  float grad_scale, lr, beta1, beta2, eps, correction1, correction2;
  float gap1, gap2;  // in place of the betas for entries that are not stored: their gradient is that of several steps
};

// Entries of a chunk of rows that may survive the projection: the protected ones and those whose magnitude (as the bits of
// a float) is at least `limit`.
struct Candidates {
  int* row_ptr;    // (rows + 1)
  uint16_t* col;
  float* val;
  uint8_t* is_protected;
};

// How a product with a sparse matrix runs: in `passes` over ranges of `width` columns, or, with none, as a dense matrix.
// `scratch` holds the bounds of the passes or the dense matrix.
struct SpmmPlan {
  int passes, width;
  size_t bytes;  // of scratch
  void* scratch;
};

struct UnembedArgs {
  View x;
  const SparseParam* unembed;
  const float* logits_bias;  // V or null
  const float* bigram;       // V x V or null
  const int *tokens, *targets;
  View dlogits;              // data null: none wanted
  int counted;
  float* scratch;            // V * 64 floats per block when dlogits is null
  double* losses;            // one per block, summed by the caller in order
  SpmmPlan product;
};

// Of the dense gradient, for W the larger operand's width, N tokens with padding and B blocks.
struct OuterScratch {
  float* panels;    // N * round_up(W, 16)
  int* ptr;         // B * (W + 1)
  uint16_t* token;  // N * W and a vector
  float* val;       // N * W and a vector
};

struct Kernels {
  const char* name;
  // What a core can do: floating point operations of `rounds` rounds on registers; a pass over memory.
  double (*peak_fma)(long rounds, float* out);
  void (*peak_read)(const float* x, size_t n, float* out);
  void (*embed)(const Compressed& rows, const int* ids, View out);
  void (*embed_backward)(View dout, const int* ids, float* grad, Panels shape, bool add, float* scratch);
  void (*positions)(const float* table, View out);
  void (*positions_backward)(View dout, float* dtable);
  void (*norm)(int kind, View x, const float* weight, const float* bias, View out, View stats);
  void (*norm_backward)(int kind, View x, const float* weight, View stats, View dout, View dx, bool add, float* dweights,
                        float* dbiases);
  void (*copy)(View x, View out, bool add);
  void (*sum)(View a, View b, View out);
  // out (+)= rows x + bias
  SpmmPlan (*spmm_plan)(int rows, int columns, size_t nonzeros);
  void (*spmm)(Compressed rows, View x, const float* bias, View out, bool add, SpmmPlan plan);
  // dense gradient in panels: grad[r, c] (+)= sum over tokens of a[r] * b[c]; fastest where one is mostly zero
  void (*outer)(View a, View b, float* grad, Panels shape, bool add, const OuterScratch& scratch);
  // gradient at the entries of `rows`, in their order: grad[q] (+)= sum over tokens of x[row] * y[idx[q]]
  void (*sddmm)(const Compressed& rows, int R, View x, View y, float* grad, bool add);
  void (*embed_backward_kept)(View dout, const int* ids, const Compressed& rows, int R, float* grad, bool add);
  void (*bias_backward)(View dout, float* sums);  // one row a block
  void (*nonlinearity)(int kind, View x, View out);
  void (*nonlinearity_backward)(int kind, View x, View dout, const KeptSet* kept, View dx, bool add);
  void (*abs_topk)(View x, int k, View out, const KeptSet& kept);
  void (*nonlinearity_topk)(int kind, View x, int k, View out, const KeptSet& kept);
  void (*abs_topk_backward)(View dout, const KeptSet& kept, View dx, bool add);
  void (*mask)(View x, const float* mask, const float* mean, View out);
  void (*mask_backward)(View x, const float* mask, const float* mean, View dout, View dx, bool add, float* sums);
  void (*patch)(View x, View values, View where, View out);
  void (*patch_backward)(View dout, View where, View dx, bool add);
  void (*attention)(View q, View k, View v, const float* sink, int heads, View out, View lse);
  void (*attention_backward)(View q, View k, View v, const float* sink, int heads, View out, View lse, View dout, View dq,
                             View dk, View dv, float* dsinks);
  void (*add_rows)(View x, const float* table, const int* ids);
  void (*add_row)(View x, const float* row);
  // places: of each token, twice the row to add to, plus 1 where it is the row's first; -1: none
  void (*add_rows_backward)(View dx, const int* places, float* dtable);
  void (*unembed_loss)(const UnembedArgs& args);
  double (*sum_squares)(const float* x, size_t n);
  void (*adam_dense)(const AdamArgs& a, float* w, const float* g, float* m, float* v, size_t n);
  // Adam of rows [r0, r1) of the primary orientation, and which entries may survive the projection. `update` false: the
  // candidates of a step already taken. `x` has room for the rows' values. Returns the number of candidates.
  int (*adam_rows)(const AdamArgs& a, const SparseParam& p, int r0, int r1, bool update, int limit, int protect, float* x,
                   Candidates out);
  // The same for the stored entries alone, with the gradient of each; all are candidates.
  int (*adam_kept)(const AdamArgs& a, const SparseParam& p, int r0, int r1, int protect, Candidates out);
};

const Kernels* kernels_avx512();
const Kernels* kernels_avx2();
const Kernels* kernels_plain();
