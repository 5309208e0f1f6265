/** Do the circuit's nodes carry what they carry in the model? */
import { attentionWidth } from "../../model/config.ts";
import { mean, median } from "../../util/statistics.ts";
import { attention, carried } from "../attention.ts";
import { below, type Check, type Finding, notApplicable, worst } from "../check.ts";
import { fullValues } from "../full-values.ts";
import type { Lab } from "../lab.ts";
import { ON_FEW_PAIRS } from "../lab.ts";
import type { NodeValues, Part } from "../pruned.ts";

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
    const traces = pruned.parts.map((part) => ({ part, own: pruned.values(part) }));
    const unexplained = nodeErrors(lab, traces);
    await lab.breathe(1, 2);
    if (unexplained.length === 0) return notApplicable("the circuit has no nodes");
    const patterns = headDivergences(lab, traces);
    const fvu = unexplained.map(({ value }) => Math.min(value, CAP));
    const average = mean(fvu);
    const js = patterns.length > 0 ? mean(patterns.map(({ value }) => value)) : null;
    return {
      verdict: worst(below(average, ...FVU), js === null ? "not applicable" : below(js, ...JS)),
      brief: `${average.toFixed(2)} of the variance unexplained`,
      reason:
        `${average.toFixed(3)} of the variance of its ${unexplained.length} nodes unexplained (median ${median(fvu).toFixed(3)})` +
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
          rows: unexplained.map(({ node, value, variance }) => [lab.nameOf(node), value, variance]),
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

/** A node is no worse than this: the mean over nodes would else be that of one whose variance is tiny. */
const CAP = 1;
/** Mean squares of float32 rounding, by that of the values or, where they are small, by 1. */
const ROUNDING = 1e-12;

/** Some of the prompts, and what the circuit's nodes carry on them. */
interface Traced {
  readonly part: Part;
  readonly own: ReadonlyMap<number, NodeValues>;
}

function nodeErrors(lab: Lab, traces: readonly Traced[]): { node: number; value: number; variance: number }[] {
  const sums = new Map(lab.nodes.map((n) => [n, { count: 0, sum: 0, squares: 0, error: 0 }]));
  for (const { part, own } of traces) {
    const full = fullValues(lab.subject.model, part.batch, part.prefixes, lab.nodes);
    for (const [node, sum] of sums) {
      const seen = own.get(node);
      if (!seen) continue;
      const values = full.get(node)!;
      for (const n of seen.rows) {
        sum.count++;
        sum.sum += values[n]!;
        sum.squares += values[n]! ** 2;
        sum.error += (seen.values[n]! - values[n]!) ** 2;
      }
    }
  }
  return [...sums].map(([node, { count, sum, squares, error }]) => {
    const variance = Math.max(0, squares / count - (sum / count) ** 2);
    const mse = error / count;
    const rounding = ROUNDING * (1 + squares / count);
    // A node that never varies in the model, but does or is another in the circuit, is wholly unexplained.
    const value = variance > rounding ? mse / variance : mse > rounding ? CAP : 0;
    return { node, value, variance };
  });
}

/** Divergence of attention patterns of the heads that the circuit uses. */
function headDivergences(lab: Lab, traces: readonly Traced[]): { head: string; value: number }[] {
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
