// The binding: each method of the engine interface as one call on handles. Arguments are converted by their C++ types;
// the caller (src/engine/native) is trusted to pass handles of the right kind and shape.
#include <math.h>
#include <node_api.h>
#include <string.h>
#include <algorithm>
#include <type_traits>
#include <utility>
#include "activations.h"
#include "kernels/table.h"
#include "optimizer.h"
#include "param.h"
#include "pool.h"
#include "queue.h"

namespace {
struct Context {
  const Kernels* k;
  int threads;
  bool eager = false;  // nothing waits in the queue
  Scratch dense, panels, ptr, token, val, losses;
  OptimizerScratch optimizer;
};
struct Storage {
  View view;
  size_t bytes;  // 0 for a view of another handle
};
struct Kept {
  KeptSet set;
  size_t bytes;
  int guess = 0;
};

// In the order of the caller's codes.
constexpr const char* kIsas[] = {"plain", "avx2", "avx512"};

bool supported(const char* isa) {
#if defined(__x86_64__) || defined(_M_X64)
  if (!strcmp(isa, "avx512"))
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
  if (!strcmp(isa, "avx2")) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
  return !strcmp(isa, "plain");
}

const Kernels* kernels_of(const char* isa) {
  if (!supported(isa)) return nullptr;
#if defined(__x86_64__) || defined(_M_X64)
  if (!strcmp(isa, "avx512")) return kernels_avx512();
  if (!strcmp(isa, "avx2")) return kernels_avx2();
#endif
  return kernels_plain();
}

// ---- conversion
template <class T>
T* external(napi_env env, napi_value value) {
  void* p = nullptr;
  napi_valuetype type;
  if (napi_typeof(env, value, &type) == napi_ok && type == napi_external) napi_get_value_external(env, value, &p);
  return (T*)p;
}
template <class T>
struct From;
template <>
struct From<double> {
  static double get(napi_env e, napi_value v) {
    double x = 0;
    napi_get_value_double(e, v, &x);
    return x;
  }
};
template <>
struct From<int> {
  static int get(napi_env e, napi_value v) { return (int)From<double>::get(e, v); }
};
template <>
struct From<bool> {
  static bool get(napi_env e, napi_value v) {
    bool x = false;
    napi_get_value_bool(e, v, &x);
    return x;
  }
};
template <>
struct From<View> {
  static View get(napi_env e, napi_value v) {
    auto* s = external<Storage>(e, v);
    return s ? s->view : View{};
  }
};
template <>
struct From<Context&> {
  static Context& get(napi_env e, napi_value v) { return *external<Context>(e, v); }
};
template <class T>
struct From<T*> {
  static T* get(napi_env e, napi_value v) { return external<T>(e, v); }
};
template <class T, class Out>
Out typed(napi_env e, napi_value v) {
  napi_typedarray_type type;
  size_t length = 0, offset;
  void* data = nullptr;
  napi_value buffer;
  bool is = false;
  napi_is_typedarray(e, v, &is);
  if (is) napi_get_typedarray_info(e, v, &type, &length, &data, &buffer, &offset);
  return Out{(T*)data, length};
}
template <>
struct From<Ints> {
  static Ints get(napi_env e, napi_value v) { return typed<const int, Ints>(e, v); }
};
template <>
struct From<Floats> {
  static Floats get(napi_env e, napi_value v) { return typed<float, Floats>(e, v); }
};

napi_value to_js(napi_env e, double x) {
  napi_value v;
  napi_create_double(e, x, &v);
  return v;
}
napi_value to_js(napi_env e, bool x) {
  napi_value v;
  napi_get_boolean(e, x, &v);
  return v;
}
template <class T>
struct Owned {
  T* p;
};
void free_handle(Context* c) { delete c; }
void free_handle(Storage* s) {
  memory_give(s->bytes ? s->view.data : nullptr, s->bytes);
  delete s;
}
void free_handle(Kept* k) {
  memory_give(k->set.bits, k->bytes);
  delete k;
}
void free_handle(DenseParam* p) { dense_free(p); }
void free_handle(SparseParam* p) { sparse_free(p); }
template <class T>
napi_value to_js(napi_env e, Owned<T> owned) {
  napi_value v;
  if (!owned.p) {
    napi_throw_error(e, "OUT_OF_MEMORY", "the native engine could not get the memory it asked for");
    napi_get_undefined(e, &v);
    return v;
  }
  napi_create_external(e, owned.p, [](napi_env, void* p, void*) {
    queue_flush();
    free_handle((T*)p);
  }, nullptr, &v);
  return v;
}

// How a method stands to queued work: it joins it or leaves it alone, or it must find it done.
enum Order { kQueued, kAfter };
template <auto F, Order O>
struct Method;
template <class R, class... Args, R (*F)(Args...), Order O>
struct Method<F, O> {
  template <size_t... I>
  static napi_value apply(napi_env e, napi_value* a, std::index_sequence<I...>) {
    if constexpr (std::is_void_v<R>) {
      F(From<Args>::get(e, a[I])...);
      return nullptr;
    } else {
      return to_js(e, F(From<Args>::get(e, a[I])...));
    }
  }
  static napi_value call(napi_env e, napi_callback_info info) {
    size_t n = sizeof...(Args);
    napi_value a[sizeof...(Args) + 1];
    napi_get_cb_info(e, info, &n, a, nullptr, nullptr);
    if (O == kAfter) queue_flush();
    return apply(e, a, std::index_sequence_for<Args...>());
  }
};

// ---- engine, memory
Owned<Context> engine(int isa, int threads) {
  const Kernels* k = kernels_of(kIsas[isa]);
  if (!k) return {nullptr};
  auto* c = new Context();
  c->k = k;
  c->threads = threads;
  return {c};
}
bool supports(int isa) {
  return supported(kIsas[isa]);
}
// before any kernel
const Kernels& use(Context& c) {
  pool_use(c.threads);
  queue_eager(c.eager);
  return *c.k;
}
void may_wait(Context& c, bool allowed) { c.eager = !allowed; }
double memory_bytes() { return (double)memory_held(); }

Owned<Storage> activation(int B, int T, int W) {
  auto* s = new Storage();
  const int Tp = round_up(T, kLaneAlign), blocks = (B * Tp + kBlock - 1) / kBlock;
  s->bytes = (size_t)blocks * W * kBlock * 4;
  s->view = View{(float*)memory_take(s->bytes), B, T, Tp, W, W, blocks};
  if (s->view.data) return {s};
  delete s;
  return {nullptr};
}
Owned<Storage> slice(View whole, int start, int W) {
  auto* s = new Storage();
  s->view = whole;
  s->view.data += (size_t)start * kBlock;
  s->view.W = W;
  return {s};
}
Owned<Kept> kept_set(int B, int T, int W) {
  const int Tp = round_up(T, kLaneAlign), blocks = (B * Tp + kBlock - 1) / kBlock;
  auto* k = new Kept();
  k->bytes = (size_t)blocks * W * 8;
  k->set = KeptSet{(uint64_t*)memory_take(k->bytes), &k->guess, B, T, Tp, W, blocks};
  if (k->set.bits) return {k};
  delete k;
  return {nullptr};
}
void read_kept_set(Kept* k, Ints out) { read_kept(k->set, out); }

// ---- parameters
Owned<DenseParam> dense(int rows, int cols) { return {dense_new(rows, cols)}; }
Owned<SparseParam> sparse(int O, int I, int protect) { return {sparse_new(O, I, protect)}; }
float* field_of(DenseParam* p, int field) {
  float* fields[] = {p->value, p->grad, p->m, p->v};
  return fields[field];
}
float* field_of(SparseParam* p, int field) {
  float* fields[] = {nullptr, p->grad, p->m, p->v};
  return fields[field];
}
void read_dense(DenseParam* p, int field, Floats out) {
  memcpy(out.data, field_of(p, field), p->size * 4);
  for (int r = 0; r < p->rows && field == 1; r++)
    if (!p->written[r]) memset(out.data + (size_t)r * p->cols, 0, (size_t)p->cols * 4);
}
void write_dense(DenseParam* p, int field, Floats in) {
  memcpy(field_of(p, field), in.data, p->size * 4);
  if (field == 1) memset(p->written, 1, p->rows);
}
void read_sparse(SparseParam* p, int field, Floats out) {
  if (field == 0)
    sparse_get(*p, out.data);
  else if (field == 1 && !p->has_grad)
    kept_get(*p, out.data);
  else
    panels_get(*p, field_of(p, field), out.data);
}
bool write_sparse(SparseParam* p, int field, Floats in) {
  if (field == 0) return sparse_set(*p, in.data);
  panels_set(*p, field_of(p, field), in.data);
  if (field == 1) p->has_grad = true;
  return true;
}
double nonzeros_sparse(SparseParam* p) {
  size_t n = 0;
  for (size_t i = 0; i < p->nnz; i++) n += p->primary.val[i] != 0.f;
  return (double)n;
}
double nonzeros_dense(DenseParam* p) {
  size_t n = 0;
  for (size_t i = 0; i < p->size; i++) n += p->value[i] != 0.f;
  return (double)n;
}
void clear_dense(DenseParam* p) { memset(p->written, 0, p->rows); }
void clear_sparse(SparseParam* p) { p->has_grad = p->has_kept = false; }
double squares_dense(Context& c, DenseParam* p) { return dense_squares(use(c), *p, c.optimizer); }
double squares_sparse(Context& c, SparseParam* p) { return sparse_squares(use(c), *p, c.optimizer); }
double squares_kept(Context& c, SparseParam* p) {
  use(c);
  return kept_squares(*p, c.optimizer);
}
AdamArgs adam_args(double scale, double lr, double b1, double b2, double eps, double c1, double c2, double gap1, double gap2) {
  return {(float)scale, (float)lr, (float)b1, (float)b2, (float)eps, (float)c1, (float)c2, (float)gap1, (float)gap2};
}
bool adam_dense(Context& c, DenseParam* p, double scale, double lr, double b1, double b2, double eps, double c1, double c2,
                double decay, double keep) {
  return dense_adam(use(c), *p, adam_args(scale, lr, b1, b2, eps, c1, c2, b1, b2),
                    {(long)keep, 0, (float)decay, false, 1.f, 1.f}, c.optimizer);
}
bool adam_sparse(Context& c, SparseParam* p, double scale, double lr, double b1, double b2, double eps, double c1,
                 double c2, double decay, double keep, int protect, double gap1, double gap2, bool kept_only,
                 double dropped_m, double dropped_v) {
  return sparse_adam(use(c), *p, adam_args(scale, lr, b1, b2, eps, c1, c2, gap1, gap2),
                     {(long)keep, protect, (float)decay, kept_only, (float)dropped_m, (float)dropped_v}, c.optimizer);
}
// A gradient about to be added to: zero unless it already holds one.
float* open_grad(DenseParam* p) {
  if (!p) return nullptr;
  for (int r = 0; r < p->rows; r++)
    if (!p->written[r]) memset(p->grad + (size_t)r * p->cols, 0, (size_t)p->cols * 4);
  memset(p->written, 1, p->rows);
  return p->grad;
}

// ---- ops
const float* value_of(DenseParam* p) { return p ? p->value : nullptr; }
void embed(Context& c, SparseParam* table, Ints ids, View out) { use(c).embed(table->by_output(), ids.data, out); }
bool embed_backward(Context& c, View dout, Ints ids, SparseParam* table) {
  auto* scratch = (float*)c.dense.need((size_t)dout.blocks * kBlock * round_up(dout.W, 16) * 4);
  if (!scratch) return false;
  use(c).embed_backward(dout, ids.data, table->grad, table->shape, table->has_grad, scratch);
  table->has_grad = true;
  return true;
}
bool embed_backward_kept(Context& c, View dout, Ints ids, SparseParam* table) {
  if (!kept_reserve(*table)) return false;
  use(c).embed_backward_kept(dout, ids.data, table->by_output(), table->O, table->kept_grad, table->has_kept);
  return table->has_kept = true;
}
void positions(Context& c, DenseParam* table, View out) { use(c).positions(table->value, out); }
void positions_backward(Context& c, View dout, DenseParam* table) { use(c).positions_backward(dout, open_grad(table)); }
void norm(Context& c, int kind, View x, DenseParam* weight, DenseParam* bias, View out, View stats) {
  use(c).norm(kind, x, weight->value, value_of(bias), out, stats);
}
bool norm_backward(Context& c, int kind, View x, DenseParam* weight, DenseParam* bias, View stats, View dout, View dx,
                   bool add, bool weights) {
  const size_t size = weights ? (size_t)x.blocks * x.W : 0;
  auto* sums = (float*)(weights ? queue_scratch(size * 2 * 4) : nullptr);
  if (weights && !sums) return false;
  use(c).norm_backward(kind, x, weight->value, stats, dout, dx, add, sums, bias && weights ? sums + size : nullptr);
  if (!weights) return true;
  queue_sums(sums, x.blocks, x.W, open_grad(weight));
  if (bias) queue_sums(sums + size, x.blocks, x.W, open_grad(bias));
  return true;
}
void copy(Context& c, View x, View out, bool add) { use(c).copy(x, out, add); }
void sum(Context& c, View a, View b, View out) { use(c).sum(a, b, out); }
bool spmm(Context& c, const Compressed& rows, size_t nnz, View x, const float* bias, View out, bool add) {
  SpmmPlan plan = use(c).spmm_plan(out.W, x.W, nnz);
  if (plan.bytes && !(plan.scratch = queue_scratch(plan.bytes))) return false;
  use(c).spmm(rows, x, bias, out, add, plan);
  return true;
}
bool linear(Context& c, View x, SparseParam* w, DenseParam* bias, View out) {
  return spmm(c, w->by_output(), w->nnz, x, value_of(bias), out, false);
}
bool linear_backward_input(Context& c, View dout, SparseParam* w, View dx, bool add) {
  return spmm(c, w->by_input(), w->nnz, dout, nullptr, dx, add);
}
bool linear_backward_weight(Context& c, View x, View dout, SparseParam* w) {
  const View a = w->transposed ? x : dout, b = w->transposed ? dout : x;
  const size_t N = (size_t)a.blocks * kBlock, W = std::max(a.W, b.W);
  const OuterScratch scratch{
      (float*)c.panels.need(N * round_up((int)W, kLaneAlign) * 4), (int*)c.ptr.need((size_t)a.blocks * (W + 1) * 4),
      (uint16_t*)c.token.need((N * W + 64) * 2), (float*)c.val.need((N * W + 64) * 4)};
  if (!scratch.panels || !scratch.ptr || !scratch.token || !scratch.val) return false;
  use(c).outer(a, b, w->grad, w->shape, w->has_grad, scratch);
  return w->has_grad = true;
}
bool linear_backward_weight_kept(Context& c, View x, View dout, SparseParam* w) {
  if (!kept_reserve(*w)) return false;
  const View a = w->transposed ? x : dout, b = w->transposed ? dout : x;
  use(c).sddmm(w->primary, w->shape.rows, a, b, w->kept_grad, w->has_kept);
  return w->has_kept = true;
}
bool bias_backward(Context& c, View dout, DenseParam* bias) {
  auto* sums = (float*)queue_scratch((size_t)dout.blocks * dout.W * 4);
  if (!sums) return false;
  use(c).bias_backward(dout, sums);
  queue_sums(sums, dout.blocks, dout.W, open_grad(bias));
  return true;
}
void nonlinearity(Context& c, int kind, View x, View out) { use(c).nonlinearity(kind, x, out); }
void nonlinearity_backward(Context& c, int kind, View x, View dout, Kept* kept, View dx, bool add) {
  use(c).nonlinearity_backward(kind, x, dout, kept ? &kept->set : nullptr, dx, add);
}
void abs_topk(Context& c, View x, int k, View out, Kept* kept) { use(c).abs_topk(x, k, out, kept->set); }
void nonlinearity_topk(Context& c, int kind, View x, int k, View out, Kept* kept) {
  use(c).nonlinearity_topk(kind, x, k, out, kept->set);
}
void abs_topk_backward(Context& c, View dout, Kept* kept, View dx, bool add) {
  use(c).abs_topk_backward(dout, kept->set, dx, add);
}
void mask(Context& c, View x, DenseParam* m, DenseParam* mean, View out) { use(c).mask(x, m->value, mean->value, out); }
bool mask_backward(Context& c, View x, DenseParam* m, DenseParam* mean, View dout, View dx, bool add) {
  auto* sums = (float*)queue_scratch((size_t)x.blocks * x.W * 4);
  if (!sums) return false;
  use(c).mask_backward(x, m->value, mean->value, dout, dx, add, sums);
  queue_sums(sums, x.blocks, x.W, open_grad(m));
  return true;
}
void patch(Context& c, View x, View values, View where, View out) { use(c).patch(x, values, where, out); }
void patch_backward(Context& c, View dout, View where, View dx, bool add) { use(c).patch_backward(dout, where, dx, add); }
void attention(Context& c, View q, View k, View v, DenseParam* sink, int heads, View out, View lse) {
  use(c).attention(q, k, v, value_of(sink), heads, out, lse);
}
bool attention_backward(Context& c, View q, View k, View v, DenseParam* sink, int heads, View out, View lse, View dout,
                        View dq, View dk, View dv, bool weights) {
  auto* dsinks = (float*)c.dense.need((size_t)q.B * heads * 4);
  if (!dsinks) return false;
  use(c).attention_backward(q, k, v, value_of(sink), heads, out, lse, dout, dq, dk, dv, dsinks);
  if (!sink || !weights) return true;
  float* d = open_grad(sink);
  for (int b = 0; b < q.B; b++)
    for (int h = 0; h < heads; h++) d[h] += dsinks[b * heads + h];
  return true;
}
void add_rows(Context& c, View x, DenseParam* table, Ints ids) { use(c).add_rows(x, table->value, ids.data); }
void add_row(Context& c, View x, DenseParam* row) { use(c).add_row(x, row->value); }
// Only rows of tokens that occur are written: of a bigram table most are not. The last row gets nothing.
bool add_rows_backward(Context& c, View dx, Ints ids, DenseParam* table) {
  auto* places = (int*)c.ptr.need(ids.length * 4);
  if (!places) return false;
  for (size_t i = 0; i < ids.length; i++) {
    const int row = ids.data[i];
    if (row == table->rows - 1) {
      places[i] = -1;
    } else {
      places[i] = 2 * row + !table->written[row];
      table->written[row] = 1;
    }
  }
  use(c).add_rows_backward(dx, places, table->grad);
  return true;
}
// Negative when memory ran out.
double unembed_loss(Context& c, View x, SparseParam* unembed, DenseParam* bias, DenseParam* bigram, Ints tokens,
                    Ints targets, View dlogits) {
  int counted = 0;
  for (size_t i = 0; i < targets.length; i++) counted += targets.data[i] >= 0;
  auto* losses = (double*)c.losses.need((size_t)x.blocks * 8);
  float* scratch = nullptr;
  if (!dlogits.data) scratch = (float*)c.dense.need((size_t)x.blocks * unembed->O * kBlock * 4);
  SpmmPlan product = use(c).spmm_plan(unembed->O, x.W, unembed->nnz);
  if (product.bytes) product.scratch = queue_scratch(product.bytes);
  if (!losses || (!dlogits.data && !scratch) || (product.bytes && !product.scratch)) return -1;
  use(c).unembed_loss({x, unembed, value_of(bias), value_of(bigram), tokens.data, targets.data, dlogits, counted, scratch,
                       losses, product});
  double total = 0;
  for (int b = 0; b < x.blocks; b++) total += losses[b];
  return counted > 0 ? total / counted : 0;
}
// ---- what the machine can do
// Every thread on registers alone; returns the floating point operations of all.
double peak_fma(Context& c, double rounds) {
  struct Work {
    const Kernels& k;
    long rounds;
    double flop[64];
  } work{use(c), (long)rounds, {}};
  pool_run(std::min(c.threads, 64), [](void* p, int i) {
    float out[16] = {1.f};
    auto* w = (Work*)p;
    w->flop[i] = w->k.peak_fma(w->rounds, out);
  }, &work);
  double total = 0;
  for (double x : work.flop) total += x;
  return total;
}
// Threads read the array once between them.
void peak_read(Context& c, Floats x) {
  struct Work {
    const Kernels& k;
    Floats x;
    int parts;
  } work{use(c), x, c.threads};
  pool_run(work.parts, [](void* p, int i) {
    float out[16];
    auto* w = (Work*)p;
    const size_t part = w->x.length / w->parts / 64 * 64;
    w->k.peak_read(w->x.data + i * part, part, out);
  }, &work);
}

template <auto F, Order O>
void method(napi_env e, napi_value exports, const char* name) {
  napi_value fn;
  napi_create_function(e, name, NAPI_AUTO_LENGTH, Method<F, O>::call, nullptr, &fn);
  napi_set_named_property(e, exports, name, fn);
}
}  // namespace

NAPI_MODULE_INIT() {
#define METHOD(cpp, js) method<cpp, kAfter>(env, exports, js)
#define QUEUED(cpp, js) method<cpp, kQueued>(env, exports, js)
  QUEUED(engine, "engine");
  QUEUED(supports, "supports");
  QUEUED(memory_bytes, "memoryBytes");
  METHOD(may_wait, "mayWait");
  QUEUED(activation, "activation");
  QUEUED(slice, "slice");
  QUEUED(kept_set, "keptSet");
  METHOD(write, "write");
  METHOD(read, "read");
  METHOD(read_kept_set, "readKept");
  METHOD(fill, "fill");
  METHOD(dense, "dense");
  METHOD(sparse, "sparse");
  METHOD(read_dense, "readDense");
  METHOD(write_dense, "writeDense");
  METHOD(read_sparse, "readSparse");
  METHOD(write_sparse, "writeSparse");
  METHOD(nonzeros_dense, "nonzerosDense");
  METHOD(nonzeros_sparse, "nonzerosSparse");
  METHOD(clear_dense, "clearDense");
  METHOD(clear_sparse, "clearSparse");
  METHOD(squares_dense, "squaresDense");
  METHOD(squares_sparse, "squaresSparse");
  METHOD(squares_kept, "squaresKept");
  METHOD(adam_dense, "adamDense");
  METHOD(adam_sparse, "adamSparse");
  METHOD(embed, "embed");
  METHOD(embed_backward, "embedBackward");
  METHOD(embed_backward_kept, "embedBackwardKept");
  METHOD(positions, "positions");
  METHOD(positions_backward, "positionsBackward");
  QUEUED(norm, "norm");
  QUEUED(norm_backward, "normBackward");
  QUEUED(copy, "copy");
  QUEUED(sum, "sum");
  QUEUED(linear, "linear");
  QUEUED(linear_backward_input, "linearBackwardInput");
  METHOD(linear_backward_weight, "linearBackwardWeight");
  METHOD(linear_backward_weight_kept, "linearBackwardWeightKept");
  QUEUED(bias_backward, "biasBackward");
  QUEUED(nonlinearity, "nonlinearity");
  QUEUED(nonlinearity_backward, "nonlinearityBackward");
  QUEUED(abs_topk, "absTopK");
  QUEUED(nonlinearity_topk, "nonlinearityTopK");
  QUEUED(abs_topk_backward, "absTopKBackward");
  QUEUED(mask, "mask");
  QUEUED(mask_backward, "maskBackward");
  QUEUED(patch, "patch");
  QUEUED(patch_backward, "patchBackward");
  METHOD(attention, "attention");
  METHOD(attention_backward, "attentionBackward");
  METHOD(add_rows, "addRows");
  QUEUED(add_row, "addRow");
  METHOD(add_rows_backward, "addRowsBackward");
  METHOD(gather_tokens, "gatherTokens");
  METHOD(gather_tokens_backward, "gatherTokensBackward");
  METHOD(pair_loss, "pairLoss");
  METHOD(unembed_loss, "unembedLoss");
  METHOD(peak_fma, "peakFma");
  METHOD(peak_read, "peakRead");
  return exports;
}
