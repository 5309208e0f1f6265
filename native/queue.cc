#include "queue.h"
#include <stdint.h>
#include <string.h>
#include <vector>
#include "memory.h"
#include "pool.h"

namespace {
struct Op {
  BlockFn fn;
  alignas(16) uint8_t closure[496];
};
struct Queue {
  std::vector<Op> ops;
  int blocks = 0;
  bool eager = false;
  Scratch scratch;
  size_t used = 0;
  Queue() { ops.reserve(256); }
};
thread_local Queue queue;
}  // namespace

void queue_flush() {
  Queue& q = queue;
  q.used = 0;
  if (q.ops.empty()) return;
  pool_run(
      q.blocks,
      [](void* ops, int block) {
        for (const Op& op : *(const std::vector<Op>*)ops) op.fn(op.closure, block);
      },
      &q.ops);
  q.ops.clear();
}

void queue_local(int blocks, BlockFn fn, const void* closure, size_t bytes) {
  Queue& q = queue;
  if (q.blocks != blocks || q.ops.size() == q.ops.capacity()) {
    // Scratch of the op about to join must survive: only the ops before it run.
    const size_t used = q.used;
    queue_flush();
    q.used = used;
  }
  q.blocks = blocks;
  q.ops.emplace_back();
  q.ops.back().fn = fn;
  memcpy(q.ops.back().closure, closure, bytes);
  if (q.eager) queue_flush();
}

void* queue_scratch(size_t bytes) {
  Queue& q = queue;
  const size_t size = (bytes + 63) / 64 * 64;
  if (q.used + size > q.scratch.bytes) {
    queue_flush();
    if (!q.scratch.need(size > ((size_t)4 << 20) ? size : (size_t)4 << 20)) return nullptr;
  }
  void* p = (uint8_t*)q.scratch.data + q.used;
  q.used += size;
  return p;
}

void queue_eager(bool eager) { queue.eager = eager; }
