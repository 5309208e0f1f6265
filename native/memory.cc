#include "memory.h"
#include <stdlib.h>
#include <string.h>
#include <atomic>
#ifdef __linux__
#include <sys/mman.h>
#endif

static std::atomic<size_t> held{0};

void* memory_take(size_t bytes) {
  // large arrays on huge pages: fewer misses of the translation cache
  const size_t huge = (size_t)2 << 20, align = bytes >= 2 * huge ? huge : 64;
  const size_t size = (bytes + align - 1) / align * align;
  void* p = nullptr;
  if (size == 0 || posix_memalign(&p, align, size) != 0) return nullptr;
#ifdef __linux__
  if (align == huge) madvise(p, size, MADV_HUGEPAGE);
#endif
  memset(p, 0, size);
  held += bytes;
  return p;
}

void memory_give(void* p, size_t bytes) {
  if (!p) return;
  free(p);
  held -= bytes;
}

size_t memory_held() { return held; }

void* Scratch::need(size_t wanted) {
  if (wanted > bytes) {
    memory_give(data, bytes);
    data = memory_take(wanted);
    bytes = data ? wanted : 0;
  }
  return data;
}

Scratch::~Scratch() { memory_give(data, bytes); }
