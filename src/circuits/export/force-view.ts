/**
 * The free-form view: ForceAtlas2 positions, one disc a node in its site's colour, weights red or blue, links grey. An
 * overview of what hangs together; the structure view is the figure.
 */
import type { Drawing, Item, Mark, Stroke } from "../../drawing/drawing.ts";
import { drawable } from "../../drawing/font.ts";
import { SITES, type Site } from "../../model/sites.ts";
import { forceLayout } from "../forceLayout.ts";
import { shownName } from "../graph.ts";
import { crosses } from "../layout/labels.ts";
import { type Box, overlaps, type Point } from "../layout/scene.ts";
import { formatWeight, oneLine, textWidth, truncate } from "../layout/text.ts";
import type { Circuit, CircuitNode } from "../schema.ts";
import { attentionStroke, type Palette, weightStroke } from "./palette.ts";

const MARGIN = 60;
const PAGE = 20;
const RADIUS = 7;
const TITLE_HEIGHT = 50;
const LEGEND_LINE = 18;
const NAME_SIZE = 9;
const NAME_HEIGHT = 10;
const LABEL_CELLS = 22;

const SITE_NAMES: Record<Site, string> = {
  "attn.act_in": "read",
  "attn.q": "query",
  "attn.k": "key",
  "attn.v": "value",
  "attn.resid_delta": "write",
  "mlp.act_in": "read",
  "mlp.post_act": "MLP neuron",
  "mlp.resid_delta": "write",
};

export function forceView(circuit: Circuit, palette: Palette): Drawing {
  const { colors, sites } = palette;
  const points = forceLayout(circuit);
  const xs = [0, ...[...points.values()].map((p) => p.x)];
  const ys = [0, ...[...points.values()].map((p) => p.y)];
  const [left, top] = [Math.min(...xs) - MARGIN, Math.min(...ys) - MARGIN - TITLE_HEIGHT];
  const { counts, task } = circuit;
  const title = `${task.name}: ${counts.nodes} nodes, ${counts.edges} edges`;
  const shownTitle = drawable(oneLine(title));
  const content = Math.max(...xs) + MARGIN - left;
  const inner = Math.max(560, textWidth(shownTitle, 14) + 2 * PAGE, content);
  const shift = (inner - content) / 2 - left;
  const bottom = Math.max(...ys) + MARGIN - top;
  const at = (id: string): Point => ({ x: points.get(id)!.x + shift, y: points.get(id)!.y - top });

  const text = (shown: string, x: number, y: number, size: number, anchor: "start" | "middle" = "start"): Mark => ({
    type: "text",
    text: shown,
    x,
    y,
    anchor,
    size,
    face: "regular",
    color: colors.ink,
  });
  const line = (source: string, target: string, stroke: Stroke, tooltip: string): Item => ({
    title: tooltip,
    marks: [{ type: "line", points: [at(source), at(target)], stroke }],
  });
  const residual: Stroke = { color: colors.residual, width: 1 };
  const heaviest = Math.max(1e-9, ...circuit.edges.map((e) => Math.abs(e.weight)));
  const disc = (site: Site, x: number, y: number): Mark => ({
    type: "circle",
    x,
    y,
    radius: RADIUS,
    fill: { color: sites[site] },
    stroke: { color: colors.ink, width: 0.5 },
  });

  // A name stands above, below or beside its node, where fewest lines are, with the label if there is room; where all of
  // that is taken, in the tooltip alone.
  const lines = [...circuit.edges, ...circuit.links].map((e) => [at(e.source), at(e.target)] as const);
  const discs = circuit.nodes.map(({ id }): Box => {
    const { x, y } = at(id);
    return { x: x - RADIUS, y: y - RADIUS, width: 2 * RADIUS, height: 2 * RADIUS };
  });
  const taken: Box[] = [];
  const placed = ({ id }: CircuitNode, name: string): Item | undefined => {
    const { x, y } = at(id);
    const width = textWidth(name, NAME_SIZE);
    const places = [
      [x - width / 2, y - RADIUS - NAME_HEIGHT - 1],
      [x - width / 2, y + RADIUS + 1],
      [x + RADIUS + 2, y - NAME_HEIGHT / 2],
      [x - RADIUS - 2 - width, y - NAME_HEIGHT / 2],
    ] as const;
    const boxes = places.map(([left, top]): Box => ({ x: left, y: top, width, height: NAME_HEIGHT }));
    const inside = boxes.filter((candidate) => candidate.x >= 0 && candidate.x + width <= inner);
    const free = inside.filter((candidate) => ![...taken, ...discs].some((other) => overlaps(candidate, other)));
    const crowd = (candidate: Box): number => lines.filter((segment) => crosses(segment, candidate)).length;
    const box = free.sort((a, b) => crowd(a) - crowd(b))[0];
    if (box === undefined) return undefined;
    taken.push(box);
    const plate: Mark = { type: "rect", box, fill: { color: colors.paper, opacity: 0.75 } };
    return { marks: [plate, text(name, box.x + width / 2, box.y + NAME_HEIGHT - 2, NAME_SIZE, "middle")] };
  };
  const names = circuit.nodes.flatMap((node): Item[] => {
    const name = `${node.layer}.${shownName(circuit, node)}`;
    const label = truncate(drawable(oneLine(node.label ?? "")), LABEL_CELLS);
    const item = (label ? placed(node, `${name} ${label}`) : undefined) ?? placed(node, name);
    return item ? [item] : [];
  });

  // A sample of each kind of line and node that there is.
  const sample =
    (stroke: Stroke) =>
    (x: number, y: number): Mark => ({
      type: "line",
      points: [
        { x: x - 9, y },
        { x: x + 9, y },
      ],
      stroke,
    });
  const entries = new Map<string, (x: number, y: number) => Mark>();
  for (const site of SITES) {
    if (circuit.nodes.some((n) => n.site === site)) entries.set(SITE_NAMES[site], (x, y) => disc(site, x, y));
  }
  if (counts.edges > 0) {
    entries.set("positive weight", sample(weightStroke(1, 2, palette)));
    entries.set("negative weight", sample(weightStroke(-1, 2, palette)));
  }
  if (circuit.links.some((l) => l.kind === "residual")) entries.set("residual channel", sample(residual));
  if (circuit.links.some((l) => l.kind !== "residual")) entries.set("attention", sample(attentionStroke(palette)));
  const legend: Item[] = [];
  let [x, y] = [PAGE, bottom];
  for (const [name, mark] of entries) {
    const width = 26 + textWidth(name, NAME_SIZE) + 18;
    if (x > PAGE && x + width > inner) [x, y] = [PAGE, y + LEGEND_LINE];
    legend.push({ marks: [mark(x + 10, y), text(name, x + 26, y + 3, NAME_SIZE)] });
    x += width;
  }
  const notes: Item[] = [{ marks: [{ ...text(shownTitle, PAGE, 30, 14), face: "bold" } as Mark] }];
  if (counts.nodes === 0) notes.push({ marks: [text("The circuit is empty: no node is kept.", PAGE, 54, 12)] });

  return {
    width: Math.ceil(inner),
    height: Math.ceil(y + PAGE),
    title,
    colors: { ...colors, ...sites },
    groups: [
      {
        name: "links",
        items: circuit.links.map(({ kind, source, target }) =>
          line(source, target, kind === "residual" ? residual : attentionStroke(palette), kind),
        ),
      },
      {
        name: "edges",
        items: circuit.edges.map(({ source, target, weight }) => {
          const stroke = weightStroke(weight, 1 + (2.5 * Math.abs(weight)) / heaviest, palette);
          return line(source, target, stroke, `${source} to ${target}: ${formatWeight(weight)}`);
        }),
      },
      {
        name: "nodes",
        items: circuit.nodes.map(({ id, site, label }) => ({
          id,
          title: label ? `${id}: ${oneLine(label)}` : id,
          marks: [disc(site, at(id).x, at(id).y)],
        })),
      },
      { name: "names", items: names },
      { name: "legend", items: [...legend, ...notes] },
    ],
  };
}
