/**
 * What stands in for a figure of a circuit that is too large to be drawn node by node: one box for each site with its
 * number of nodes, one arrow for each pair of sites with its number of weights, and the nodes that matter most.
 */
import type { Drawing, Item, Mark, TextMark } from "../../drawing/drawing.ts";
import { drawable } from "../../drawing/font.ts";
import { SITES, type Site } from "../../model/sites.ts";
import { captions, ROW_NAMES } from "../layout/frame.ts";
import { oneLine, textWidth, truncate } from "../layout/text.ts";
import type { Circuit } from "../schema.ts";
import type { Palette } from "./palette.ts";

/** More than this in a figure is a black square. */
const MOST_EDGES = 1000;
const MOST_NODES = 500;
const NAMED_NODES = 8;
const LABEL_CELLS = 22;

const PAGE = 20;
const BOX = { width: 132, height: 30 };
const ROW = 78;
/** Centre of the boxes of one box a row. */
const CENTRE = 320;
const WIDTH = 640;

/** Where q, k and v stand beside each other. */
const OFFSET: Partial<Record<Site, number>> = { "attn.q": -170, "attn.k": 0, "attn.v": 170 };

/** Why the circuit is not drawn node by node; undefined where it is. */
export function whyNotDrawn({ counts }: Circuit): string | undefined {
  if (counts.edges <= MOST_EDGES && counts.nodes <= MOST_NODES) return undefined;
  const limit = `${MOST_NODES} nodes and ${MOST_EDGES} edges`;
  return `${counts.nodes} nodes and ${counts.edges} edges are too many to be told apart in a figure (at most ${limit}): figures show numbers by site; graphml, gexf, dot, csv, latex and json have everything`;
}

interface Place {
  readonly x: number;
  readonly y: number;
}

export function summaryView(circuit: Circuit, palette: Palette): Drawing {
  const { colors } = palette;
  const text = (shown: string, x: number, y: number, more: Partial<TextMark> = {}): TextMark => ({
    ...{ type: "text", text: shown, x, y, anchor: "start", size: 10, face: "regular", color: colors.ink },
    ...more,
  });
  const labels: Item[] = [];
  const boundaries: Item[] = [];
  let y = PAGE;
  for (const line of captions(circuit).top) {
    labels.push({
      marks: [
        text(line.text, PAGE, y + line.size, { size: line.size, face: line.role === "title" ? "bold" : "regular" }),
      ],
    });
    y += line.height + 3;
  }
  for (const line of [
    "Too large to be drawn node by node: nodes of each site, and on the lines how many weights join them.",
    "The formats graphml, gexf, dot, csv, latex and json have all of it.",
  ]) {
    labels.push({ marks: [text(line, PAGE, y + 14, { face: "italic", color: colors.side })] });
    y += 14;
  }
  y += 40;

  const sites = new Map<string, { site: Site; nodes: number }>();
  for (const { layer, site } of circuit.nodes) {
    const key = `${layer}.${site}`;
    sites.set(key, { site, nodes: (sites.get(key)?.nodes ?? 0) + 1 });
  }
  const places = new Map<string, Place>();
  const boxes: Item[] = [];
  for (let layer = 0; layer < circuit.model.layers; layer++) {
    for (const sublayer of ["attn", "mlp"]) {
      const members = SITES.filter((site) => site.startsWith(sublayer) && sites.has(`${layer}.${site}`));
      if (members.length === 0) continue;
      boundaries.push({
        marks: [
          {
            type: "line",
            points: [
              { x: PAGE, y: y - 30 },
              { x: WIDTH - PAGE, y: y - 30 },
            ],
            stroke: { color: colors.boundary, width: 1, dash: [5, 4] },
          },
        ],
      });
      const name = `${layer}.${sublayer}`;
      labels.push({ marks: [text(name, WIDTH - PAGE - textWidth(name, 11), y - 14, { size: 11, face: "bold" })] });
      for (const [i, site] of members.entries()) {
        const { nodes } = sites.get(`${layer}.${site}`)!;
        const x = CENTRE + (OFFSET[site] ?? 0);
        places.set(`${layer}.${site}`, { x, y: y + BOX.height / 2 });
        const box = { x: x - BOX.width / 2, y, ...BOX };
        const inner = OFFSET[site] !== undefined;
        const fill = inner ? colors.attentionFill : site === "mlp.post_act" ? colors.neuron : colors.token;
        boxes.push({
          id: `${layer}.${site}`,
          title: `${layer}.${site}: ${nodes} nodes`,
          marks: [
            { type: "rect", box, radius: 4, fill: { color: fill }, stroke: { color: colors.ink, width: 1 } },
            text(`${nodes} ${ROW_NAMES[site]}`, x, y + 19, { anchor: "middle", size: 11 }),
          ],
        });
        const next = members[i + 1];
        if (next === undefined || !inner || OFFSET[next] === undefined) y += ROW;
      }
    }
  }

  const between = new Map<string, { from: Place; to: Place; weights: number[] }>();
  const siteOf = new Map(circuit.nodes.map((n) => [n.id, `${n.layer}.${n.site}`]));
  for (const { source, target, weight } of circuit.edges) {
    const [a, b] = [siteOf.get(source)!, siteOf.get(target)!];
    const key = `${a} ${b}`;
    const bundle = between.get(key) ?? { from: places.get(a)!, to: places.get(b)!, weights: [] };
    bundle.weights.push(weight);
    between.set(key, bundle);
  }
  const most = Math.max(1, ...[...between.values()].map((b) => b.weights.length));
  const bundles = [...between.values()].map(({ from, to, weights }): Item => {
    const start = { x: from.x, y: from.y + BOX.height / 2 };
    const end = { x: to.x, y: to.y - BOX.height / 2 };
    const negative = weights.filter((w) => w < 0).length;
    const shown = String(weights.length);
    const [x, middle] = [(start.x + end.x) / 2, (start.y + end.y) / 2];
    const width = textWidth(shown, 10) + 4;
    const line: Mark = {
      type: "line",
      points: [start, end],
      stroke: { color: colors.attention, width: 1 + (7 * weights.length) / most },
    };
    const box = { x: x - width / 2, y: middle - 7, width, height: 14 };
    const plate: Mark = { type: "rect", box, fill: { color: colors.paper } };
    return {
      title: `${weights.length} weights, ${negative} of them negative`,
      marks: [line, plate, text(shown, x, middle + 3.5, { anchor: "middle" })],
    };
  });

  const important = circuit.nodes
    .filter((n) => n.importance !== null)
    .sort((a, b) => b.importance! - a.importance!)
    .slice(0, NAMED_NODES);
  if (important.length > 0) {
    labels.push({ marks: [text("Ablated alone, these nodes raise the task loss most:", PAGE, y)] });
    for (const { id, importance, label = "" } of important) {
      y += 14;
      const row = `${id.padEnd(24)} +${importance!.toPrecision(3).padEnd(10)} ${truncate(drawable(oneLine(label)), LABEL_CELLS)}`;
      labels.push({ marks: [text(row.trimEnd(), PAGE + 16, y)] });
    }
    y += 14;
  }
  return {
    width: Math.ceil(Math.max(WIDTH, captions(circuit).width + 2 * PAGE)),
    height: Math.ceil(y + PAGE),
    title: `${circuit.task.name}: summary of a circuit of ${circuit.counts.nodes} nodes and ${circuit.counts.edges} edges`,
    colors: { ...colors },
    groups: [
      { name: "boundaries", items: boundaries },
      { name: "edges", items: bundles },
      { name: "nodes", items: boxes },
      { name: "labels", items: labels },
    ],
  };
}
