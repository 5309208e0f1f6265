// Work on the pool as a lambda, for code that is compiled once (kernels have their own: kernels/simd.h).
#pragma once
#include "pool.h"

template <class Body>
void parallel(int items, const Body& body) {
  pool_run(items, [](void* context, int item) { (*(const Body*)context)(item); }, (void*)&body);
}
