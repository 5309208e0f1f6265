// Parameters: their storage.
#pragma once
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
// Room for nnz entries other than those stored, which may be lost, as is their gradient (`kept_grad`). False when memory
// ran out, as below; then no entries are left.
bool sparse_reserve(SparseParam& p, size_t nnz);
// Room for the gradient of the stored entries alone.
bool kept_reserve(SparseParam& p);
// The other order, from the primary.
bool build_secondary(SparseParam& p, Scratch& scratch);
// The gradient of the stored entries: dense row-major with zeros elsewhere; from and to panels.
void kept_get(const SparseParam& p, float* dense);
void kept_from_panels(SparseParam& p);
void panels_from_kept(SparseParam& p);
// a field in panels from and to dense row-major (O, I)
void panels_set(const SparseParam& p, float* panels, const float* dense);
void panels_get(const SparseParam& p, const float* panels, float* dense);
