// A small thread pool, shared by all who call the addon. Threads sleep when there is nothing to do; when another program
// wants the cores, the caller works alone for a while. Results must not depend on which thread ran which item.
#pragma once
typedef void (*PoolFn)(void* context, int item);
// How many threads the rounds of this calling thread use, itself included. The pool grows to the most anybody wanted.
void pool_use(int threads);
// In a round: its threads. Else: those of the caller's next one.
int pool_threads();
// Which of them this is: 0 is the caller.
int pool_thread();
// Runs fn(context, 0..items-1) and returns when all are done.
void pool_run(int items, PoolFn fn, void* context);
