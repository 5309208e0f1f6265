/** Do the circuit's nodes mean in the circuit what they mean in the model? */
import type { Score } from "../../prune/evaluator.ts";
import { fullValues } from "../../prune/full-values.ts";
import type { Intervene } from "../../prune/pruned.ts";
import { mean } from "../../util/statistics.ts";
import { below, type Check, nats, share } from "../check.ts";
import type { Lab } from "../lab.ts";
import { ON_FEW_PAIRS, ON_NODE_DRAWS } from "../lab.ts";

const FRACTIONS = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1];

export const interchange: Check = {
  name: "interchange",
  question: "Can the circuit's nodes take the values that they have in the full model?",
  definition:
    "In the pruned run a random fraction p of the circuit's nodes takes the values of the full model's run on the same prompts, " +
    `for p from 0 to 1: the mean task loss at each p over ${ON_NODE_DRAWS}.` +
    ` On ${ON_FEW_PAIRS}.`,
  threshold:
    "Passes when the mean loss is never above the target; weak up to twice the target. Nodes that carry something else in the model " +
    "than in the circuit would mislead what reads them.",
  source: "Geiger et al. 2021 (interchange interventions); Drori 2026, for weight-sparse circuits",
  praise: "survives interchange",
  searches: false,
  async run(lab) {
    const { target } = lab.subject;
    const draws = lab.nodeDraws;
    const pruned = lab.pruned(lab.few);
    const patched = patchedFrom(lab);
    const points: { x: number; y: number; low: number; high: number; scores: readonly Score[] }[] = [];
    for (const [i, p] of FRACTIONS.entries()) {
      await lab.breathe(i, FRACTIONS.length);
      const scores = Array.from({ length: p === 0 || p === 1 ? 1 : draws }, (_, draw) => {
        const rng = lab.rng("interchange", p, draw);
        return pruned.score({}, patched(rng.sample(lab.nodes, Math.round(p * lab.nodes.length))));
      });
      const losses = scores.map(({ loss }) => loss);
      points.push({ x: p, y: mean(losses), low: Math.min(...losses), high: Math.max(...losses), scores });
    }
    const highest = points.reduce((a, b) => (b.y > a.y ? b : a));
    return {
      verdict: below(highest.y, target, 2 * target),
      brief: `loss ${nats(highest.y)} at p = ${highest.x}`,
      reason: `highest loss ${nats(highest.y)} at p = ${highest.x}, target ${target}; with all values of the model ${nats(points.at(-1)!.y)}`,
      figures: [
        lab.loss("highest mean loss", ...highest.scores),
        { name: "p of the highest loss", value: highest.x },
        { name: "loss at p = 1", value: points.at(-1)!.y, unit: "nats" },
        { name: "share of p within the target", value: points.filter(({ y }) => y <= target).length / points.length },
      ],
      plots: [
        {
          title: `Values from the full model (mean and range of ${draws} draws)`,
          x: { label: "fraction p of the circuit's nodes" },
          y: { label: "task loss, nats" },
          level: target,
          series: [{ name: "circuit", points: points.map(({ scores: _, ...point }) => point) }],
        },
      ],
      tables: [
        {
          title: "One node at a time",
          columns: ["node", "task loss, nats", "share of targets"],
          rows: lab.nodes.map((n) => {
            const { loss } = pruned.score({}, patched([n]));
            return [lab.nameOf(n), loss, share(loss / target)];
          }),
        },
      ],
    };
  },
};

/** Interventions that give nodes the full model's values. */
function patchedFrom(lab: Lab): (nodes: readonly number[]) => Intervene {
  const full = new Map(
    lab
      .pruned(lab.few)
      .parts.map((part) => [part, fullValues(lab.subject.model, part.batch, part.prefixes, lab.nodes)]),
  );
  return (nodes) => (part) => {
    const values = full.get(part)!;
    return new Map(nodes.map((n) => [n, (_, prefix) => values.get(n)![prefix]!]));
  };
}
