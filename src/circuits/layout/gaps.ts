/**
 * Which gap between the lines of the residual channels each node of a row goes to. Gap g is left of column g; the last
 * gap is right of all columns. Nodes keep their order.
 */

export interface Unit {
  readonly width: number;
  /** Column rank where the node would stand best. */
  readonly rank: number;
}

/** Price, in pixels of figure width, of standing one column off. */
const COLUMN_OFF = 14;
/** A gap grows at 1 pixel a pixel when it is this wide, so that wide rows spread over several gaps. */
const EASY_WIDTH = 120;

/**
 * Gap of each unit, never descending, by dynamic programming: least sum of displacement and growth of the gaps beyond
 * the widths they already have.
 */
export function assignGaps(units: readonly Unit[], gapWidths: readonly number[]): number[] {
  const [n, gaps] = [units.length, gapWidths.length];
  const growth = (gap: number, need: number): number => {
    const has = gapWidths[gap]!;
    return need <= has ? 0 : (need * need - has * has) / (2 * EASY_WIDTH);
  };
  // best[i] = least cost of the first i units in the gaps so far; start[gap][i] = first unit in that gap.
  let best: number[] = new Array(n + 1).fill(Number.POSITIVE_INFINITY);
  best[0] = 0;
  const start: number[][] = [];
  for (let gap = 0; gap < gaps; gap++) {
    const next: number[] = [];
    const from: number[] = [];
    for (let i = 0; i <= n; i++) {
      let [lowest, first] = [best[i]!, i];
      let [need, off] = [0, 0];
      for (let j = i - 1; j >= 0; j--) {
        const unit = units[j]!;
        need += unit.width;
        off += COLUMN_OFF * Math.max(0, Math.abs(gap - 0.5 - unit.rank) - 0.5);
        const cost = best[j]! + off + growth(gap, need);
        if (cost < lowest) [lowest, first] = [cost, j];
      }
      next.push(lowest);
      from.push(first);
    }
    best = next;
    start.push(from);
  }
  const result: number[] = new Array(n).fill(0);
  let end = n;
  for (let gap = gaps - 1; gap >= 0; gap--) {
    const first = start[gap]![end]!;
    for (let j = first; j < end; j++) result[j] = gap;
    end = first;
  }
  return result;
}
