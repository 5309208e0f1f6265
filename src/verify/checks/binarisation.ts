/** Are the circuit's nodes on or off? */

import { firstPairs } from "../../prune/pair-scores.ts";
import type { Intervene } from "../../prune/pruned.ts";
import { below, type Check, type Finding, nats, notApplicable, worst } from "../check.ts";

/** Loss with every node binarised, in targets; and with one at a time, its share of nodes above the target. */
const [PASS, WEAK] = [1, 4];

interface Step {
  readonly at: number;
  readonly low: number;
  readonly high: number;
}

export const binarisation: Check = {
  name: "binarisation",
  question: "Can each node be read as on or off?",
  definition:
    "Each node is replaced by a step with two values: its values on training pairs are cut where the variance within the two parts is " +
    "least, and each part's mean stands for it. Task loss with one node replaced at a time, and with all.",
  threshold:
    `Passes when the loss with all replaced is within the target, weak within ${WEAK} targets. A graded node, such as a count, is not ` +
    "wrong, but it takes more than one word to say what it means.",
  source: "Gao et al. 2025, appendix C (binarised nodes); Otsu 1979 for the cut",
  praise: "binary",
  searches: false,
  async run(lab): Promise<Finding> {
    const { target } = lab.subject;
    if (lab.nodes.length === 0) return notApplicable("the circuit has no nodes");
    const fit = lab.pruned(firstPairs(lab.subject.pairs(lab.subject.seed).train, lab.few.rows / 2));
    const values = new Map<number, number[]>(lab.nodes.map((n) => [n, []]));
    for (const part of fit.parts) {
      for (const [n, seen] of fit.values(part)) for (const row of seen.rows) values.get(n)!.push(seen.values[row]!);
    }
    const steps = new Map([...values].map(([n, list]) => [n, stepOf(list)]));
    const pruned = lab.pruned(lab.pairs);
    const stepped =
      (nodes: readonly number[]): Intervene =>
      () =>
        new Map(
          nodes.map((n) => {
            const { at, low, high } = steps.get(n)!;
            return [n, (value: number) => (value > at ? high : low)];
          }),
        );
    const base = lab.circuit.loss;
    const rows: { node: number; rise: number }[] = [];
    for (const [i, node] of lab.nodes.entries()) {
      await lab.breathe(i, lab.nodes.length);
      rows.push({ node, rise: pruned.score({}, stepped([node])).loss - base });
    }
    const all = pruned.score({}, stepped(lab.nodes));
    const within = rows.filter(({ rise }) => base + rise <= target).length;
    return {
      verdict: worst(below(all.loss, PASS * target, WEAK * target)),
      brief: `loss ${nats(all.loss)}`,
      reason: `task loss ${nats(all.loss)} with all nodes binarised, target ${target}; ${within} of ${rows.length} nodes can be alone`,
      figures: [
        lab.loss("task loss with all nodes binarised", all),
        { name: "share of nodes that can be alone", value: within / rows.length },
        { name: "worst rise with one node", value: Math.max(...rows.map(({ rise }) => rise)), unit: "nats" },
      ],
      tables: [
        {
          title: "One node at a time",
          columns: ["node", "below", "cut", "above", "rise of the loss, nats"],
          rows: rows
            .sort((a, b) => b.rise - a.rise)
            .map(({ node, rise }) => {
              const { at, low, high } = steps.get(node)!;
              return [lab.nameOf(node), low, at, high, rise];
            }),
        },
      ],
    };
  },
};

/** The cut of values into two parts with the least variance within them. */
function stepOf(values: readonly number[]): Step {
  const sorted = Float64Array.from(values).sort();
  const n = sorted.length;
  const total = sorted.reduce((a, b) => a + b, 0);
  let best: Step = { at: sorted[0] ?? 0, low: total / Math.max(1, n), high: total / Math.max(1, n) };
  let most = 0;
  let sum = 0;
  for (let i = 0; i + 1 < n; i++) {
    sum += sorted[i]!;
    if (sorted[i] === sorted[i + 1]) continue;
    const [low, high] = [sum / (i + 1), (total - sum) / (n - i - 1)];
    const between = (i + 1) * (n - i - 1) * (high - low) ** 2;
    if (between > most) {
      most = between;
      best = { at: (sorted[i]! + sorted[i + 1]!) / 2, low, high };
    }
  }
  return best;
}
