// Storage of parameters: compressed in two orders, and panels.
#include "param.h"
#include <string.h>
#include <algorithm>
#include "parallel.h"

namespace {
float* floats(size_t n) { return (float*)memory_take(n * 4); }

// How many entries get room: some more than there are, so that their number may vary a little.
size_t room(const SparseParam& p, size_t nnz) { return std::min(nnz + nnz / 8 + 64, (size_t)p.O * p.I); }
// Less than that is kept until it is a quarter: memory falls with the density, and steady steps never take any.
bool fits(const SparseParam& p, size_t nnz, size_t capacity) {
  return nnz <= capacity && capacity / 4 <= room(p, nnz);
}

// Leaves the parameter without entries.
void give_entries(SparseParam& p) {
  memset(p.primary.ptr, 0, (size_t)(p.shape.rows + 1) * 4);
  memset(p.secondary.ptr, 0, (size_t)(p.shape.cols + 1) * 4);
  for (Compressed* c : {&p.primary, &p.secondary}) {
    memory_give(c->idx, p.capacity * 2);
    memory_give(c->val, p.capacity * 4);
    c->idx = nullptr;
    c->val = nullptr;
  }
  p.capacity = p.nnz = 0;
}
}  // namespace

bool sparse_reserve(SparseParam& p, size_t nnz) {
  p.has_kept = false;  // it was of the former entries
  if (fits(p, nnz, p.capacity)) return true;
  give_entries(p);
  p.capacity = room(p, nnz);
  bool all = true;
  for (Compressed* c : {&p.primary, &p.secondary}) {
    c->idx = (uint16_t*)memory_take(p.capacity * 2);
    c->val = floats(p.capacity);
    all &= c->idx && c->val;
  }
  if (!all) give_entries(p);
  return all;
}

bool kept_reserve(SparseParam& p) {
  if (fits(p, p.nnz, p.kept_capacity)) return true;
  memory_give(p.kept_grad, p.kept_capacity * 4);
  p.kept_capacity = room(p, p.nnz);
  p.kept_grad = floats(p.kept_capacity);
  p.has_kept = false;
  if (!p.kept_grad) p.kept_capacity = 0;
  return p.kept_grad != nullptr;
}

// A counting sort: each range of rows counts its columns, and then knows where its entries go.
bool build_secondary(SparseParam& p, Scratch& scratch) {
  const int R = p.shape.rows, C = p.shape.cols;
  const Compressed &a = p.primary, &b = p.secondary;
  const int ranges = p.nnz > 4096 ? std::min(R, pool_threads()) : 1;
  auto* places = (int*)scratch.need((size_t)ranges * C * 4);
  if (!places) return false;
  auto in_range = [&](int range, auto&& body) {
    const int r0 = (int)((size_t)R * range / ranges), r1 = (int)((size_t)R * (range + 1) / ranges);
    int* next = places + (size_t)range * C;
    for (int r = r0; r < r1; r++)
      for (int q = a.ptr[r]; q < a.ptr[r + 1]; q++) body(r, q, next[a.idx[q]]);
  };
  parallel(ranges, [&](int range) {
    memset(places + (size_t)range * C, 0, (size_t)C * 4);
    in_range(range, [](int, int, int& count) { count++; });
  });
  int at = 0;
  for (int c = 0; c < C; c++) {
    b.ptr[c] = at;
    for (int range = 0; range < ranges; range++) {
      int& place = places[(size_t)range * C + c];
      const int count = place;
      place = at;
      at += count;
    }
  }
  b.ptr[C] = at;
  parallel(ranges, [&](int range) {
    in_range(range, [&](int r, int q, int& next) {
      b.idx[next] = (uint16_t)r;
      b.val[next++] = a.val[q];
    });
  });
  return true;
}

DenseParam* dense_new(int rows, int cols) {
  auto* p = new DenseParam();
  p->rows = rows;
  p->cols = cols;
  p->size = (size_t)rows * cols;
  const size_t padded = (p->size + 15) / 16 * 16;
  p->value = floats(padded);
  p->grad = floats(padded);
  p->m = floats(padded);
  p->v = floats(padded);
  p->written = (uint8_t*)memory_take(rows);
  if (p->value && p->grad && p->m && p->v && p->written) return p;
  dense_free(p);
  return nullptr;
}

void dense_free(DenseParam* p) {
  const size_t bytes = (p->size + 15) / 16 * 16 * 4;
  for (float* x : {p->value, p->grad, p->m, p->v}) memory_give(x, bytes);
  memory_give(p->written, p->rows);
  delete p;
}

SparseParam* sparse_new(int O, int I, int protect) {
  auto* p = new SparseParam();
  p->O = O;
  p->I = I;
  p->transposed = protect == 2;
  p->protect = protect != 0;
  p->shape = p->transposed ? Panels{I, O} : Panels{O, I};
  p->primary.ptr = (int*)memory_take((size_t)(p->shape.rows + 1) * 4);
  p->secondary.ptr = (int*)memory_take((size_t)(p->shape.cols + 1) * 4);
  p->grad = floats(p->shape.size());
  p->m = floats(p->shape.size());
  p->v = floats(p->shape.size());
  if (p->primary.ptr && p->secondary.ptr && p->grad && p->m && p->v) return p;
  sparse_free(p);
  return nullptr;
}

void sparse_free(SparseParam* p) {
  memory_give(p->primary.ptr, (size_t)(p->shape.rows + 1) * 4);
  memory_give(p->secondary.ptr, (size_t)(p->shape.cols + 1) * 4);
  for (Compressed* c : {&p->primary, &p->secondary}) {
    memory_give(c->idx, p->capacity * 2);
    memory_give(c->val, p->capacity * 4);
  }
  memory_give(p->kept_grad, p->kept_capacity * 4);
  for (float* x : {p->grad, p->m, p->v}) memory_give(x, p->shape.size() * 4);
  delete p;
}

bool sparse_set(SparseParam& p, const float* dense) {
  const int R = p.shape.rows, C = p.shape.cols;
  auto at = [&](int r, int c) { return p.transposed ? dense[(size_t)c * p.I + r] : dense[(size_t)r * p.I + c]; };
  size_t nnz = 0;
  for (int r = 0; r < R; r++)
    for (int c = 0; c < C; c++) nnz += at(r, c) != 0.f;
  if (!sparse_reserve(p, nnz)) return false;
  p.nnz = nnz;
  p.threshold = 0;
  p.margin = 0.9f;
  size_t n = 0;
  for (int r = 0; r < R; r++) {
    p.primary.ptr[r] = (int)n;
    for (int c = 0; c < C; c++)
      if (at(r, c) != 0.f) {
        p.primary.idx[n] = (uint16_t)c;
        p.primary.val[n++] = at(r, c);
      }
  }
  p.primary.ptr[R] = (int)n;
  Scratch scratch;
  return build_secondary(p, scratch);
}

void sparse_get(const SparseParam& p, float* dense) {
  memset(dense, 0, (size_t)p.O * p.I * 4);
  const Compressed& a = p.by_output();
  for (int o = 0; o < p.O; o++)
    for (int q = a.ptr[o]; q < a.ptr[o + 1]; q++) dense[(size_t)o * p.I + a.idx[q]] = a.val[q];
}

void panels_set(const SparseParam& p, float* panels, const float* dense) {
  for (int r = 0; r < p.shape.rows; r++)
    for (int c = 0; c < p.shape.cols; c++)
      panels[p.shape.row(c / kPanel, r) + c % kPanel] =
          p.transposed ? dense[(size_t)c * p.I + r] : dense[(size_t)r * p.I + c];
}

void panels_get(const SparseParam& p, const float* panels, float* dense) {
  for (int r = 0; r < p.shape.rows; r++)
    for (int c = 0; c < p.shape.cols; c++) {
      const float x = panels[p.shape.row(c / kPanel, r) + c % kPanel];
      (p.transposed ? dense[(size_t)c * p.I + r] : dense[(size_t)r * p.I + c]) = x;
    }
}

void kept_get(const SparseParam& p, float* dense) {
  memset(dense, 0, (size_t)p.O * p.I * 4);
  if (!p.has_kept) return;
  for (int r = 0; r < p.shape.rows; r++)
    for (int q = p.primary.ptr[r]; q < p.primary.ptr[r + 1]; q++) {
      const size_t c = p.primary.idx[q];
      dense[p.transposed ? c * p.I + r : (size_t)r * p.I + c] = p.kept_grad[q];
    }
}

void kept_from_panels(SparseParam& p) {
  for (int r = 0; r < p.shape.rows; r++)
    for (int q = p.primary.ptr[r]; q < p.primary.ptr[r + 1]; q++)
      p.kept_grad[q] = p.grad[p.shape.row(p.primary.idx[q] / kPanel, r) + p.primary.idx[q] % kPanel];
}

void panels_from_kept(SparseParam& p) {
  memset(p.grad, 0, p.shape.size() * 4);
  for (int r = 0; r < p.shape.rows; r++)
    for (int q = p.primary.ptr[r]; q < p.primary.ptr[r + 1]; q++)
      p.grad[p.shape.row(p.primary.idx[q] / kPanel, r) + p.primary.idx[q] % kPanel] = p.kept_grad[q];
}
