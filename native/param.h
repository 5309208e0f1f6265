// Parameters: their storage, and the optimizer step that ends in a projection.
#pragma once
#include "kernels/table.h"
#include "layout.h"
#include "memory.h"

DenseParam* dense_new(int rows, int cols);
void dense_free(DenseParam* p);

// protect: 0 none, 1 rows, 2 columns (then the matrix is stored transposed)
SparseParam* sparse_new(int O, int I, int protect);
void sparse_free(SparseParam* p);
// dense row-major (O, I) in and out
bool sparse_set(SparseParam& p, const float* dense);
void sparse_get(const SparseParam& p, float* dense);
// a field in panels from and to dense row-major (O, I)
void panels_set(const SparseParam& p, float* panels, const float* dense);
void panels_get(const SparseParam& p, const float* panels, float* dense);

struct Projection {
  long keep;    // entries to keep; negative: all
  int protect;  // j, entries of each primary row kept first; 0: none
  float decay;  // p -= decay * p afterwards
};
// Buffers of the projection, shared by all parameters of an engine.
struct ProjectionScratch {
  Scratch rows, row_ptr, col, val, flags, cut;
};
// Returns false when memory ran out.
bool sparse_adam(const Kernels& k, SparseParam& p, const AdamArgs& a, Projection how, ProjectionScratch& scratch);
void dense_adam(const Kernels& k, DenseParam& p, const AdamArgs& a, Projection how);
