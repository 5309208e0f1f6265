// A small thread pool. Threads sleep when there is nothing to do: they look for work for some microseconds only, so that a
// busy machine loses nothing. Results must not depend on which thread ran which item.
#pragma once
typedef void (*PoolFn)(void* context, int item);
void pool_start(int threads);
void pool_stop();
int pool_threads();
// Which of them this is: 0 is the caller.
int pool_thread();
// Runs fn(context, 0..items-1) and returns when all are done.
void pool_run(int items, PoolFn fn, void* context);
