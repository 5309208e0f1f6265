// The optimizer step of a parameter: Adam, projection, decay. And the norm of gradients.
#pragma once
#include "kernels/table.h"
#include "layout.h"
#include "memory.h"

struct Projection {
  long keep;    // entries to keep; negative: all
  int protect;  // j, entries of each primary row kept first; 0: none
  float decay;  // p -= decay * p afterwards
  // Only stored entries have a gradient and are updated; the moments of those that the projection drops are multiplied.
  bool kept_only;
  float dropped_m, dropped_v;
};
// Buffers shared by all parameters of an engine.
struct OptimizerScratch {
  Scratch values, row_ptr, col, val, flags, counts, histogram, entries, places, sums;
};
// These return false, or a negative sum, when memory ran out.
bool sparse_adam(const Kernels& k, SparseParam& p, const AdamArgs& a, Projection how, OptimizerScratch& scratch);
bool dense_adam(const Kernels& k, DenseParam& p, const AdamArgs& a, Projection how, OptimizerScratch& scratch);
double sparse_squares(const Kernels& k, const SparseParam& p, OptimizerScratch& scratch);
// of a dense gradient, at the stored entries
double kept_squares(const SparseParam& p, OptimizerScratch& scratch);
double dense_squares(const Kernels& k, const DenseParam& p, OptimizerScratch& scratch);
