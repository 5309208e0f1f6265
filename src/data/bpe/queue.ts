/** A binary heap of (count, pair): the largest count first, and of equal ones the smallest pair. */

export class MergeQueue {
  private readonly counts: number[] = [];
  private readonly pairs: number[] = [];

  push(count: number, pair: number): void {
    const { counts, pairs } = this;
    let at = counts.length;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(count, pair, counts[parent]!, pairs[parent]!)) break;
      counts[at] = counts[parent]!;
      pairs[at] = pairs[parent]!;
      at = parent;
    }
    counts[at] = count;
    pairs[at] = pair;
  }

  pop(): readonly [count: number, pair: number] | undefined {
    const { counts, pairs } = this;
    if (counts.length === 0) return undefined;
    const top = [counts[0]!, pairs[0]!] as const;
    const count = counts.pop()!;
    const pair = pairs.pop()!;
    const length = counts.length;
    if (length === 0) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= length) break;
      if (child + 1 < length && before(counts[child + 1]!, pairs[child + 1]!, counts[child]!, pairs[child]!)) child++;
      if (!before(counts[child]!, pairs[child]!, count, pair)) break;
      counts[at] = counts[child]!;
      pairs[at] = pairs[child]!;
      at = child;
    }
    counts[at] = count;
    pairs[at] = pair;
    return top;
  }
}

function before(count: number, pair: number, otherCount: number, otherPair: number): boolean {
  return count > otherCount || (count === otherCount && pair < otherPair);
}
