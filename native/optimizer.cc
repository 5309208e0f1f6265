// The projection keeps, within k entries: first the j largest of each protected row, then the largest of the rest; ties
// go to the lowest row-major index. Candidates above a threshold predicted from the last step are gathered in the same
// pass as Adam; when too few were gathered they are gathered again with a lower one, so the result is exact. The margin
// of the prediction follows how often it fails and how many it lists.
#include "optimizer.h"
#include <string.h>
#include <algorithm>
#include "parallel.h"
#include "param.h"

namespace {
int magnitude(float x) {
  int bits;
  memcpy(&bits, &x, 4);
  return bits & 0x7fffffff;
}

struct Entry {
  int magnitude;
  size_t index;  // row-major in (O, I)
};
bool larger(const Entry& a, const Entry& b) {
  return a.magnitude != b.magnitude ? a.magnitude > b.magnitude : a.index < b.index;
}

// Magnitudes are counted in bins of 2^shift floats from `base`; what falls into the bin of the cut is then selected
// exactly. With a prediction the bins are fine and start there, else they cover all floats.
constexpr int kBins = 4096;
struct Bins {
  int base, shift;
  explicit Bins(int predicted) : base(predicted), shift(predicted > 0 ? 10 : 19) {}
  int of(int magnitude) const { return std::min(std::max(magnitude - base, 0) >> shift, kBins - 1); }
};

constexpr int kLargest = 0x7fffffff;

// Candidates of the projection, a list for each chunk of rows.
struct Chunks {
  const SparseParam& p;
  int per, count, padded;
  size_t room;
  int* row_ptr;
  uint16_t* col;
  float* val;
  uint8_t* flag;
  int* listed;

  int first(int chunk) const { return chunk * per; }
  int rows(int chunk) const { return std::min(p.shape.rows, first(chunk) + per) - first(chunk); }
  Candidates list(int chunk) const {
    return {row_ptr + (size_t)chunk * (per + 1), col + chunk * room, val + chunk * room, flag + chunk * room};
  }
  size_t index(int r, int c) const { return p.transposed ? (size_t)c * p.I + r : (size_t)r * p.I + c; }
  // how many threads are worth it
  int parts() const {
    long all = 0;
    for (int chunk = 0; chunk < count; chunk++) all += listed[chunk];
    return all > 4096 ? std::min(count, pool_threads()) : 1;
  }
};

// Finds the `left`-th largest candidate that is not protected, if there are so many. Returns how many there are; -1 when
// memory ran out.
long find_cut(const Chunks& chunks, const Bins& bins, long left, OptimizerScratch& scratch, Entry& cut) {
  const int parts = chunks.parts();
  auto* histogram = (int*)scratch.histogram.need((size_t)parts * kBins * 4);
  if (!histogram) return -1;
  parallel(parts, [&](int part) {
    int* counts = histogram + (size_t)part * kBins;
    memset(counts, 0, kBins * 4);
    for (int chunk = chunks.count * part / parts; chunk < chunks.count * (part + 1) / parts; chunk++) {
      const Candidates c = chunks.list(chunk);
      for (int q = 0; q < chunks.listed[chunk]; q++) counts[bins.of(magnitude(c.val[q]))] += !c.is_protected[q];
    }
  });
  auto total = [&](int bin) {
    long n = 0;
    for (int part = 0; part < parts; part++) n += histogram[(size_t)part * kBins + bin];
    return n;
  };
  long above = 0;
  int bin = kBins - 1;
  for (; bin >= 0 && above + total(bin) < left; bin--) above += total(bin);
  if (bin < 0) return above;
  const long inside = total(bin);
  long listed = above;
  for (int b = bin; b >= 0; b--) listed += total(b);
  auto* entries = (Entry*)scratch.entries.need((size_t)inside * sizeof(Entry));
  if (!entries) return -1;
  parallel(parts, [&](int part) {
    Entry* to = entries;
    for (int before = 0; before < part; before++) to += histogram[(size_t)before * kBins + bin];
    for (int chunk = chunks.count * part / parts; chunk < chunks.count * (part + 1) / parts; chunk++) {
      const Candidates c = chunks.list(chunk);
      for (int q = 0, r = 0; q < chunks.listed[chunk]; q++) {
        const int m = magnitude(c.val[q]);
        if (bins.of(m) != bin || c.is_protected[q]) continue;
        while (c.row_ptr[r + 1] <= q) r++;
        *to++ = {m, chunks.index(chunks.first(chunk) + r, c.col[q])};
      }
    }
  });
  std::nth_element(entries, entries + (left - above - 1), entries + inside, larger);
  cut = entries[left - above - 1];
  return listed;
}

// The candidates that are protected or up to the cut become the parameter's entries.
bool store_entries(const Chunks& chunks, SparseParam& p, const Entry& cut, const Projection& how,
                   OptimizerScratch& scratch) {
  parallel(chunks.count, [&](int chunk) {  // compact in place
    const Candidates c = chunks.list(chunk);
    const int first = chunks.first(chunk), rows = chunks.rows(chunk);
    auto stays = [&](int r, int q) {
      const int m = magnitude(c.val[q]);
      return m > 0 && (c.is_protected[q] || m > cut.magnitude ||
                       (m == cut.magnitude && chunks.index(first + r, c.col[q]) <= cut.index));
    };
    int n = 0;
    for (int r = 0, q = 0; r < rows; r++) {
      const int end = c.row_ptr[r + 1];
      c.row_ptr[r] = n;
      for (; q < end; q++) {
        const int col = c.col[q];
        const bool stay = stays(r, q);
        c.col[n] = (uint16_t)col;
        c.val[n] = c.val[q];
        n += stay;
        if (stay || !how.kept_only) continue;
        const size_t at = p.shape.row(col / kPanel, first + r) + col % kPanel;
        p.m[at] *= how.dropped_m;
        p.v[at] *= how.dropped_v;
      }
    }
    c.row_ptr[rows] = n;
    chunks.listed[chunk] = n;
  });
  size_t nnz = 0;
  for (int chunk = 0; chunk < chunks.count; chunk++) {
    const size_t n = chunks.listed[chunk];
    chunks.listed[chunk] = (int)nnz;
    nnz += n;
  }
  if (!sparse_reserve(p, nnz)) return false;
  p.nnz = nnz;
  parallel(chunks.count, [&](int chunk) {
    const Candidates c = chunks.list(chunk);
    const int first = chunks.first(chunk), rows = chunks.rows(chunk), base = chunks.listed[chunk];
    for (int r = 0; r < rows; r++) p.primary.ptr[first + r] = base + c.row_ptr[r];
    memcpy(p.primary.idx + base, c.col, (size_t)c.row_ptr[rows] * 2);
    for (int q = 0; q < c.row_ptr[rows]; q++) p.primary.val[base + q] = c.val[q] - how.decay * c.val[q];
  });
  p.primary.ptr[p.shape.rows] = (int)nnz;
  return build_secondary(p, scratch.places);
}

// Entries that a thread works on at a time: their values stay in its cache between Adam and the projection.
constexpr int kAtOnce = 16384;

// body(start, end, has gradient) for the runs of rows within [start, end) that have a gradient or none
template <class Body>
void runs(const DenseParam& p, size_t start, size_t end, const Body& body) {
  for (size_t r = start / p.cols; start < end;) {
    const bool written = p.written[r];
    while (r < (size_t)p.rows && p.written[r] == written && r * p.cols < end) r++;
    const size_t stop = std::min(end, r * p.cols);
    body(start, stop, written);
    start = stop;
  }
}

// The sum of sum(start, end) over parts of [0, n), added in order.
template <class Sum>
double in_order(size_t n, size_t part, OptimizerScratch& scratch, const Sum& sum) {
  const size_t parts = (n + part - 1) / part;
  auto* sums = (double*)scratch.sums.need(parts * 8);
  if (!sums) return -1;
  parallel((int)parts, [&](int i) { sums[i] = sum(i * part, std::min(n, (i + 1) * part)); });
  double total = 0;
  for (size_t i = 0; i < parts; i++) total += sums[i];
  return total;
}
}  // namespace

bool sparse_adam(const Kernels& k, SparseParam& p, const AdamArgs& a, Projection how, OptimizerScratch& scratch) {
  const int R = p.shape.rows, C = p.shape.cols, padded = round_up(C, kLaneAlign);
  const int per = std::max(1, std::min(R, kAtOnce / padded)), count = (R + per - 1) / per;
  const size_t room = (size_t)per * padded + 64;  // listing writes one whole vector past the end
  auto* values = (float*)scratch.values.need((size_t)pool_threads() * per * padded * 4);
  const Chunks chunks{p,
                      per,
                      count,
                      padded,
                      room,
                      (int*)scratch.row_ptr.need((size_t)count * (per + 1) * 4),
                      (uint16_t*)scratch.col.need(count * room * 2),
                      (float*)scratch.val.need(count * room * 4),
                      (uint8_t*)scratch.flags.need(count * room),
                      (int*)scratch.counts.need((size_t)count * 4)};
  if (!values || !chunks.row_ptr || !chunks.col || !chunks.val || !chunks.flag || !chunks.listed) return false;
  if (how.kept_only && p.has_grad) {  // a gradient of the other kind, which training does not give
    if (!kept_reserve(p)) return false;
    kept_from_panels(p);
    p.has_kept = true;
  } else if (!how.kept_only && p.has_kept && !p.has_grad) {
    panels_from_kept(p);
    p.has_grad = true;
  }
  const size_t size = (size_t)R * C;
  bool cutting = how.keep >= 0 && (size_t)how.keep < size;
  if (how.kept_only && cutting && p.nnz <= (size_t)how.keep) {  // nothing to drop, unless zeros are protected
    cutting = false;
    for (int r = 0; r < R; r++) cutting |= p.primary.ptr[r + 1] - p.primary.ptr[r] < how.protect;
  }
  const int protect = cutting && p.protect ? std::min(how.protect, C) : 0;
  const long left = cutting ? how.keep - (long)R * protect : (long)size;
  auto gather = [&](bool update, int limit) {
    parallel(count, [&](int chunk) {
      const int r0 = chunks.first(chunk), r1 = r0 + chunks.rows(chunk);
      float* x = values + (size_t)pool_thread() * per * padded;
      chunks.listed[chunk] = how.kept_only ? k.adam_kept(a, p, r0, r1, protect, chunks.list(chunk))
                                           : k.adam_rows(a, p, r0, r1, update, limit, protect, x, chunks.list(chunk));
    });
  };
  Entry cut{0, SIZE_MAX};  // the last that stays
  if (cutting && left <= 0) {
    cut = {kLargest, 0};  // the protected fill the budget
    gather(true, kLargest);
  } else if (cutting) {
    float predicted = p.threshold * p.margin;
    gather(true, magnitude(predicted));
    for (bool failed = false;; failed = true) {
      const long listed = find_cut(chunks, Bins(magnitude(predicted)), left, scratch, cut);
      if (listed < 0) return false;
      if (how.kept_only) break;  // all were listed
      if (failed) p.margin *= 0.7f;
      if (!failed && listed > 2 * left) p.margin = std::min(0.95f, p.margin * 1.1f);
      if (listed >= left || predicted == 0) break;
      predicted = predicted > p.threshold / 8 ? predicted / 2 : 0.f;
      gather(false, magnitude(predicted));
    }
    memcpy(&p.threshold, &cut.magnitude, 4);
  } else {
    gather(true, 0);
  }
  return store_entries(chunks, p, cut, how, scratch);
}

bool dense_adam(const Kernels& k, DenseParam& p, const AdamArgs& a, Projection how, OptimizerScratch& scratch) {
  const size_t part = 1 << 16;
  parallel((int)((p.size + part - 1) / part), [&](int i) {
    runs(p, i * part, std::min(p.size, (i + 1) * part), [&](size_t start, size_t end, bool written) {
      k.adam_dense(a, p.value + start, written ? p.grad + start : nullptr, p.m + start, p.v + start, end - start);
    });
  });
  if (how.keep >= 0 && (size_t)how.keep < p.size) {
    auto* all = (Entry*)scratch.entries.need(p.size * sizeof(Entry));
    if (!all) return false;
    for (size_t i = 0; i < p.size; i++) all[i] = {magnitude(p.value[i]), i};
    std::nth_element(all, all + how.keep, all + p.size, larger);
    for (size_t i = how.keep; i < p.size; i++) p.value[all[i].index] = 0.f;
  }
  if (how.decay != 0.f)
    for (size_t i = 0; i < p.size; i++) p.value[i] -= how.decay * p.value[i];
  return true;
}

double sparse_squares(const Kernels& k, const SparseParam& p, OptimizerScratch& scratch) {
  const float* g = p.has_grad ? p.grad : p.kept_grad;
  const size_t size = p.has_grad ? p.shape.size() : p.has_kept ? p.nnz : 0;
  return in_order(size, 1 << 16, scratch, [&](size_t start, size_t end) { return k.sum_squares(g + start, end - start); });
}

double kept_squares(const SparseParam& p, OptimizerScratch& scratch) {
  if (!p.has_grad) return 0;
  return in_order(p.shape.rows, 64, scratch, [&](size_t r0, size_t r1) {
    double total = 0;
    for (size_t r = r0; r < r1; r++)
      for (int q = p.primary.ptr[r]; q < p.primary.ptr[r + 1]; q++) {
        const int c = p.primary.idx[q];
        const float g = p.grad[p.shape.row(c / kPanel, (int)r) + c % kPanel];
        total += (double)g * g;
      }
    return total;
  });
}

double dense_squares(const Kernels& k, const DenseParam& p, OptimizerScratch& scratch) {
  return in_order(p.size, 1 << 16, scratch, [&](size_t start, size_t end) {
    double total = 0;
    runs(p, start, end, [&](size_t from, size_t to, bool written) {
      if (written) total += k.sum_squares(p.grad + from, to - from);
    });
    return total;
  });
}
