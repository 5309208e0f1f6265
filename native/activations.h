// Activations entry by entry: from and to the caller's row-major arrays, and the ops on single tokens, too small for
// vectors and threads.
#pragma once
#include "layout.h"

struct Ints {
  const int* data;
  size_t length;
};
struct Floats {
  float* data;
  size_t length;
};

void write(View x, Floats values);
void read(View x, Floats out);
// 1 where kept
void read_kept(const KeptSet& s, Ints out);
void fill(View x, double value);
// out[p] = x[index[p]]
void gather_tokens(View x, Ints index, View out);
void gather_tokens_backward(View dout, Ints index, View dx);
// losses[p] = log(1 + exp(wrong - right)); dlogits, where wanted, of their mean
void pair_loss(View logits, Ints right, Ints wrong, View dlogits, Floats losses);
