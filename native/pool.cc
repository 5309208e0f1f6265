// One round of work is a ticket: its number in the high half, the next item in the low half. Threads take items by
// compare-and-swap, so a thread that wakes late, or was preempted between two rounds, can never take an item of a round
// whose function it does not know; and the caller waits for items to finish, not for threads to wake up.
#include "pool.h"
#include <stdint.h>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {
constexpr uint64_t kClosed = 0x7fffffff;  // more than any number of items
// Rounds follow each other within microseconds, so a thread looks this often (about 20 microseconds) before it sleeps.
constexpr int kLooks = 600;

void relax() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

struct Pool {
  std::vector<std::thread> workers;
  std::mutex mutex;
  std::condition_variable wake, idle;
  PoolFn fn = nullptr;
  void* context = nullptr;
  std::atomic<uint32_t> items{0}, done{0};
  std::atomic<uint64_t> ticket{kClosed};
  std::atomic<int> sleeping{0};
  std::atomic<bool> stop{false};

  uint32_t round() const { return (uint32_t)(ticket.load() >> 32); }

  void drain(uint32_t mine) {
    for (;;) {
      uint64_t t = ticket.load();
      const uint32_t item = (uint32_t)t;
      if ((uint32_t)(t >> 32) != mine || item >= items.load()) return;
      if (!ticket.compare_exchange_weak(t, t + 1)) continue;
      // The round cannot end before this item is done, so these belong to it.
      const uint32_t all = items.load();
      fn(context, (int)item);
      if (done.fetch_add(1) + 1 == all) {
        { std::lock_guard<std::mutex> lock(mutex); }
        idle.notify_one();
      }
    }
  }
  void worker() {
    uint32_t seen = 0;
    for (;;) {
      int looks = 0;
      while (round() == seen && looks++ < kLooks) relax();
      if (round() == seen) {
        std::unique_lock<std::mutex> lock(mutex);
        sleeping++;
        wake.wait(lock, [&] { return stop.load() || round() != seen; });
        sleeping--;
      }
      if (stop.load()) return;
      seen = round();
      drain(seen);
    }
  }
};
Pool* pool = nullptr;
thread_local int index_of_thread = 0;
std::mutex callers;  // worker threads of one process share the pool: one call at a time
}  // namespace

static void stop_workers() {
  if (!pool) return;
  {
    std::lock_guard<std::mutex> lock(pool->mutex);
    pool->stop.store(true);
    pool->ticket.store(((uint64_t)(pool->round() + 1) << 32) | kClosed);
  }
  pool->wake.notify_all();
  for (auto& t : pool->workers) t.join();
  delete pool;
  pool = nullptr;
}

void pool_start(int threads) {
  std::lock_guard<std::mutex> only(callers);
  if (pool && (int)pool->workers.size() == threads - 1) return;
  stop_workers();
  pool = new Pool();
  for (int i = 1; i < threads; i++)
    pool->workers.emplace_back([i] {
      index_of_thread = i;
      pool->worker();
    });
}

void pool_stop() {
  std::lock_guard<std::mutex> only(callers);
  stop_workers();
}

int pool_thread() { return index_of_thread; }

int pool_threads() { return pool ? (int)pool->workers.size() + 1 : 1; }

void pool_run(int items, PoolFn fn, void* context) {
  if (items <= 0) return;
  std::lock_guard<std::mutex> only(callers);
  if (!pool || pool->workers.empty() || items == 1) {
    for (int i = 0; i < items; i++) fn(context, i);
    return;
  }
  const uint32_t round = pool->round() + 1;
  pool->fn = fn;
  pool->context = context;
  pool->done.store(0);
  pool->items.store((uint32_t)items);
  pool->ticket.store((uint64_t)round << 32);
  if (pool->sleeping.load() > 0) {
    { std::lock_guard<std::mutex> lock(pool->mutex); }
    pool->wake.notify_all();
  }
  pool->drain(round);
  int looks = 0;
  while (pool->done.load() != (uint32_t)items && looks++ < kLooks) relax();
  if (pool->done.load() != (uint32_t)items) {
    std::unique_lock<std::mutex> lock(pool->mutex);
    pool->idle.wait(lock, [&] { return pool->done.load() == (uint32_t)items; });
  }
  pool->ticket.store(((uint64_t)round << 32) | kClosed);
}
