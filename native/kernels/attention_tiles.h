// Causal attention in tiles of queries by keys; lanes are queries. The products run over the nonzero entries of keys and
// values, of which AbsTopK leaves a fraction, or over all entries where most are nonzero. Heads of any width.
#pragma once
#include "attention_head.h"

namespace ISA_NS {
constexpr int kVectors = 8;  // of queries in a tile
constexpr int kQueries = kVectors * VL;
constexpr int kKeys = 32;    // in a tile: its scores stay in the first-level cache
#define INLINE_LAMBDA __attribute__((always_inline))

// Added to scores: kNever where query i comes before the key, else 0, for i from the first query of the tile on. (A key
// that is not a number therefore spoils the queries of its tile before it too; training stops at such values.)
struct CausalTable {
  float x[2 * kQueries];
  constexpr CausalTable() : x() {
    for (int i = 0; i < kQueries; i++) x[i] = kNever;
  }
};
static constexpr CausalTable kCausal;
// ahead: key - first query
INLINE const float* causal_row(int ahead) { return kCausal.x + kQueries - (ahead > 0 ? ahead : 0); }

// out[d * ld + i] = channel d of token t0 + i, times factor, for n tokens; 0 past the sequence's end
INLINE void gather(View x, Head a, int t0, int n, float factor, float* out, int ld) {
  for (int t = 0; t < n; t += 16) {
    const float* in = t0 + t < x.Tp ? x.at(x.token(a.b, t0 + t), a.first) : nullptr;
    for (int d = 0; d < a.K; d++)
      for (int u = 0; u < 16; u += VL)
        store(out + (size_t)d * ld + t + u, in ? load(in + (size_t)d * kBlock + u) * factor : all(0.f));
  }
}

// Which entries of each row are not zero, and the rows ordered by how many: loops over the entries of consecutive rows
// then have predictable lengths.
struct Rows {
  uint64_t bits[64];
  uint8_t order[64], count[64];
  bool dense;
};

// n rows of `width` entries, a multiple of 16
INLINE void find_rows(const float* x, size_t ld, int n, int width, Rows* rows) {
  rows->dense = width > 64 || n > 64;
  if (rows->dense) return;
  uint8_t start[66] = {0};
  int sum = 0;
  for (int r = 0; r < n; r++) {
    uint64_t bits = 0;
    for (int i = 0; i < width; i += VL) bits |= (uint64_t)lane_bits(load(x + r * ld + i) != all(0.f)) << i;
    const int count = __builtin_popcountll(bits);
    rows->bits[r] = bits;
    rows->count[r] = (uint8_t)count;
    start[count + 1]++;
    sum += count;
  }
  rows->dense = sum * 5 > n * width * 3;
  for (int c = 0; c < width; c++) start[c + 1] = (uint8_t)(start[c + 1] + start[c]);
  for (int r = 0; r < n; r++) rows->order[start[rows->count[r]]++] = (uint8_t)r;
}

// For each of n rows: acc = init(row); acc += val[row][i] * x[i] over its entries i; done(row, acc). x: rows of kQueries
template <int NV, class Init, class Done>
INLINE void multiply_rows(const Rows& rows, int n, int width, const float* val, size_t ldv, const float* x,
                          const Init& init, const Done& done) {
  if (rows.dense) {
    constexpr int R = VL == 16 ? 2 : 1;  // rows that share the loads of x
    for (int r = 0; r < n; r += R) {
      const int last = r + R <= n ? R - 1 : 0;  // of an odd number of rows the last is done twice
      vf acc[R][NV];
      UNROLL for (int j = 0; j < R; j++) init(r + (j ? last : 0), acc[j]);
      const float *w0 = val + r * ldv, *w1 = w0 + last * ldv;
      for (int i = 0; i < width; i++)
        UNROLL for (int v = 0; v < NV; v++) {
          const vf y = load(x + (size_t)i * kQueries + v * VL);
          UNROLL for (int j = 0; j < R; j++) acc[j][v] += all((j ? w1 : w0)[i]) * y;
        }
      UNROLL for (int j = 0; j < R; j++) done(r + (j ? last : 0), acc[j]);
    }
    return;
  }
  for (int k = 0; k < n; k++) {
    const int r = rows.order[k];
    const float* w = val + r * ldv;
    uint64_t bits = rows.bits[r];
    vf acc[NV];
    init(r, acc);
    for (int c = rows.count[r]; c > 0; c--) {
      const unsigned i = (unsigned)__builtin_ctzll(bits);
      bits &= bits - 1;
      const float* from = x + i * kQueries;
      const vf y = all(w[i]);
      UNROLL for (int v = 0; v < NV; v++) acc[v] += y * load(from + v * VL);
    }
    done(r, acc);
  }
}

// A tile's keys and values of one head: rows by token, and by channel where the direction needs them.
struct KeyTile {
  int n;      // keys, a multiple of 16
  int ahead;  // first key - first query of the vectors that see any of the keys
  const float *keys, *values;
  const Rows *key_rows, *value_rows;
};

// Scores and probabilities of a tile, and the values they sum; S: [n][kQueries]; out: [K][kQueries].
// best: largest score so far, in powers of 2; total: sum of 2^(score - best)
template <int NV>
INLINE void attend_tile(Head a, KeyTile t, const float* qs, float* S, float* best, float* total, float* out) {
  vf top[NV], sum[NV], shrink[NV];
  UNROLL for (int u = 0; u < NV; u++) top[u] = load(best + u * VL);
  multiply_rows<NV>(
      *t.key_rows, t.n, a.K, t.keys, a.KP, qs,
      [&](int j, vf* acc) INLINE_LAMBDA {
        const float* start = causal_row(t.ahead + j);
        UNROLL for (int u = 0; u < NV; u++) acc[u] = load(start + u * VL);
      },
      [&](int j, vf* acc) INLINE_LAMBDA {
        UNROLL for (int u = 0; u < NV; u++) {
          top[u] = vmax(top[u], acc[u]);
          store(S + j * kQueries + u * VL, acc[u]);
        }
      });
  UNROLL for (int u = 0; u < NV; u++) {
    shrink[u] = vexp2(load(best + u * VL) - top[u]);
    sum[u] = load(total + u * VL) * shrink[u];
    store(best + u * VL, top[u]);
  }
  for (int j = 0; j < t.n; j++)
    UNROLL for (int u = 0; u < NV; u++) {
      const vf p = vexp2(load(S + j * kQueries + u * VL) - top[u]);
      sum[u] += p;
      store(S + j * kQueries + u * VL, p);
    }
  UNROLL for (int u = 0; u < NV; u++) store(total + u * VL, sum[u]);
  multiply_rows<NV>(
      *t.value_rows, a.K, t.n, t.values, kKeys, S,
      [&](int d, vf* acc) INLINE_LAMBDA {
        UNROLL for (int u = 0; u < NV; u++) acc[u] = load(out + d * kQueries + u * VL) * shrink[u];
      },
      [&](int d, vf* acc) INLINE_LAMBDA {
        UNROLL for (int u = 0; u < NV; u++) store(out + d * kQueries + u * VL, acc[u]);
      });
}

#define BY_VECTORS(nv, CALL) \
  if (nv > 6) CALL(8);       \
  else if (nv > 4) CALL(6);  \
  else if (nv > 2) CALL(4);  \
  else CALL(2);

static void attend_tiles(View q, View k, View v, const float* sink, View out, View lse, Head a, int heads) {
  const int Tp = q.Tp, tiles = (Tp + kKeys - 1) / kKeys, K = a.K;
  const size_t tile = (size_t)kKeys * a.KP, wide = (size_t)K * kQueries;
  float* keys = thread_scratch(2 * tiles * (tile + sizeof(Rows) / 4) + 2 * wide + (kKeys + 2) * kQueries);
  float *values = keys + tiles * tile, *qs = values + tiles * tile, *acc = qs + wide, *S = acc + wide;
  float *best = S + kKeys * kQueries, *total = best + kQueries;
  Rows *key_rows = (Rows*)(total + kQueries), *value_rows = key_rows + tiles;
  head_token_major(k, a, keys);
  for (int s = 0; s < tiles; s++) {
    const int n = Tp - s * kKeys < kKeys ? Tp - s * kKeys : kKeys;
    gather(v, a, s * kKeys, kKeys, 1.f, values + s * tile, kKeys);
    find_rows(keys + s * tile, a.KP, n, a.KP, key_rows + s);
    find_rows(values + s * tile, kKeys, K, kKeys, value_rows + s);
  }
  const Head next = head_after(q, heads, a);
  const View inputs[] = {q, k, v};
  for (int t0 = 0; t0 < Tp; t0 += kQueries) {
    const int end = Tp - t0 < kQueries ? Tp : t0 + kQueries;
    gather(q, a, t0, kQueries, kLog2e / sqrtf((float)K), qs, kQueries);
    for (int i = 0; i < kQueries; i++) {
      best[i] = sink ? sink[a.h] * kLog2e : kNever;
      total[i] = sink ? 1.f : 0.f;
    }
    for (size_t i = 0; i < wide; i += VL) store(acc + i, all(0.f));
    for (int s = 0; s * kKeys < end; s++) {
      const int j0 = s * kKeys, i0 = j0 > t0 ? j0 - t0 : 0;  // queries before i0 come before all the keys
      if (end == Tp)
        for (const View& x : inputs)
          for (int t = j0; t < j0 + kKeys && t < Tp; t += 16) prefetch(x, next, t);
      const KeyTile t = {Tp - j0 < kKeys ? Tp - j0 : kKeys, j0 - t0 - i0, keys + s * tile, values + s * tile,
                         key_rows + s, value_rows + s};
#define CALL(nv) attend_tile<nv>(a, t, qs + i0, S, best + i0, total + i0, acc + i0)
      BY_VECTORS((end - t0 - i0) / VL, CALL)
#undef CALL
    }
    for (int i = 0; i < end - t0; i += VL) {
      const int token = q.token(a.b, t0 + i);
      const vf sum = load(total + i), inverse = 1.f / sum;
      for (int d = 0; d < K; d++) store(out.at(token, a.first + d), load(acc + d * kQueries + i) * inverse);
      store(lse.at(token, a.h), load(best + i) * kLn2 + vlog(sum));
    }
  }
}
}  // namespace ISA_NS
