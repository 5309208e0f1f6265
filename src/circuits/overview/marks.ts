/** The overview's network as marks: grey weights and dots of the whole model, coloured ones of circuits. */
import type { Item, Mark, Stroke, TextMark } from "../../drawing/drawing.ts";
import { drawable } from "../../drawing/font.ts";
import { oneLine } from "../../util/text.ts";
import type { Point } from "../layout/scene.ts";
import type { CircuitColors } from "./colors.ts";
import type { Network, NetworkNode } from "./network.ts";

export const NETWORK = { line: "#454545", dot: "#b8b8b8", name: "#808080" };
const DOT = 0.9;
/** Radius of a node in one circuit, and in several. */
export const NODE = { alone: 3.2, shared: 4.4 };
/** Width of a weight in one circuit, and in several. */
export const WEIGHT = { alone: 1.1, shared: 1.6 };
/** Length of a stripe. */
const STRIPE = 7;
/** Weights are painted in so many layers, light to heavy, so that where many cross it is darker. */
const LAYERS = 24;

export type Segment = readonly [Point, Point];

/** Texts in a colour and size, unless they say otherwise. */
export function textIn(color: string, size: number) {
  return (shown: string, x: number, y: number, more: Partial<TextMark> = {}): TextMark => ({
    ...{ type: "text", text: drawable(oneLine(shown)), x, y, anchor: "start", size, face: "regular", color },
    ...more,
  });
}

/** Weights and nodes of the whole model, in grey. */
export function networkItems({ shown }: Network, points: readonly Point[]): Item[] {
  const order = [...shown.edges].sort((a, b) => a.rank - b.rank);
  const size = Math.ceil(order.length / LAYERS);
  const layers = Array.from({ length: size === 0 ? 0 : Math.ceil(order.length / size) }, (_, i): Item => {
    const segments = order.slice(i * size, (i + 1) * size).map((e): Segment => [points[e.source]!, points[e.target]!]);
    const strength = (i + 1) / LAYERS;
    const stroke: Stroke = { color: NETWORK.line, width: 0.3 + 0.35 * strength, opacity: 0.05 + 0.15 * strength ** 2 };
    return { marks: [{ type: "segments", segments, stroke }] };
  });
  const dots = points.filter((_, i) => shown.nodes[i]!.circuits.length === 0).map(dot);
  const stroke: Stroke = { color: NETWORK.dot, width: 2 * DOT, cap: "round" };
  return dots.length === 0 ? layers : [...layers, { marks: [{ type: "segments", segments: dots, stroke }] }];
}

/** A segment that some length is left of in files of two decimals: without, some programs draw nothing. */
const dot = ({ x, y }: Point): Segment => [
  { x, y },
  { x: x + 0.01, y },
];

/** A path for each colour and width. */
export function circuitEdges({ shown }: Network, points: readonly Point[], colors: CircuitColors): Item[] {
  const paths = new Map<string, { stroke: Stroke; segments: Segment[] }>();
  for (const { source, target, circuits } of shown.edges) {
    if (circuits.length === 0) continue;
    const width = circuits.length === 1 ? WEIGHT.alone : WEIGHT.shared;
    const own = colors.of(circuits);
    for (const [i, segment] of stripes(points[source]!, points[target]!, own.length).entries()) {
      const color = own[i % own.length]!;
      const path = paths.get(`${width} ${color}`) ?? { stroke: { color, width }, segments: [] };
      path.segments.push(segment);
      paths.set(`${width} ${color}`, path);
    }
  }
  // Shared weights over others, small circuits over large ones.
  const order = [...paths.values()].sort(
    (a, b) => a.stroke.width - b.stroke.width || b.segments.length - a.segments.length,
  );
  return order.map(({ stroke, segments }) => ({ marks: [{ type: "segments", segments, stroke }] }));
}

/** A line cut into equal stretches, the same number for each of `kinds`. */
export function stripes(a: Point, b: Point, kinds: number): Segment[] {
  if (kinds === 1) return [[a, b]];
  const pieces = kinds * Math.max(1, Math.round(Math.hypot(b.x - a.x, b.y - a.y) / (STRIPE * kinds)));
  const at = (i: number): Point => ({ x: a.x + ((b.x - a.x) * i) / pieces, y: a.y + ((b.y - a.y) * i) / pieces });
  return Array.from({ length: pieces }, (_, i): Segment => [at(i), at(i + 1)]);
}

/** Those of most circuits on top, and those of small ones. */
export function circuitNodes(
  { names, nodes, shown }: Network,
  points: readonly Point[],
  colors: CircuitColors,
  paper: string,
): Item[] {
  const used = shown.nodes.map((node, i) => ({ node, at: points[i]! })).filter(({ node }) => node.circuits.length > 0);
  const smallest = ({ circuits }: NetworkNode): number => Math.min(...circuits.map((i) => nodes.sizes[i]!));
  used.sort((a, b) => a.node.circuits.length - b.node.circuits.length || smallest(b.node) - smallest(a.node));
  // Hundreds of discs would be one blot.
  const scale = Math.max(0.6, Math.min(1.15, Math.sqrt(350 / used.length)));
  return used.map(({ node, at }) => ({
    id: node.id,
    title: [node.id, ...node.circuits.map((i) => names[i]!)].join("\n"),
    marks: disc(node, at, colors, paper, scale),
  }));
}

export function disc(
  { circuits }: NetworkNode,
  at: Point,
  colors: CircuitColors,
  paper: string,
  scale: number,
): Mark[] {
  const radius = scale * (circuits.length === 1 ? NODE.alone : NODE.shared);
  const own = colors.of(circuits);
  const base: Mark = {
    ...{ type: "circle", x: at.x, y: at.y, radius, fill: { color: own[0]! } },
    stroke: { color: paper, width: 0.9 * scale },
  };
  return own.length === 1
    ? [base]
    : [base, ...own.slice(1).map((color, i) => sector(at, radius, i + 1, own.length, color))];
}

/** Sector `i` of `n` of a disc, from the top clockwise: an arc at half the radius, as wide as the radius. */
function sector({ x, y }: Point, radius: number, i: number, n: number, color: string): Mark {
  const steps = Math.max(2, Math.ceil(16 / n));
  const arc = Array.from({ length: steps + 1 }, (_, s): Point => {
    const angle = (2 * Math.PI * (i + s / steps)) / n;
    return { x: x + (radius / 2) * Math.sin(angle), y: y - (radius / 2) * Math.cos(angle) };
  });
  return { type: "line", points: arc, stroke: { color, width: radius } };
}
