/** Does the model fail without the circuit's edges? */
import type { Wiring } from "../../circuits/wiring.ts";
import { mean } from "../../util/statistics.ts";
import { type Check, nats, notApplicable } from "../check.ts";
import { ON_FEW_PAIRS } from "../lab.ts";
import { CHANCE, needed, RISE } from "../needed.ts";

export const weightNecessity: Check = {
  name: "weight necessity",
  question: "Does the full model fail without the circuit's edges?",
  definition:
    "Task loss of the full model when the circuit's edges carry only what their ablated source would send; the same for as many " +
    "random edges of the same matrices, and for the edges outside the circuit that come nearest to its own in magnitude." +
    ` On ${ON_FEW_PAIRS}.`,
  threshold:
    `Passes when the loss without the edges is at least ${CHANCE.pass} ln 2 while without random ones and without those of like ` +
    `magnitude it rises by less than ${RISE.pass}; weak from ${CHANCE.weak} ln 2, or when the others cost up to ${RISE.weak}. Fails when ` +
    `the model's own loss is ${CHANCE.weak} ln 2 or more.`,
  source: "Gao et al. 2025, section 3.1, for edges",
  praise: "its edges are necessary",
  searches: false,
  async run(lab) {
    const { edges } = lab;
    const { wiring } = lab.subject;
    if (edges.length === 0) return notApplicable("the circuit has no edges");
    const evaluator = lab.ablated.evaluator(lab.few);
    const all = new Uint8Array(wiring.nodes).fill(1);
    const without = (removed: readonly number[]) => evaluator.score(all, new Set(removed));
    const base = without([]).loss;
    await lab.breathe(0, 3);
    const own = without(edges);
    await lab.breathe(1, 3);
    const others = othersByMatrix(lab.edges, wiring);
    const losses: number[] = [];
    const draws = lab.draws(5, 20);
    for (let draw = 0; draw < draws; draw++) {
      await lab.breathe(1 + draw / draws, 3);
      const rng = lab.rng("weights", draw);
      losses.push(without([...others].flatMap(([key, list]) => rng.sample(list, countOf(edges, key, wiring)))).loss);
    }
    const alike = without(nearestByWeight(edges, others, wiring)).loss - base;
    const random = mean(losses) - base;
    const rise = Math.max(random, alike);
    const { verdict, brief } = needed({ full: base, without: own.loss, rise }, "its edges", "other edges");
    return {
      verdict,
      brief,
      reason:
        `without its edges task loss ${nats(own.loss)} (chance ${nats(Math.LN2)}, with them ${nats(base)}); without as many random ones ` +
        `${nats(base + random)}, without others of like magnitude ${nats(base + alike)}`,
      figures: [
        lab.loss("task loss without the circuit's edges", own),
        { name: "the same, as a share of ln 2", value: own.loss / Math.LN2 },
        { name: "rise of the loss without random edges, mean", value: random, unit: "nats" },
        { name: "rise of the loss without random edges, worst", value: Math.max(...losses) - base, unit: "nats" },
        { name: "rise of the loss without edges of like magnitude", value: alike, unit: "nats" },
      ],
    };
  },
};

/** Edges outside the circuit by their matrix. */
function othersByMatrix(edges: readonly number[], wiring: Wiring): Map<number, number[]> {
  const own = new Set(edges);
  const matrices = new Map<number, number[]>(edges.map((e) => [wiring.matrixOf(e), []]));
  for (let e = 0; e < wiring.sources.length; e++) if (!own.has(e)) matrices.get(wiring.matrixOf(e))?.push(e);
  return matrices;
}

function countOf(edges: readonly number[], matrix: number, wiring: Wiring): number {
  return edges.filter((e) => wiring.matrixOf(e) === matrix).length;
}

/** For each edge the unused one of its matrix whose weight is nearest to its own in magnitude. */
function nearestByWeight(
  edges: readonly number[],
  others: ReadonlyMap<number, readonly number[]>,
  wiring: Wiring,
): number[] {
  const used = new Set<number>();
  for (const e of edges) {
    const distance = (o: number): number => Math.abs(Math.abs(wiring.weights[o]!) - Math.abs(wiring.weights[e]!));
    let best: number | undefined;
    for (const o of others.get(wiring.matrixOf(e)) ?? []) {
      if (!used.has(o) && (best === undefined || distance(o) < distance(best))) best = o;
    }
    if (best !== undefined) used.add(best);
  }
  return [...used];
}
