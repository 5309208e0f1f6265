#include "queue.h"
#include <stdint.h>
#include <string.h>
#include <vector>
#include "memory.h"
#include "pool.h"

namespace {
struct Op {
  BlockFn fn;
  alignas(16) uint8_t closure[kClosure];
};
struct Sums {
  const float* rows;
  int count, width;
  float* grad;
};
void add(const Sums& s) {
  for (int r = 0; r < s.count; r++)
    for (int c = 0; c < s.width; c++) s.grad[c] += s.rows[(size_t)r * s.width + c];
}
struct Queue {
  std::vector<Op> ops;
  std::vector<Sums> sums;
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
        for (Op& op : *(std::vector<Op>*)ops) op.fn(op.closure, block);
      },
      &q.ops);
  q.ops.clear();
  for (const Sums& s : q.sums) add(s);
  q.sums.clear();
}

void queue_sums(const float* rows, int count, int width, float* grad) {
  const Sums s{rows, count, width, grad};
  if (queue.ops.empty()) return add(s);  // they have run
  queue.sums.push_back(s);
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
