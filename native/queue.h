// Token-local work waits here. What such an op does to a block of tokens needs only that block of its operands, so ops that
// follow each other run block by block, while the block is in cache, and in one round of the pool. Order within a block is
// the order of the calls: results are the same as without waiting. Everything else flushes first.
//
// One queue for each thread that calls the addon.
#pragma once
#include <stddef.h>

typedef void (*BlockFn)(void* closure, int block);
// `closure` (trivially copyable) is copied, and shared by the threads. It may hold addresses of activations and parameters: who frees or changes one by
// other means flushes first.
constexpr size_t kClosure = 496;  // bytes, at most
void queue_local(int blocks, BlockFn fn, const void* closure, size_t bytes);
// Aligned memory that lives until the next flush, uninitialised; null when there is none. May flush to make room.
void* queue_scratch(size_t bytes);
// When the queued blocks have run: grad[c] += rows[r][c], in the order of the rows.
void queue_sums(const float* rows, int count, int width, float* grad);
void queue_flush();
// Runs every op at once, so that each can be timed.
void queue_eager(bool eager);
