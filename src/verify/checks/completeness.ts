/** Does the circuit lose what the model loses, when parts of it are knocked out? */
import type { Table } from "../../circuits/verification.ts";
import { mean } from "../../util/statistics.ts";
import { below, type Check, notApplicable, share, worst } from "../check.ts";
import { type Lab, ON_FEW_PAIRS, rightProbability } from "../lab.ts";

/** Differences of probability, mean over random subsets and the worst found. */
const MEAN = [0.1, 0.2] as const;
const WORST = [0.25, 0.5] as const;

export const completeness: Check = {
  name: "completeness",
  question: "Does the model break where the circuit breaks?",
  definition:
    "For subsets K of the circuit's nodes: the difference between the circuit without K and the full model without K, in the " +
    "mean probability of the right answer among the two. K is random, or built from the nodes whose gradients differ most between " +
    "the two, most different first." +
    ` On ${ON_FEW_PAIRS}.`,
  threshold:
    `Passes when the mean over random K is at most ${MEAN[0]} and the worst K differs by at most ${WORST[0]}; weak up to ${MEAN[1]} and ` +
    `${WORST[1]}. Where the model stays right without K, it has a way around the circuit.`,
  source: "Wang et al. 2022, section 4 (completeness); here in probabilities, which are bounded",
  praise: "complete",
  searches: false,
  async run(lab) {
    const { nodes } = lab;
    if (nodes.length === 0) return notApplicable("the circuit has no nodes");
    const rng = lab.rng("completeness");
    const draws = lab.draws(10, 40);
    const differences: number[] = [];
    for (let draw = 0; draw < draws; draw++) {
      await lab.breathe(draw, draws + 1);
      differences.push(difference(lab, rng.sample(nodes, rng.int(1, Math.max(1, Math.ceil(nodes.length / 2))))).gap);
    }
    const ranked = byGradient(lab);
    const rows: Table["rows"] = [];
    let worstGap = 0;
    for (let size = 1; size <= ranked.length; size = Math.max(size + 1, Math.round(1.5 * size))) {
      await lab.breathe(draws, draws + 1);
      const { gap, circuit, full } = difference(lab, ranked.slice(0, size));
      worstGap = Math.max(worstGap, gap);
      rows.push([size, circuit, full, lab.nameOf(ranked[size - 1]!)]);
    }
    const average = mean(differences);
    worstGap = Math.max(worstGap, ...differences);
    return {
      verdict: worst(below(average, ...MEAN), below(worstGap, ...WORST)),
      brief: `differs by ${share(average)}, ${share(worstGap)} at worst`,
      reason: `circuit and model without K differ by ${share(average)} in probability over random K, ${share(worstGap)} at worst`,
      figures: [
        { name: "mean difference over random K", value: average },
        { name: "worst difference found", value: worstGap },
      ],
      tables: [
        {
          title: "K by gradient: probability of the right answer without K",
          columns: ["nodes in K", "circuit", "full model", "last node"],
          rows,
        },
      ],
    };
  },
};

function difference(lab: Lab, subset: readonly number[]): { circuit: number; full: number; gap: number } {
  const kept = lab.subject.circuit.kept.slice();
  for (const n of subset) kept[n] = 0;
  const circuit = rightProbability(lab.pruned(lab.few).score({ kept }));
  const full = rightProbability(lab.without(subset, lab.few));
  return { circuit, full, gap: Math.abs(circuit - full) };
}

/** The circuit's nodes by how differently the losses of circuit and model depend on them, to first order. */
function byGradient(lab: Lab): number[] {
  const at = (mask: ArrayLike<number>): Float32Array => lab.ablated.gradient(lab.few, Float32Array.from(mask)).gradient;
  const inCircuit = at(lab.subject.circuit.kept);
  const inModel = at(new Uint8Array(lab.subject.wiring.nodes).fill(1));
  const gap = (n: number): number => Math.abs(inCircuit[n]! - inModel[n]!);
  return [...lab.nodes].sort((a, b) => gap(b) - gap(a) || a - b);
}
