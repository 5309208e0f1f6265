/** Placing boxes of given widths along a line, in order, without overlap. */

export interface Placed {
  /** Where the left edge should be. */
  readonly desired: number;
  readonly width: number;
}

/**
 * Left edges in the given order, without overlap, with the least squared displacement (isotonic regression), within
 * [low, high] where that has room; otherwise starting at `low`.
 */
export function placeInOrder(items: readonly Placed[], low: number, high: number): number[] {
  // With widths of earlier items subtracted, "no overlap" becomes "not descending".
  const total = items.reduce((sum, item) => sum + item.width, 0);
  const pools: { sum: number; count: number }[] = [];
  let before = 0;
  for (const { desired, width } of items) {
    let pool = { sum: desired - before, count: 1 };
    while (pools.length > 0 && pools[pools.length - 1]!.sum / pools[pools.length - 1]!.count > pool.sum / pool.count) {
      const last = pools.pop()!;
      pool = { sum: pool.sum + last.sum, count: pool.count + last.count };
    }
    pools.push(pool);
    before += width;
  }
  const edges: number[] = [];
  before = 0;
  for (const { sum, count } of pools) {
    const at = Math.max(low, Math.min(sum / count, high - total));
    for (let i = 0; i < count; i++) {
      edges.push(at + before);
      before += items[edges.length - 1]!.width;
    }
  }
  return edges;
}
