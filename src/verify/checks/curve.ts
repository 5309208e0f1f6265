/** How fast does performance grow with the size of the circuit? */
import { attributionOrders } from "../../prune/attribution.ts";
import { without } from "../../prune/kept.ts";
import { above, below, type Check, faithfulness, notApplicable, share, worst } from "../check.ts";
import type { Lab } from "../lab.ts";
import { ON_FEW_PAIRS } from "../lab.ts";

/** Shares of the model's edges, as MIB has them. */
const SHARES = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1];
const STEPS = 5;
const CPR = [0.9, 0.7] as const;
const LOWEST = [0.7, 0.4] as const;
const CMD = [0.1, 0.3] as const;

export const curve: Check = {
  name: "curve",
  question: "Is a small share of the edges enough, and do more edges not spoil it?",
  definition:
    "Faithfulness f(k) by task loss of circuits with a share k of the model's edges: the circuit's nodes by their effect when left " +
    `out, then all others by integrated gradients of ${STEPS} steps. CPR is the area under f, CMD that between f and 1, by trapezoids ` +
    `over k = ${SHARES.join(", ")}.` +
    ` On ${ON_FEW_PAIRS}.`,
  threshold:
    `Passes with CPR at least ${CPR[0]}, CMD at most ${CMD[0]}, and faithfulness never below ${LOWEST[0]} once all of the circuit is there; weak ` +
    `down to ${CPR[1]}, up to ${CMD[1]}, and down to ${LOWEST[1]}. The areas hardly see small circuits; a curve that dips has nodes that only work ` +
    "as long as others are ablated. A model that is no better than with every node ablated has no curve.",
  source: "Mueller et al. 2025 (MIB), CPR and CMD over edges; they take logit differences, here it is the task loss",
  praise: "its curve is full",
  searches: false,
  async run(lab) {
    const { wiring } = lab.subject;
    const empty = lab.without([...lab.nodes, ...lab.outside], lab.few).loss;
    const full = lab.without([], lab.few).loss;
    if (faithfulness(-full, -empty, -full) === null) {
      const reason = "the model is no better than with every node ablated";
      return notApplicable(reason);
    }
    const order = await ranked(lab);
    const points = [{ x: 0, y: 0 }];
    for (const [i, part] of SHARES.entries()) {
      await lab.breathe(i, SHARES.length);
      const kept = firstWithEdges(order, part * wiring.sources.length, (mask) => wiring.countEdges(mask));
      const { loss } = lab.score(kept, lab.few);
      points.push({ x: part, y: faithfulness(-loss, -empty, -full)! });
    }
    const area = (of: (y: number) => number): number =>
      points.slice(1).reduce((sum, { x, y }, i) => sum + ((x - points[i]!.x) * (of(y) + of(points[i]!.y))) / 2, 0);
    const cpr = area((y) => y);
    const cmd = area((y) => Math.abs(1 - y));
    const whole = lab.edges.length / wiring.sources.length;
    const lowest = Math.min(...points.filter(({ x }) => x >= whole).map(({ y }) => y));
    return {
      verdict: worst(above(cpr, ...CPR), below(cmd, ...CMD), above(lowest, ...LOWEST)),
      brief:
        lowest < LOWEST[0] ? `faithfulness down to ${share(lowest)}` : `CPR ${cpr.toFixed(2)}, CMD ${cmd.toFixed(2)}`,
      reason: `CPR ${cpr.toFixed(3)}, CMD ${cmd.toFixed(3)}; lowest faithfulness of circuits with all of this one ${share(lowest)}`,
      figures: [
        { name: "CPR", value: cpr },
        { name: "CMD", value: cmd },
        { name: "lowest faithfulness", value: lowest },
      ],
      plots: [
        {
          title: "Faithfulness by share of edges",
          x: { label: "share of the model's edges", log: true },
          y: { label: "faithfulness" },
          level: 1,
          series: [{ name: "circuits of this size", points: points.slice(1) }],
        },
      ],
    };
  },
};

/** All nodes, the circuit's first. */
async function ranked(lab: Lab): Promise<number[]> {
  const { kept } = lab.subject.circuit;
  const { signal } = lab.options;
  const effect = new Map(lab.nodes.map((n) => [n, lab.pruned(lab.few).score({ kept: without(kept, [n]) }).loss]));
  const own = [...lab.nodes].sort((a, b) => effect.get(b)! - effect.get(a)! || a - b);
  const [order] = await attributionOrders(lab.ablated, lab.few, [STEPS], { signal });
  await lab.breathe();
  return [...own, ...Array.from(order!).filter((n) => !kept[n])];
}

/** The fewest nodes from the front that have so many edges among them; all when there are not so many. */
function firstWithEdges(order: readonly number[], edges: number, count: (kept: Uint8Array) => number): Uint8Array {
  const first = (length: number): Uint8Array => {
    const kept = new Uint8Array(order.length);
    for (const n of order.slice(0, length)) kept[n] = 1;
    return kept;
  };
  let [lo, hi] = [0, order.length];
  while (lo < hi) {
    const middle = (lo + hi) >> 1;
    if (count(first(middle)) >= edges) hi = middle;
    else lo = middle + 1;
  }
  return first(lo);
}
