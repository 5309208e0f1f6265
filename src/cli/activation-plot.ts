/**
 * Activations of a circuit's nodes as a figure and as a table: a panel for each node with its distribution over text and
 * over the prompts of the two sides, from which it can be seen whether the node is binary. Nothing is computed of a model.
 */
import { csvTable } from "../circuits/export/csv.ts";
import type { Circuit } from "../circuits/schema.ts";
import type { Figure, Panel, Point } from "../plots/lines.ts";
import type { NodeActivations } from "./node-activations.ts";
import { count } from "./render.ts";

const BINS = 40;
const COLUMNS = 4;
const SIZE = [190, 90] as const;
/** Of a panel's title. */
const CHARACTERS = 30;
const SHARES = [0, 0.1, 0.5, 1].map((at) => ({ at, label: `${100 * at}%` }));

/** Counts of values in `BINS` equal parts of the range of all of a node's values. */
interface Histogram {
  readonly edges: readonly number[];
  /** By group, in the order of the names. */
  readonly counts: readonly (readonly number[])[];
}

export interface ActivationFigure {
  readonly figure: Figure;
  /** The same as a table: a row for each bin of each group. */
  readonly csv: string;
}

/** @param sides what the prompts of the two sides are, for the legend */
export function activationFigure(
  { model, task }: Circuit,
  activations: readonly NodeActivations[],
  sides: readonly [first: string, second: string],
  left: number,
): ActivationFigure {
  const names = ["tokens of held-out text", ...sides];
  const histograms = activations.map(({ text, sides }) => histogram([text, ...sides]));
  const [
    {
      text,
      sides: [{ length: pairs }],
    },
  ] = activations as readonly [NodeActivations];
  const figure: Figure = {
    title: `${task.name}: what the circuit's nodes carry`,
    caption: [
      `${model.run}, the full model; across: activation; up: share of ${count(text.length)} tokens of text or of ${count(pairs)} prompts of each side (square-root scale)`,
      "of a prompt: the value furthest from the ablated one (dashed) from where the two prompts of its pair differ on",
      ...(left > 0 ? [`the ${activations.length} nodes of most importance; ${left} others are not shown`] : []),
    ],
    panels: activations.map(({ node }, i) => panelOf(node, names, histograms[i]!)),
    columns: COLUMNS,
  };
  const rows = activations.flatMap(({ node }, i) => {
    const { edges, counts } = histograms[i]!;
    return names.flatMap((name, g) => counts[g]!.map((n, b) => [node.id, name, edges[b], edges[b + 1], n]));
  });
  return { figure, csv: csvTable(["node", "values", "from", "to", "count"], rows) };
}

function panelOf(
  { id, label, meanActivation }: NodeActivations["node"],
  names: readonly string[],
  { edges, counts }: Histogram,
): Panel {
  const title = label === undefined ? id : `${id} ${label}`;
  return {
    title: title.length > CHARACTERS ? `${title.slice(0, CHARACTERS - 1)}…` : title,
    x: { label: "" },
    y: { label: "", domain: [0, 1], sqrt: true, ticks: SHARES },
    bars: true,
    series: counts.map((each, g) => ({ name: names[g]!, points: outline(each, edges), muted: g === 0 })),
    place: meanActivation,
    size: SIZE,
  };
}

/** Shares at the left edges of bins, and the last once more at the end. */
function outline(counts: readonly number[], edges: readonly number[]): Point[] {
  const total = counts.reduce((sum, n) => sum + n, 0);
  return edges.map((x, b) => ({ x, y: counts[Math.min(b, counts.length - 1)]! / total }));
}

function histogram(groups: readonly Float32Array[]): Histogram {
  let [least, most] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const group of groups) {
    for (const value of group) [least, most] = [Math.min(least, value), Math.max(most, value)];
  }
  // Of one value alone: a bin around it.
  if (least === most) [least, most] = [least - 0.5, most + 0.5];
  const width = (most - least) / BINS;
  const counts = groups.map((group) => {
    const bins = new Array<number>(BINS).fill(0);
    for (const value of group) bins[Math.min(BINS - 1, Math.floor((value - least) / width))]!++;
    return bins;
  });
  return { edges: Array.from({ length: BINS + 1 }, (_, b) => least + b * width), counts };
}
