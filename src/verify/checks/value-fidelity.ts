/** Do the circuit's nodes carry what they carry in the model? */
import { attentionWidth } from "../../model/config.ts";
import { nodeErrors, type Traced } from "../../prune/fidelity.ts";
import { fullValues } from "../../prune/full-values.ts";
import type { Part } from "../../prune/pruned.ts";
import { mean, median } from "../../util/statistics.ts";
import { attention, carried } from "../attention.ts";
import { below, type Check, type Finding, notApplicable, worst } from "../check.ts";
import type { Lab } from "../lab.ts";
import { ON_FEW_PAIRS } from "../lab.ts";

/** Fraction of variance unexplained, mean over nodes, and Jensen-Shannon divergence as a share of ln 2, mean over heads. */
const FVU = [0.2, 0.5] as const;
const JS = [0.1, 0.3] as const;

export const valueFidelity: Check = {
  name: "value fidelity",
  question: "Do nodes and attention patterns survive pruning?",
  definition:
    "For each node the fraction of variance unexplained: the mean squared difference between its values in the circuit and in the " +
    "full model over all tokens of the prompts, by their variance in the full model. For each head with a value channel in the " +
    "circuit: the Jensen-Shannon divergence between its attention at the answer token in the circuit and in the model, by ln 2." +
    ` On ${ON_FEW_PAIRS}.`,
  threshold:
    `Passes with a mean over nodes of at most ${FVU[0]} and a mean over heads of at most ${JS[0]}; weak up to ${FVU[1]} and ${JS[1]}. At 1 a ` +
    "node's values say nothing of those it has in the model; no node counts as more, and one that varies in the circuit alone as 1.",
  source: "Drori 2026 (nodes and attention patterns change when weight-sparse models are pruned)",
  praise: "faithful in its values",
  searches: false,
  async run(lab): Promise<Finding> {
    const pruned = lab.pruned(lab.few);
    const traces = pruned.parts.map((part) => ({
      part,
      own: pruned.values(part),
      full: fullValues(lab.subject.model, part.batch, part.prefixes, lab.nodes),
    }));
    const errors = nodeErrors(traces);
    await lab.breathe(1, 2);
    if (errors.length === 0) return notApplicable("the circuit has no nodes");
    const patterns = headDivergences(lab, traces);
    const fvu = errors.map(({ unexplained }) => unexplained);
    const average = mean(fvu);
    const js = patterns.length > 0 ? mean(patterns.map(({ value }) => value)) : null;
    return {
      verdict: worst(below(average, ...FVU), js === null ? "not applicable" : below(js, ...JS)),
      brief: `${average.toFixed(2)} of the variance unexplained`,
      reason:
        `${average.toFixed(3)} of the variance of its ${errors.length} nodes unexplained (median ${median(fvu).toFixed(3)})` +
        (js === null ? "; no attention in it" : `; attention differs by ${js.toFixed(3)}`),
      figures: [
        { name: "variance unexplained, mean over nodes", value: average },
        { name: "variance unexplained, median over nodes", value: median(fvu) },
        { name: "variance unexplained, worst node", value: Math.max(...fvu) },
        { name: "Jensen-Shannon divergence of attention, mean over heads", value: js },
      ],
      tables: [
        {
          title: "Nodes",
          columns: ["node", "variance unexplained", "variance in the model"],
          rows: errors.map(({ node, unexplained, variance }) => [lab.nameOf(node), unexplained, variance]),
        },
        {
          title: "Attention of heads at the answer token",
          columns: ["head", "Jensen-Shannon divergence / ln 2"],
          rows: patterns.map(({ head, value }) => [head, value]),
        },
      ],
    };
  },
};

/** Some of the prompts, and what the circuit's nodes carry on them. */
interface TracedPart extends Traced {
  readonly part: Part;
}

/** Divergence of attention patterns of the heads that the circuit uses. */
function headDivergences(lab: Lab, traces: readonly TracedPart[]): { head: string; value: number }[] {
  const { stored, model } = lab.subject;
  const { headWidth, heads } = stored.config;
  const used = [...new Set(lab.nodes.flatMap((n) => headOf(lab, n) ?? []))];
  return used.map((key) => {
    const [layer, head] = [Math.floor(key / heads), key % heads];
    const siteOffset = (site: string): number => lab.specs.find((s) => s.layer === layer && s.site === site)!.offset;
    const channels = Array.from({ length: headWidth }, (_, c) => head * headWidth + c);
    const [q, k] = [siteOffset("attn.q"), siteOffset("attn.k")];
    const sink = stored.params.get(`transformer.h.${layer}.attn.attn_imp.sink_logit`)?.[head];
    const divergences: number[] = [];
    for (const { part, own } of traces) {
      const full = fullValues(model, part.batch, part.prefixes, [
        ...channels.map((c) => q + c),
        ...channels.map((c) => k + c),
      ]);
      const inCircuit = (node: number, prefix: number): number => carried(own, part, node, prefix);
      const inModel = (node: number, prefix: number): number => full.get(node)![prefix]!;
      for (const last of part.prefixes.lastRows) {
        const pattern = (value: (node: number, prefix: number) => number): number[] =>
          attention(
            part.prefixes,
            last,
            channels.map((c) => [q + c, k + c] as const),
            value,
            sink,
          );
        divergences.push(jensenShannon(pattern(inCircuit), pattern(inModel)) / Math.LN2);
      }
    }
    return { head: `${layer}.attn head ${head}`, value: mean(divergences) };
  });
}

/** layer * heads + head of a value channel. */
function headOf(lab: Lab, node: number): number | undefined {
  const spec = lab.specs.find(({ offset, width }) => node >= offset && node < offset + width)!;
  const { config } = lab.subject.stored;
  if (spec.site !== "attn.v" || node - spec.offset >= attentionWidth(config)) return undefined;
  return spec.layer * config.heads + Math.floor((node - spec.offset) / config.headWidth);
}

function jensenShannon(p: readonly number[], q: readonly number[]): number {
  const term = (x: number, m: number): number => (x > 0 ? x * Math.log(x / m) : 0);
  return p.reduce((sum, x, i) => {
    const m = (x + q[i]!) / 2;
    return sum + (term(x, m) + term(q[i]!, m)) / 2;
  }, 0);
}
