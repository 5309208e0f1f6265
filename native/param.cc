// The projection keeps, within k entries: first the j largest of each protected row, then the largest of the rest; ties
// go to the lowest row-major index. Candidates above a threshold predicted from the last step are gathered in the same
// pass as Adam; when too few were gathered they are gathered again without the prediction, so the result is exact.
#include "param.h"
#include <stdlib.h>
#include <string.h>
#include <algorithm>
#include <vector>
#include "pool.h"

namespace {
template <class Body>
void parallel(int items, const Body& body) {
  pool_run(items, [](void* context, int item) { (*(const Body*)context)(item); }, (void*)&body);
}
int magnitude(float x) {
  int bits;
  memcpy(&bits, &x, 4);
  return bits & 0x7fffffff;
}
// Magnitudes are counted by their exponent and three bits of their mantissa; what falls into the bin of the cut is then
// selected exactly.
constexpr int kBinShift = 20, kBins = 1 << (31 - kBinShift);
float* floats(size_t n) { return (float*)memory_take(n * 4); }

bool reserve(SparseParam& p, size_t nnz) {
  if (nnz <= p.capacity) return true;
  size_t want = std::min(std::max(nnz, p.capacity + p.capacity / 2), (size_t)p.O * p.I);
  for (Compressed* c : {&p.primary, &p.secondary}) {
    memory_give(c->idx, p.capacity * 2);
    memory_give(c->val, p.capacity * 4);
    c->idx = (uint16_t*)memory_take(want * 2);
    c->val = floats(want);
    if (!c->idx || !c->val) return false;
  }
  p.capacity = want;
  return true;
}

// The other orientation. Parallel over ranges of columns, each in row order.
void build_secondary(SparseParam& p) {
  const int R = p.shape.rows, C = p.shape.cols;
  const Compressed &a = p.primary, &b = p.secondary;
  memset(b.ptr, 0, (size_t)(C + 1) * 4);
  for (size_t i = 0; i < p.nnz; i++) b.ptr[a.idx[i] + 1]++;
  for (int c = 0; c < C; c++) b.ptr[c + 1] += b.ptr[c];
  const int ranges = p.nnz > 20000 ? pool_threads() : 1;
  parallel(ranges, [&](int range) {
    const int c0 = (int)((size_t)C * range / ranges), c1 = (int)((size_t)C * (range + 1) / ranges);
    std::vector<int> next(b.ptr + c0, b.ptr + c1);
    for (int r = 0; r < R; r++)
      for (int q = a.ptr[r]; q < a.ptr[r + 1]; q++) {
        const int c = a.idx[q];
        if (c < c0 || c >= c1) continue;
        const int at = next[c - c0]++;
        b.idx[at] = (uint16_t)r;
        b.val[at] = a.val[q];
      }
  });
}

struct Entry {
  int magnitude;
  size_t index;  // row-major in (O, I)
};
bool larger(const Entry& a, const Entry& b) {
  return a.magnitude != b.magnitude ? a.magnitude > b.magnitude : a.index < b.index;
}
}  // namespace

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
  if (p->value && p->grad && p->m && p->v) return p;
  dense_free(p);
  return nullptr;
}

void dense_free(DenseParam* p) {
  const size_t bytes = (p->size + 15) / 16 * 16 * 4;
  for (float* x : {p->value, p->grad, p->m, p->v}) memory_give(x, bytes);
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
  for (float* x : {p->grad, p->m, p->v}) memory_give(x, p->shape.size() * 4);
  delete p;
}

bool sparse_set(SparseParam& p, const float* dense) {
  const int R = p.shape.rows, C = p.shape.cols;
  auto at = [&](int r, int c) { return p.transposed ? dense[(size_t)c * p.I + r] : dense[(size_t)r * p.I + c]; };
  size_t nnz = 0;
  for (int r = 0; r < R; r++)
    for (int c = 0; c < C; c++) nnz += at(r, c) != 0.f;
  if (!reserve(p, nnz)) return false;
  p.nnz = nnz;
  p.threshold = 0;
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
  build_secondary(p);
  return true;
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

bool sparse_adam(const Kernels& k, SparseParam& p, const AdamArgs& a, Projection how, ProjectionScratch& scratch) {
  const int R = p.shape.rows, C = p.shape.cols, padded = round_up(C, kLaneAlign);
  const int per = std::max(1, std::min(R, 32768 / padded)), chunks = (R + per - 1) / per;
  const size_t room = (size_t)per * padded + 64;  // compressing stores write one whole vector past the end
  auto* row = (float*)scratch.rows.need((size_t)chunks * padded * 4);
  auto* ptr = (int*)scratch.row_ptr.need((size_t)chunks * (per + 1) * 4);
  auto* col = (uint16_t*)scratch.col.need(chunks * room * 2);
  auto* val = (float*)scratch.val.need(chunks * room * 4);
  auto* flag = (uint8_t*)scratch.flags.need(chunks * room);
  if (!row || !ptr || !col || !val || !flag) return false;
  auto list = [&](int chunk) {
    return Candidates{ptr + (size_t)chunk * (per + 1), col + chunk * room, val + chunk * room, flag + chunk * room};
  };
  const size_t size = (size_t)R * C;
  const bool cutting = how.keep >= 0 && (size_t)how.keep < size;
  const int protect = cutting && p.protect ? std::min(how.protect, C) : 0;
  const long left = cutting ? how.keep - (long)R * protect : (long)size;
  std::vector<int> counts(chunks);
  auto gather = [&](bool update, float threshold) {
    parallel(chunks, [&](int chunk) {
      const int r0 = chunk * per, r1 = std::min(R, r0 + per);
      counts[chunk] = k.adam_rows(a, p, r0, r1, update, threshold, protect, row + (size_t)chunk * padded, list(chunk));
    });
  };
  auto each = [&](auto&& body) {
    for (int chunk = 0; chunk < chunks; chunk++) {
      const Candidates c = list(chunk);
      for (int r = chunk * per; r < std::min(R, (chunk + 1) * per); r++)
        for (int q = c.row_ptr[r - chunk * per]; q < c.row_ptr[r - chunk * per + 1]; q++) body(c, r, q);
    }
  };
  const float predicted = cutting ? p.threshold * 0.9f : 0.f;
  gather(true, predicted);
  // the cut: everything larger stays, and of the equal ones those up to an index
  Entry cut{0, SIZE_MAX};
  if (cutting && left > 0) {
    auto free_candidates = [&] {
      long n = 0;
      for (int chunk = 0; chunk < chunks; chunk++) {
        const Candidates c = list(chunk);
        for (int q = 0; q < counts[chunk]; q++) n += !c.is_protected[q];
      }
      return n;
    };
    long available = free_candidates();
    if (available < left && predicted > 0) {
      gather(false, 0.f);
      available = free_candidates();
    }
    if (available > left) {
      auto* histogram = (uint32_t*)scratch.cut.need(kBins * 4);
      if (!histogram) return false;
      memset(histogram, 0, kBins * 4);
      for (int chunk = 0; chunk < chunks; chunk++) {
        const Candidates c = list(chunk);
        for (int q = 0; q < counts[chunk]; q++)
          if (!c.is_protected[q]) histogram[magnitude(c.val[q]) >> kBinShift]++;
      }
      long above = 0;
      int bin = kBins - 1;
      while (above + histogram[bin] < left) above += histogram[bin--];
      std::vector<Entry> inside;
      inside.reserve(histogram[bin]);
      each([&](const Candidates& c, int r, int q) {
        if (c.is_protected[q] || magnitude(c.val[q]) >> kBinShift != bin) return;
        const size_t at = p.transposed ? (size_t)c.col[q] * p.I + r : (size_t)r * p.I + c.col[q];
        inside.push_back({magnitude(c.val[q]), at});
      });
      std::nth_element(inside.begin(), inside.begin() + (left - above - 1), inside.end(), larger);
      cut = inside[left - above - 1];
    }
    memcpy(&p.threshold, &cut.magnitude, 4);
  } else if (cutting) {
    cut = {0x7fffffff, 0};  // the protected fill the budget
    p.threshold = 0;
  }
  auto stays = [&](const Candidates& c, int r, int q) {
    if (c.is_protected[q]) return true;
    const int m = magnitude(c.val[q]);
    if (m != cut.magnitude) return m > cut.magnitude;
    return (p.transposed ? (size_t)c.col[q] * p.I + r : (size_t)r * p.I + c.col[q]) <= cut.index;
  };
  std::vector<int> start(chunks + 1, 0);
  parallel(chunks, [&](int chunk) {  // compact in place
    const Candidates c = list(chunk);
    int n = 0;
    const int rows = std::min(R, (chunk + 1) * per) - chunk * per;
    for (int r = 0, q = 0; r < rows; r++) {
      const int end = c.row_ptr[r + 1];
      c.row_ptr[r] = n;
      for (; q < end; q++)
        if (stays(c, chunk * per + r, q)) {
          c.col[n] = c.col[q];
          c.val[n++] = c.val[q];
        }
    }
    c.row_ptr[rows] = n;
    start[chunk + 1] = n;
  });
  for (int chunk = 0; chunk < chunks; chunk++) start[chunk + 1] += start[chunk];
  if (!reserve(p, start[chunks])) return false;
  p.nnz = start[chunks];
  parallel(chunks, [&](int chunk) {
    const Candidates c = list(chunk);
    const int r0 = chunk * per, rows = std::min(R, r0 + per) - r0, base = start[chunk];
    for (int r = 0; r < rows; r++) p.primary.ptr[r0 + r] = base + c.row_ptr[r];
    memcpy(p.primary.idx + base, c.col, (size_t)c.row_ptr[rows] * 2);
    for (int q = 0; q < c.row_ptr[rows]; q++) p.primary.val[base + q] = c.val[q] - how.decay * c.val[q];
  });
  p.primary.ptr[R] = start[chunks];
  build_secondary(p);
  return true;
}

void dense_adam(const Kernels& k, DenseParam& p, const AdamArgs& a, Projection how) {
  k.adam_dense(a, p.value, p.has_grad ? p.grad : nullptr, p.m, p.v, (p.size + 15) / 16 * 16);
  if (how.keep >= 0 && (size_t)how.keep < p.size) {
    std::vector<Entry> all(p.size);
    for (size_t i = 0; i < p.size; i++) all[i] = {magnitude(p.value[i]), i};
    std::nth_element(all.begin(), all.begin() + how.keep, all.end(), larger);
    for (size_t i = how.keep; i < p.size; i++) p.value[all[i].index] = 0.f;
  }
  if (how.decay != 0.f)
    for (size_t i = 0; i < p.size; i++) p.value[i] -= how.decay * p.value[i];
}
