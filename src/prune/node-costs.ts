/** What the full model loses at a task without single nodes: it cannot do without some of them, and with chance without few. */
import type { SiteSpec } from "../model/sites.ts";
import type { Evaluator } from "./evaluator.ts";

/** Nodes that are left out together at first. */
const GROUP = 32;
/** Nats: a group that costs less is not divided further. */
const LEAST = 2e-3;
/** Nodes outside that are drawn at most. */
const MOST = 50;

/** Measures them, and pauses after every pass of the model: left out are the nodes of a group, then of its halves where it costs something. */
export function* measureCosts(
  model: Evaluator,
  specs: readonly SiteSpec[],
): Generator<undefined, NodeCosts, undefined> {
  const nodes = specs.reduce((sum, { width }) => sum + width, 0);
  const costs = new Float64Array(nodes);
  const all = new Uint8Array(nodes).fill(1);
  const full = model.score(all).loss;
  const single: number[] = [];
  const groups = specs.flatMap(({ offset, width }) =>
    Array.from({ length: Math.ceil(width / GROUP) }, (_, i) => {
      const from = offset + i * GROUP;
      return { from, to: Math.min(from + GROUP, offset + width) };
    }),
  );
  for (let group = groups.pop(); group; group = groups.pop()) {
    const { from, to } = group;
    yield;
    const cost = Math.max(0, model.score(all.slice().fill(0, from, to)).loss - full);
    if (cost >= LEAST && to - from > 1) {
      const middle = (from + to) >> 1;
      groups.push({ from, to: middle }, { from: middle, to });
      continue;
    }
    costs.fill(cost / (to - from), from, to);
    if (cost >= LEAST) single.push(from);
  }
  return new NodeCosts(specs, costs, single);
}

export class NodeCosts {
  private readonly specs: readonly SiteSpec[];
  private readonly costs: Float64Array;
  /** Nodes that were measured alone, the dearest first, and what they cost. */
  readonly dearest: readonly (readonly [node: number, nats: number])[];

  /** `costs`: nats of each node; `single`: those that were measured alone. */
  constructor(specs: readonly SiteSpec[], costs: Float64Array, single: readonly number[]) {
    this.specs = specs;
    this.costs = costs;
    this.dearest = single.map((n) => [n, costs[n]!] as const).sort((a, b) => b[1] - a[1] || a[0] - b[0]);
  }

  /** Measured without a pause. */
  static of(model: Evaluator, specs: readonly SiteSpec[]): NodeCosts {
    const measuring = measureCosts(model, specs);
    for (;;) {
      const { done, value } = measuring.next();
      if (done) return value;
    }
  }

  /** Nodes that cost at least so many nats alone, one byte each. */
  above(least: number): Uint8Array {
    return Uint8Array.from(this.costs, (cost) => (cost >= least ? 1 : 0));
  }

  /**
   * Nats that as many random nodes of the same sites outside of a circuit are expected to cost, if costs add up. Of a circuit
   * with more than `MOST` nodes, that many of them: a search that begins with hundreds could not begin otherwise.
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
