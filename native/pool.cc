#include "pool.h"
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace {
struct Pool {
  std::vector<std::thread> workers;
  std::mutex mutex;
  std::condition_variable wake, idle;
  PoolFn fn = nullptr;
  void* context = nullptr;
  int items = 0;
  std::atomic<int> next{0};
  int running = 0;
  unsigned round = 0;
  bool stop = false;

  void drain() {
    for (int i; (i = next.fetch_add(1, std::memory_order_relaxed)) < items;) fn(context, i);
  }
  void worker() {
    unsigned seen = 0;
    std::unique_lock<std::mutex> lock(mutex);
    for (;;) {
      wake.wait(lock, [&] { return stop || round != seen; });
      if (stop) return;
      seen = round;
      lock.unlock();
      drain();
      lock.lock();
      if (--running == 0) idle.notify_one();
    }
  }
};
Pool* pool = nullptr;
std::mutex callers;  // worker threads of one process share the pool: one call at a time
}  // namespace

static void stop_workers() {
  if (!pool) return;
  {
    std::lock_guard<std::mutex> lock(pool->mutex);
    pool->stop = true;
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
  for (int i = 1; i < threads; i++) pool->workers.emplace_back([] { pool->worker(); });
}

void pool_stop() {
  std::lock_guard<std::mutex> only(callers);
  stop_workers();
}

int pool_threads() { return pool ? (int)pool->workers.size() + 1 : 1; }

void pool_run(int items, PoolFn fn, void* context) {
  if (items <= 0) return;
  std::lock_guard<std::mutex> only(callers);
  if (!pool || pool->workers.empty() || items == 1) {
    for (int i = 0; i < items; i++) fn(context, i);
    return;
  }
  {
    std::lock_guard<std::mutex> lock(pool->mutex);
    pool->fn = fn;
    pool->context = context;
    pool->items = items;
    pool->next.store(0, std::memory_order_relaxed);
    pool->running = (int)pool->workers.size();
    pool->round++;
  }
  pool->wake.notify_all();
  pool->drain();
  std::unique_lock<std::mutex> lock(pool->mutex);
  pool->idle.wait(lock, [] { return pool->running == 0; });
}
