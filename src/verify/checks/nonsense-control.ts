/** Can the search find a circuit for a task that the model does not do? */
import type { PairBatch } from "../../data/pairs.ts";
import type { Pairs } from "../../prune/extract.ts";
import type { Check, Finding, Verdict } from "../check.ts";
import { searchAgain } from "../search-again.ts";

/** Edges of a nonsense circuit, as a multiple of the real one's. */
const [PASS, WEAK] = [5, 2];

export const nonsenseControl: Check = {
  name: "nonsense control",
  question: "Would the search have found a circuit for anything?",
  definition:
    "The same search for the same prompts with other labels, twice: reversed, the wrong answer of every prompt taken as right; and " +
    "shuffled, reversed in a random half of the pairs. Size of the circuit that reaches the target and holds on other pairs with " +
    "labels of the same kind, by that of the real one.",
  threshold:
    `Passes when the target is never reached, or only with ${PASS} times the edges; weak from ${WEAK} times. Reversed labels are a rule ` +
    "that the model does not follow, but could be made to by ablating the right nodes; shuffled ones are no rule.",
  source: "Drori 2026 (nonsense tasks); Zhang et al. 2017 (random labels)",
  praise: "far from nonsense",
  searches: true,
  async run(lab): Promise<Finding> {
    const { model, stored, ablation, seed } = lab.subject;
    const real = { nodes: Math.max(1, lab.nodes.length), edges: Math.max(1, lab.edges.length) };
    const results: { name: string; nodes: number | null; edges: number | null }[] = [];
    for (const [i, name] of (["reversed", "shuffled"] as const).entries()) {
      await lab.breathe(i, 2);
      const rng = lab.rng("nonsense", name);
      const pairs = relabelled(lab.subject.pairs(seed), () => name === "reversed" || rng.bool());
      const best = await searchAgain(lab, { model, stored, ablation, pairs, seed });
      results.push({ name, nodes: best?.nodes ?? null, edges: best?.edges ?? null });
    }
    const ratios = results.flatMap(({ edges }) => (edges === null ? [] : [edges / real.edges]));
    const least = Math.min(...ratios);
    const verdict: Verdict = least >= PASS ? "pass" : least >= WEAK ? "weak" : "fail";
    const told = ({ name, nodes, edges }: (typeof results)[number]): string =>
      edges === null
        ? `${name} labels: never reached`
        : `${name} labels: ${nodes} nodes, ${edges} edges, ${(edges / real.edges).toFixed(1)} times the real circuit's`;
    return {
      verdict,
      brief: ratios.length === 0 ? "never reached" : `${least.toFixed(1)} times the edges`,
      reason: results.map(told).join("; "),
      figures: results.flatMap(({ name, nodes, edges }) => [
        { name: `nodes, ${name} labels`, value: nodes },
        { name: `edges, ${name} labels`, value: edges },
        { name: `edges by the real circuit's, ${name} labels`, value: edges === null ? null : edges / real.edges },
      ]),
    };
  },
};

/** The pairs with right and wrong exchanged in those for which `reversed` says so. */
function relabelled(pairs: Pairs, reversed: () => boolean): Pairs {
  const of = (batch: PairBatch): PairBatch => {
    const [right, wrong] = [batch.right.slice(), batch.wrong.slice()];
    for (let row = 0; row < batch.rows; row += 2) {
      if (!reversed()) continue;
      for (const r of [row, row + 1]) [right[r], wrong[r]] = [batch.wrong[r]!, batch.right[r]!];
    }
    return { ...batch, right, wrong };
  };
  return { train: of(pairs.train), val: of(pairs.val), test: of(pairs.test) };
}
