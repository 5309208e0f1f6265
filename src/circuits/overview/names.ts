/** Names in the overview: of sublayers among their nodes, of circuits in the margins. */
import type { Item, TextMark } from "../../drawing/drawing.ts";
import { drawable } from "../../drawing/font.ts";
import { median } from "../../util/statistics.ts";
import { plural } from "../../util/text.ts";
import { crosses } from "../layout/labels.ts";
import { type Box, overlaps, type Point } from "../layout/scene.ts";
import { oneLine, textWidth, truncate } from "../layout/text.ts";
import type { CircuitColors } from "./colors.ts";
import { marginLabels } from "./labels.ts";
import { NETWORK, NODE, type Segment } from "./marks.ts";
import type { Network } from "./network.ts";

/** Font size of a sublayer's name. */
const NAME_SIZE = 16;
/** Font sizes, height and longest name of a circuit's label. */
const LABEL = { size: 11, detail: 9, height: 34, cells: 27 };
/** Room for a disc of a circuit's colour beside its name. */
export const SWATCH = 13;
/** Between the figure's edge and the labels. */
export const PAGE = 20;

export type Text = (shown: string, x: number, y: number, more?: Partial<TextMark>) => TextMark;

/** `0.attn` where fewest circuits are among its nodes, else as near to their middle as can be. */
export function sublayerNames({ shown }: Network, points: readonly Point[], paper: string, text: Text): Item[] {
  const members = new Map<string, Point[]>();
  for (const [i, { layer, site }] of shown.nodes.entries()) {
    const name = `${layer}.${site.split(".")[0]}`;
    const all = members.get(name);
    if (all === undefined) members.set(name, [points[i]!]);
    else all.push(points[i]!);
  }
  const discs = points.filter((_, i) => shown.nodes[i]!.circuits.length > 0);
  const lines = shown.edges.flatMap((e): Segment[] =>
    e.circuits.length > 0 ? [[points[e.source]!, points[e.target]!]] : [],
  );
  const taken: Box[] = [];
  return [...members].map(([name, all]) => {
    const width = textWidth(name, NAME_SIZE);
    const middle = { x: median(all.map(({ x }) => x)), y: median(all.map(({ y }) => y)) };
    const distance = ({ x, y }: Point): number => Math.hypot(x - middle.x, y - middle.y);
    const cost = ({ x, y }: Point): number => {
      const box = { x: x - width / 2 - 4, y: y - NAME_SIZE, width: width + 8, height: NAME_SIZE + 8 };
      if (taken.some((other) => overlaps(box, other))) return Number.POSITIVE_INFINITY;
      const covered = discs.filter((p) => overlaps(box, { ...p, width: 0, height: 0 }, NODE.shared)).length;
      const crossed = lines.filter((line) => crosses(line, box)).length;
      return 15 * (2 * covered + crossed) + distance({ x, y });
    };
    // Of the inner half: further out it would seem to name a neighbour.
    const inner = [...all].sort((a, b) => distance(a) - distance(b)).slice(0, Math.ceil(all.length / 2));
    const step = Math.ceil(inner.length / 100);
    const at = inner.filter((_, i) => i % step === 0).reduce((a, b) => (cost(b) < cost(a) ? b : a), middle);
    taken.push({ x: at.x - width / 2, y: at.y - NAME_SIZE, width, height: NAME_SIZE + 4 });
    const plate = { x: at.x - width / 2 - 2, y: at.y - NAME_SIZE + 2, width: width + 4, height: NAME_SIZE + 2 };
    return {
      marks: [
        { type: "rect", box: plate, radius: 3, fill: { color: paper, opacity: 0.7 } },
        text(name, at.x, at.y, { anchor: "middle", size: NAME_SIZE, face: "bold", color: NETWORK.name }),
      ],
    };
  });
}

interface LabelTexts {
  /** Of each circuit: its number and name, and its size. */
  readonly titles: readonly string[];
  readonly details: readonly string[];
  /** Of the widest. */
  readonly width: number;
}

/** Height that the labels of so many circuits need. */
export function labelsHeight(circuits: number): number {
  return Math.ceil(circuits / 2) * LABEL.height;
}

export function labelTexts({ names, nodes, edges }: Network): LabelTexts {
  const titles = names.map((name, i) => {
    const shown = drawable(oneLine(truncate(name, LABEL.cells)));
    return names.length > 1 ? `${i + 1} ${shown}` : shown;
  });
  const details = names.map((_, i) => `${plural(nodes.sizes[i]!, "node")}, ${plural(edges.sizes[i]!, "edge")}`);
  return { titles, details, width: Math.max(0, ...names.map((_, i) => labelWidth(titles[i]!, details[i]!))) };
}

function labelWidth(title: string, detail: string): number {
  return Math.max(textWidth(title, LABEL.size), textWidth(detail, LABEL.detail));
}

/** The circuits' names and sizes in the margins, with lines to a node that is in no other circuit if there is one. */
export function circuitNames(
  { names, nodes, shown }: Network,
  points: readonly Point[],
  colors: CircuitColors,
  place: LabelTexts & { readonly centre: Point; readonly margin: number; readonly right: number },
  paper: string,
  text: Text,
): Item[] {
  const { titles, details, width, centre, margin, right } = place;
  const drawn = [...names.keys()].filter((i) => nodes.sizes[i]! > 0);
  const lists = drawn.map((i) => {
    const own = points.filter((_, n) => shown.nodes[n]!.circuits.includes(i));
    const alone = points.filter((_, n) => shown.nodes[n]!.circuits.length === 1 && shown.nodes[n]!.circuits[0] === i);
    return alone.length > 0 ? alone : own;
  });
  const labels = marginLabels(lists, {
    height: LABEL.height,
    top: centre.y - margin / 2,
    bottom: centre.y + margin / 2,
    left: PAGE + SWATCH + width,
    right: right - width - SWATCH,
  });
  return labels.map(({ side, y, anchor }, n) => {
    const i = drawn[n]!;
    const x = side === "left" ? PAGE + SWATCH : right - width;
    const from = { x: side === "left" ? x + labelWidth(titles[i]!, details[i]!) + 5 : x - SWATCH, y };
    const color = colors.label(i);
    return {
      title: names[i]!,
      marks: [
        { type: "line", points: [from, anchor], stroke: { color: paper, width: 2.4, opacity: 0.8 } },
        { type: "line", points: [from, anchor], stroke: { color, width: 0.8 } },
        {
          type: "circle",
          ...anchor,
          radius: 2 * NODE.alone,
          fill: { color, opacity: 0 },
          stroke: { color, width: 0.8 },
        },
        { type: "circle", x: x - SWATCH / 2 - 1, y: y - 5, radius: NODE.shared, fill: { color } },
        text(titles[i]!, x, y - 1, { size: LABEL.size, face: "bold" }),
        text(details[i]!, x, y + 11, { size: LABEL.detail }),
      ],
    };
  });
}
