#include "activations.h"
#include <math.h>
#include <string.h>

void write(View x, Floats values) {
  for (int b = 0; b < x.blocks; b++)
    for (int c = 0; c < x.W; c++) memset(x.block(b) + (size_t)c * kBlock, 0, kBlock * 4);
  const float* in = values.data;
  for (int b = 0; b < x.B; b++)
    for (int t = 0; t < x.T; t++) {
      float* o = x.at(x.token(b, t), 0);
      for (int c = 0; c < x.W; c++) o[(size_t)c * kBlock] = *in++;
    }
}

void read(View x, Floats out) {
  float* o = out.data;
  for (int b = 0; b < x.B; b++)
    for (int t = 0; t < x.T; t++) {
      const float* in = x.at(x.token(b, t), 0);
      for (int c = 0; c < x.W; c++) *o++ = in[(size_t)c * kBlock];
    }
}

void read_kept(const KeptSet& s, Ints out) {
  auto* o = (uint8_t*)out.data;
  for (int b = 0; b < s.B; b++)
    for (int t = 0; t < s.T; t++) {
      const int n = b * s.Tp + t;
      for (int c = 0; c < s.W; c++) *o++ = s.bits[(size_t)(n / kBlock) * s.W + c] >> (n % kBlock) & 1;
    }
}

// Padding stays zero: it must never carry a gradient.
void fill(View x, double value) {
  for (int b = 0; b < x.blocks; b++)
    for (int c = 0; c < x.W; c++) memset(x.block(b) + (size_t)c * kBlock, 0, kBlock * 4);
  if (value == 0) return;
  for (int b = 0; b < x.B; b++)
    for (int t = 0; t < x.T; t++)
      for (int c = 0; c < x.W; c++) *x.at(x.token(b, t), c) = (float)value;
}

void gather_tokens(View x, Ints index, View out) {
  for (int b = 0; b < out.blocks; b++)
    for (int c = 0; c < out.W; c++) memset(out.block(b) + (size_t)c * kBlock, 0, kBlock * 4);
  for (size_t p = 0; p < index.length; p++) {
    const int n = x.token(index.data[p] / x.T, index.data[p] % x.T);
    for (int c = 0; c < x.W; c++) *out.at((int)p, c) = *x.at(n, c);
  }
}

void gather_tokens_backward(View dout, Ints index, View dx) {
  for (size_t p = 0; p < index.length; p++) {
    const int n = dx.token(index.data[p] / dx.T, index.data[p] % dx.T);
    for (int c = 0; c < dx.W; c++) *dx.at(n, c) += *dout.at((int)p, c);
  }
}

void pair_loss(View logits, Ints right, Ints wrong, View dlogits, Floats losses) {
  const int P = (int)right.length;
  if (dlogits.data) fill(dlogits, 0);
  for (int p = 0; p < P; p++) {
    const float z = *logits.at(p, wrong.data[p]) - *logits.at(p, right.data[p]);
    losses.data[p] = z > 0 ? z + log1pf(expf(-z)) : log1pf(expf(z));
    if (!dlogits.data) continue;
    const float g = 1.f / (1.f + expf(-z)) / P;  // d mean / dz
    *dlogits.at(p, wrong.data[p]) += g;
    *dlogits.at(p, right.data[p]) -= g;
  }
}
