/** What the full model loses at a task without single nodes: it cannot do without some of them, and with chance without few. */
import type { SiteSpec } from "../model/sites.ts";
import type { Evaluator } from "./evaluator.ts";

/** Nodes that are left out together at first. */
const GROUP = 32;
/** Nats: a group that costs less is not divided further. */
const LEAST = 2e-3;
/** Nodes outside that are drawn at most. */
const MOST = 50;

export class NodeCosts {
  private readonly specs: readonly SiteSpec[];
  private readonly costs: Float64Array;
  /** Nodes that were measured alone, the dearest first, and what they cost. */
  readonly dearest: readonly (readonly [node: number, nats: number])[];

  /** Left out are the nodes of a group, then those of its halves, and so on where it costs something. */
  constructor(model: Evaluator, specs: readonly SiteSpec[]) {
    this.specs = specs;
    const nodes = specs.reduce((sum, { width }) => sum + width, 0);
    this.costs = new Float64Array(nodes);
    const all = new Uint8Array(nodes).fill(1);
    const full = model.score(all).loss;
    const single: number[] = [];
    const measure = (from: number, to: number): void => {
      const cost = Math.max(0, model.score(all.slice().fill(0, from, to)).loss - full);
      if (cost >= LEAST && to - from > 1) {
        const middle = (from + to) >> 1;
        measure(from, middle);
        measure(middle, to);
        return;
      }
      this.costs.fill(cost / (to - from), from, to);
      if (cost >= LEAST) single.push(from);
    };
    for (const { offset, width } of specs) {
      for (let at = offset; at < offset + width; at += GROUP) measure(at, Math.min(at + GROUP, offset + width));
    }
    this.dearest = single.map((n) => [n, this.costs[n]!] as const).sort((a, b) => b[1] - a[1] || a[0] - b[0]);
  }

  /** Nodes that cost at least so many nats alone, one byte each. */
  above(least: number): Uint8Array {
    return Uint8Array.from(this.costs, (cost) => (cost >= least ? 1 : 0));
  }

  /**
   * Nats that as many random nodes of the same sites outside of a circuit are expected to cost, if costs add up; of a larger
   * circuit as if it had `MOST` nodes, since a search that begins with hundreds is to end with tens.
   */
  outside(kept: Uint8Array): number {
    let sum = 0;
    let total = 0;
    for (const { offset, width } of this.specs) {
      const { count, rate } = this.odds(kept, offset, width);
      total += count;
      for (let n = offset; n < offset + width; n++) if (!kept[n]) sum += rate * this.costs[n]!;
    }
    return sum * Math.min(1, MOST / total);
  }

  /** A circuit with those of the others that are worth most to it, as many as it takes for the rest to cost no more than so much. */
  completed(kept: Uint8Array, most: number): Uint8Array {
    const out = kept.slice();
    const rest = new Set(this.dearest.map(([n]) => n).filter((n) => !kept[n]));
    while (rest.size > 0 && this.outside(out) > most) {
      const worth = new Map(
        this.specs.flatMap(({ offset, width }) => {
          const { rate } = this.odds(out, offset, width);
          const inSite = [...rest].filter((n) => n >= offset && n < offset + width);
          return inSite.map((n) => [n, rate * this.costs[n]!] as const);
        }),
      );
      const [first] = [...worth].reduce((a, b) => (b[1] > a[1] ? b : a));
      rest.delete(first);
      out[first] = 1;
    }
    return out;
  }

  /** How many nodes of a site are kept, and the chance of each of the others to be among as many that are drawn. */
  private odds(kept: Uint8Array, offset: number, width: number): { count: number; rate: number } {
    const count = kept.subarray(offset, offset + width).reduce((sum, k) => sum + k, 0);
    return { count, rate: count < width ? Math.min(1, count / (width - count)) : 0 };
  }
}
