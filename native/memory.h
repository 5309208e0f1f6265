// Aligned, zeroed memory; null when there is none. Counted, so that the engine can say what it holds.
#pragma once
#include <stddef.h>
void* memory_take(size_t bytes);
void memory_give(void* p, size_t bytes);
size_t memory_held();

// Grow-only buffer for what does not outlive a call.
struct Scratch {
  void* data = nullptr;
  size_t bytes = 0;
  // Contents are lost when it grows.
  void* need(size_t wanted);
  ~Scratch();
};
