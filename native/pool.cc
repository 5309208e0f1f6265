// One round of work is a ticket: its number in the high half, the next item in the low half. Threads take items by
// compare-and-swap, so a thread that wakes late, or was preempted between two rounds, can never take an item of a round
// whose function it does not know; and the caller waits for items to finish, not for threads to wake up.
#include "pool.h"
#include <pthread.h>
#include <stdint.h>
#include <time.h>
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#if defined(__x86_64__)
#include <immintrin.h>
#endif
#if defined(__linux__)
#include <sys/resource.h>
#endif

namespace {
constexpr uint64_t kClosed = 0x7fffffff;  // more than any number of items
// Rounds follow each other within microseconds, and a sleeping thread takes about 50 to wake up: so it looks for the next
// one this often (about 300 microseconds) before it sleeps. Who waits for the end of a round looks about 20: the thread
// it waits for may need the core.
constexpr int kLooksForWork = 9000, kLooksForEnd = 600;
// A thread that lost its core in the middle of an item keeps everybody waiting. When more than a tenth of the time goes by
// like that, and a few times, the caller works alone for a while: on a busy machine a step takes hardly longer than on one
// thread. Nanoseconds.
constexpr int64_t kLong = 300000, kMost = 3000000, kTooMuch = 10000000, kAlone = 300000000;

void relax() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

int64_t now() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * (int64_t)1000000000 + t.tv_nsec;
}

// How often this thread lost its core to another.
long preemptions() {
#if defined(RUSAGE_THREAD)
  rusage usage;
  return getrusage(RUSAGE_THREAD, &usage) == 0 ? usage.ru_nivcsw : 0;
#else
  return 0;
#endif
}

thread_local int index_of_thread = 0, threads_of_caller = 1;

struct Pool {
  int workers = 0;
  std::mutex mutex;
  std::condition_variable wake, idle;
  PoolFn fn = nullptr;
  void* context = nullptr;
  std::atomic<int> threads{1};  // of this round
  std::atomic<uint32_t> items{0}, done{0};
  std::atomic<uint64_t> ticket{kClosed};
  std::atomic<int> sleeping{0};
  std::atomic<bool> preempted{false};
  int64_t lost = 0, lost_at = 0, alone_until = 0;

  uint32_t round() const { return (uint32_t)(ticket.load() >> 32); }

  void run(uint32_t item) {
    if (index_of_thread == 0) return fn(context, (int)item);
    thread_local long known = 0;
    const int64_t start = now();
    fn(context, (int)item);
    if (now() - start < kLong) return;
    const long lost = preemptions();
    if (lost != known) preempted.store(true);
    known = lost;
  }
  void drain(uint32_t mine) {
    for (;;) {
      uint64_t t = ticket.load();
      const uint32_t item = (uint32_t)t;
      if ((uint32_t)(t >> 32) != mine || item >= items.load()) return;
      if (!ticket.compare_exchange_weak(t, t + 1)) continue;
      // The round cannot end before this item is done, so these belong to it.
      const uint32_t all = items.load();
      run(item);
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
      while (round() == seen && looks++ < kLooksForWork) relax();
      if (round() == seen) {
        std::unique_lock<std::mutex> lock(mutex);
        sleeping++;
        wake.wait(lock, [&] { return round() != seen; });
        sleeping--;
      }
      seen = round();
      if (index_of_thread < threads.load()) drain(seen);
    }
  }
  void grow(int wanted);
};
// Never destroyed: its threads live as long as the process, and find it whenever they wake up.
Pool& pool = *new Pool();

// Where the system allows no more threads, fewer do the same work.
void Pool::grow(int wanted) {
  for (; workers + 1 < wanted; workers++) {
    pthread_t thread;
    auto main = [](void* index) -> void* {
      index_of_thread = (int)(intptr_t)index;
      pool.worker();
      return nullptr;
    };
    if (pthread_create(&thread, nullptr, main, (void*)(intptr_t)(workers + 1)) != 0) return;
    pthread_detach(thread);
  }
}

std::mutex callers;  // one round at a time
}  // namespace

void pool_use(int threads) { threads_of_caller = threads; }

int pool_thread() { return index_of_thread; }

int pool_threads() { return index_of_thread > 0 ? pool.threads.load() : threads_of_caller; }

void pool_run(int items, PoolFn fn, void* context) {
  if (items <= 0) return;
  const int threads = threads_of_caller;
  auto alone = [&] {
    for (int i = 0; i < items; i++) fn(context, i);
  };
  if (threads <= 1 || items == 1) return alone();
  std::lock_guard<std::mutex> only(callers);
  if (pool.alone_until) {
    if (now() < pool.alone_until) return alone();
    pool.alone_until = 0;
    pool.preempted.store(false);
  }
  pool.grow(threads);
  const uint32_t round = pool.round() + 1;
  pool.fn = fn;
  pool.context = context;
  pool.done.store(0);
  pool.items.store((uint32_t)items);
  pool.threads.store(threads);
  pool.ticket.store((uint64_t)round << 32);
  if (pool.sleeping.load() > 0) {
    { std::lock_guard<std::mutex> lock(pool.mutex); }
    pool.wake.notify_all();
  }
  pool.drain(round);
  int looks = 0;
  while (pool.done.load() != (uint32_t)items && looks++ < kLooksForEnd) relax();
  if (pool.done.load() != (uint32_t)items) {
    const int64_t start = now();
    std::unique_lock<std::mutex> lock(pool.mutex);
    pool.idle.wait(lock, [&] { return pool.done.load() == (uint32_t)items; });
    const int64_t waited = now() - start;
    if (waited > kLong && pool.preempted.exchange(false)) {
      pool.lost = std::max<int64_t>(0, pool.lost - (start - pool.lost_at) / 10) + std::min(waited, kMost);
      pool.lost_at = start + waited;
      if (pool.lost > kTooMuch) pool.alone_until = pool.lost_at + kAlone;
    }
  }
  pool.ticket.store(((uint64_t)round << 32) | kClosed);
}
