// The kernels of one instruction set. What each computes: src/engine/engine.ts, under the same name.
#pragma once
#include "../layout.h"

enum NormKind { kRms = 0, kLayer = 1 };
enum NonlinearityKind { kGelu = 0, kRelu = 1 };

struct AdamArgs {
  float grad_scale, lr, beta1, beta2, eps, correction1, correction2;
};

// Entries of a chunk of rows that may survive the projection: the protected ones and those of at least `threshold`.
struct Candidates {
  int* row_ptr;    // (rows + 1)
  uint16_t* col;
  float* val;
  uint8_t* is_protected;
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
};

struct Kernels {
  const char* name;
  void (*embed)(const Compressed& rows, const int* ids, View out);
  void (*embed_backward)(View dout, const int* ids, float* grad, Panels shape, float* scratch);
  void (*positions)(const float* table, View out);
  void (*positions_backward)(View dout, float* dtable);
  void (*norm)(int kind, View x, const float* weight, const float* bias, View out, View stats);
  void (*norm_backward)(int kind, View x, const float* weight, View stats, View dout, View dx, bool add, float* dweight,
                        float* dbias, float* scratch);
  void (*copy)(View x, View out, bool add);
  void (*sum)(View a, View b, View out);
  void (*spmm)(const Compressed& rows, View x, const float* bias, View out, bool add);
  // dense gradient in panels: grad[r, c] (+)= sum over tokens of a[r] * b[c]; rows of a may be mostly zero
  void (*outer)(View a, View b, float* grad, Panels shape, bool add, float* panels, int* ptr, uint16_t* idx, float* val);
  void (*bias_backward)(View dout, float* dbias);
  void (*nonlinearity)(int kind, View x, View out);
  void (*nonlinearity_backward)(int kind, View x, View dout, const KeptSet* kept, View dx, bool add);
  void (*abs_topk)(View x, int k, View out, const KeptSet& kept);
  void (*nonlinearity_topk)(int kind, View x, int k, View out, const KeptSet& kept);
  void (*abs_topk_backward)(View dout, const KeptSet& kept, View dx, bool add);
  void (*mask)(View x, const float* mask, const float* mean, View out);
  void (*mask_backward)(View x, const float* mask, const float* mean, View dout, View dx, bool add, float* dmask);
  void (*patch)(View x, View values, View where, View out);
  void (*patch_backward)(View dout, View where, View dx, bool add);
  void (*attention)(View q, View k, View v, const float* sink, int heads, View out, View lse);
  void (*attention_backward)(View q, View k, View v, const float* sink, int heads, View out, View lse, View dout, View dq,
                             View dk, View dv, float* dsinks);
  void (*add_rows)(View x, const float* table, const int* ids);
  void (*add_row)(View x, const float* row);
  void (*add_rows_backward)(View dx, const int* ids, float* dtable, int skipped);
  void (*unembed_loss)(const UnembedArgs& args);
  double (*sum_squares)(const float* x, size_t n);
  void (*adam_dense)(const AdamArgs& a, float* w, const float* g, float* m, float* v, size_t n);
  // Adam of rows [r0, r1) of the primary orientation. `update` false recomputes the candidates of a step already taken.
  // Returns the number of candidates.
  int (*adam_rows)(const AdamArgs& a, const SparseParam& p, int r0, int r1, bool update, float threshold, int protect,
                   float* row, Candidates out);
};

const Kernels* kernels_avx512();
const Kernels* kernels_avx2();
const Kernels* kernels_plain();
