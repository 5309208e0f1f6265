/**
 * The overview of a whole model as a figure: all its nonzero weights in grey, the circuits of its tasks on top in a colour each,
 * their names in the margins; below, how much each two of them share. A node of several circuits is a disc with a sector for
 * each, a weight of several is striped.
 */
import { mean } from "../../util/statistics.ts";
import type { Drawing, Item, Mark, Stroke, TextMark } from "../export/drawing.ts";
import { PALETTES, type PaletteName } from "../export/palette.ts";
import { drawable } from "../layout/font.ts";
import type { Point } from "../layout/scene.ts";
import { oneLine, textWidth, truncate } from "../layout/text.ts";
import { type CircuitColors, circuitColors } from "./colors.ts";
import { marginLabels } from "./labels.ts";
import type { Network, NetworkNode } from "./network.ts";
import { overlapPanel } from "./panel.ts";
import { count, plural, share } from "./words.ts";

const WIDTH = 1100;
const PAGE = 20;
/** Of the disc that the network fills. */
const RADIUS = 350;
const LABEL = { size: 11, detail: 9, height: 34, cells: 27 };
const TITLE_HEIGHT = 64;

const DOT = 0.9;
const NODE = { alone: 3.2, shared: 4.4 };
const WEIGHT = { alone: 1.1, shared: 1.6 };
/** Length of a stripe. */
const STRIPE = 7;
/** Weights are painted in so many layers, light to heavy, so that where many cross it is darker. */
const LAYERS = 24;

type Segment = readonly [Point, Point];

export function networkView(
  network: Network,
  positions: readonly Point[],
  options: { readonly title: string; readonly palette?: PaletteName },
): Drawing {
  const { names, nodes, edges, shown } = network;
  const { palette = "default" } = options;
  const { colors: ink } = PALETTES[palette];
  const colors = circuitColors(palette, names.length);
  const margin = Math.max(2 * RADIUS, Math.ceil(names.length / 2) * LABEL.height);
  const centre = { x: WIDTH / 2, y: TITLE_HEIGHT + margin / 2 };
  const points = positions.map(({ x, y }): Point => ({ x: centre.x + RADIUS * x, y: centre.y + RADIUS * y }));
  const text = (shown: string, x: number, y: number, more: Partial<TextMark> = {}): TextMark => ({
    ...{
      type: "text",
      text: drawable(oneLine(shown)),
      x,
      y,
      anchor: "start",
      size: 10,
      face: "regular",
      color: ink.ink,
    },
    ...more,
  });

  const legend = legendItems(network, colors, ink, text, TITLE_HEIGHT + margin + 26);
  const panel = overlapPanel(network, colors, ink, { x: PAGE, y: TITLE_HEIGHT + margin + 62, width: WIDTH - 2 * PAGE });
  const thinned = shown.edges.length < edges.total;
  const subtitle = [
    `${plural(nodes.total, "node")} and ${plural(edges.total, "nonzero weight")}, laid out by ForceAtlas2 over the weights alone`,
    ...(thinned ? [`shown: the circuits and the heaviest, ${count(shown.edges.length)} in all`] : []),
  ].join("; ");
  return {
    width: WIDTH,
    height: Math.ceil(panel.bottom + PAGE),
    title: options.title,
    colors: {
      ...ink,
      network: NETWORK.line,
      dots: NETWORK.dot,
      ...Object.fromEntries(colors.all.map((color, i) => [`circuit-${i + 1}`, color])),
    },
    groups: [
      { name: "network", items: networkItems(network, points) },
      { name: "sublayers", items: sublayerNames(network, points, text) },
      { name: "edges", items: circuitEdges(network, points, colors) },
      { name: "nodes", items: circuitNodes(network, points, colors, ink.paper) },
      { name: "names", items: circuitNames(network, points, colors, { centre, margin }, ink.paper, text) },
      { name: "overlap", items: panel.items },
      {
        name: "legend",
        items: [
          { marks: [text(truncate(options.title, 100), PAGE, 30, { size: 15, face: "bold" })] },
          { marks: [text(subtitle, PAGE, 48, { color: ink.side })] },
          ...legend,
        ],
      },
    ],
  };
}

const NETWORK = { line: "#3c4650", dot: "#b4bac0" };

/** Weights and nodes of the whole model, in grey. */
function networkItems({ shown }: Network, points: readonly Point[]): Item[] {
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

type Text = (shown: string, x: number, y: number, more?: Partial<TextMark>) => TextMark;

/** `0.attn` in the middle of its nodes, further down where another name is. */
function sublayerNames({ shown }: Network, points: readonly Point[], text: Text): Item[] {
  const members = new Map<string, Point[]>();
  for (const [i, { layer, site }] of shown.nodes.entries()) {
    const name = `${layer}.${site.split(".")[0]}`;
    members.set(name, [...(members.get(name) ?? []), points[i]!]);
  }
  const taken: Point[] = [];
  return [...members].map(([name, all]) => {
    const at = { x: mean(all.map(({ x }) => x)), y: mean(all.map(({ y }) => y)) };
    while (taken.some(({ x, y }) => Math.abs(x - at.x) < 70 && Math.abs(y - at.y) < 20)) at.y += 20;
    taken.push(at);
    return { marks: [text(name, at.x, at.y, { anchor: "middle", size: 16, face: "bold", color: "#8d959c" })] };
  });
}

/** A path for each colour and width. */
function circuitEdges({ shown }: Network, points: readonly Point[], colors: CircuitColors): Item[] {
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
  const order = [...paths.values()].sort((a, b) => a.stroke.width - b.stroke.width);
  return order.map(({ stroke, segments }) => ({ marks: [{ type: "segments", segments, stroke }] }));
}

/** A line cut into equal stretches, the same number for each of `kinds`. */
function stripes(a: Point, b: Point, kinds: number): Segment[] {
  if (kinds === 1) return [[a, b]];
  const pieces = kinds * Math.max(1, Math.round(Math.hypot(b.x - a.x, b.y - a.y) / (STRIPE * kinds)));
  const at = (i: number): Point => ({ x: a.x + ((b.x - a.x) * i) / pieces, y: a.y + ((b.y - a.y) * i) / pieces });
  return Array.from({ length: pieces }, (_, i): Segment => [at(i), at(i + 1)]);
}

/** Those of most circuits on top. */
function circuitNodes(
  { names, shown }: Network,
  points: readonly Point[],
  colors: CircuitColors,
  paper: string,
): Item[] {
  const used = shown.nodes.map((node, i) => ({ node, at: points[i]! })).filter(({ node }) => node.circuits.length > 0);
  used.sort((a, b) => a.node.circuits.length - b.node.circuits.length);
  // Hundreds of discs would be one blot.
  const scale = Math.max(0.6, Math.min(1.15, Math.sqrt(350 / used.length)));
  return used.map(({ node, at }) => ({
    id: node.id,
    title: [node.id, ...node.circuits.map((i) => names[i]!)].join("\n"),
    marks: disc(node, at, colors, paper, scale),
  }));
}

function disc({ circuits }: NetworkNode, at: Point, colors: CircuitColors, paper: string, scale: number): Mark[] {
  const radius = scale * (circuits.length === 1 ? NODE.alone : NODE.shared);
  const own = colors.of(circuits);
  const base: Mark = {
    ...{ type: "circle", x: at.x, y: at.y, radius, fill: { color: own[0]! } },
    stroke: { color: paper, width: 1 },
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

/** The circuits' names, sizes and numbers in the margins, with lines to a node that is in no other circuit if there is one. */
function circuitNames(
  { names, nodes, edges, shown }: Network,
  points: readonly Point[],
  colors: CircuitColors,
  { centre, margin }: { readonly centre: Point; readonly margin: number },
  paper: string,
  text: Text,
): Item[] {
  const drawn = [...names.keys()].filter((i) => nodes.sizes[i]! > 0);
  const lists = drawn.map((i) => {
    const own = points.filter((_, n) => shown.nodes[n]!.circuits.includes(i));
    const alone = points.filter((_, n) => shown.nodes[n]!.circuits.length === 1 && shown.nodes[n]!.circuits[0] === i);
    return alone.length > 0 ? alone : own;
  });
  const title = (i: number): string => `${names.length > 1 ? `${i + 1} ` : ""}${truncate(names[i]!, LABEL.cells)}`;
  const detail = (i: number): string => `${plural(nodes.sizes[i]!, "node")}, ${plural(edges.sizes[i]!, "edge")}`;
  const widthOf = (i: number): number =>
    Math.max(textWidth(drawable(oneLine(title(i))), LABEL.size), textWidth(detail(i), LABEL.detail));
  const widest = Math.max(0, ...drawn.map(widthOf));
  const labels = marginLabels(lists, {
    height: LABEL.height,
    top: centre.y - margin / 2,
    bottom: centre.y + margin / 2,
    left: PAGE + widest,
    right: WIDTH - PAGE - widest,
  });
  return labels.map(({ side, y, anchor }, n) => {
    const i = drawn[n]!;
    const x = side === "left" ? PAGE : WIDTH - PAGE - widest;
    const from = { x: side === "left" ? x + widthOf(i) + 5 : x - 5, y };
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
        text(title(i), x, y - 1, { size: LABEL.size, face: "bold", color }),
        text(detail(i), x, y + 11, { size: LABEL.detail }),
      ],
    };
  });
}

/** One line: what marks stand for. */
function legendItems(
  { names, nodes, edges, config }: Network,
  colors: CircuitColors,
  ink: { readonly side: string; readonly paper: string },
  text: Text,
  y: number,
): Item[] {
  if (names.length === 0) return [];
  const used = (o: Network["nodes"]): number => o.total - o.usedBy[0]!.count;
  const parts: { readonly text: string; readonly marks: (x: number) => Mark[] }[] = [];
  const node = (circuits: number[]): NetworkNode => ({ id: "", layer: 0, site: "attn.q", channel: 0, circuits });
  const shared = names.length > 1 ? [0, 1] : [0];
  parts.push({
    text: `node ${colors.meaning}: ${count(used(nodes))} (${share(used(nodes), nodes.total)})`,
    marks: (x) => [
      ...disc(node([0]), { x: x + 4, y }, colors, ink.paper, 1.2),
      ...(shared.length > 1 ? disc(node(shared), { x: x + 16, y }, colors, ink.paper, 1.2) : []),
    ],
  });
  parts.push({
    text: `weight, likewise: ${count(used(edges))} (${share(used(edges), edges.total)})`,
    marks: (x) =>
      stripes({ x, y }, { x: x + 22, y }, colors.of(shared).length).map(
        (points, i): Mark => ({
          ...{ type: "line", points },
          stroke: { color: colors.of(shared)[i % colors.of(shared).length]!, width: WEIGHT.shared },
        }),
      ),
  });
  parts.push({
    text: "not in a circuit",
    marks: (x) => [
      {
        type: "line",
        points: [
          { x, y },
          { x: x + 16, y },
        ],
        stroke: { color: NETWORK.dot, width: 0.6 },
      },
      { type: "circle", x: x + 19, y, radius: 1.5, fill: { color: NETWORK.dot } },
    ],
  });
  let x = PAGE;
  const items = parts.map((part): Item => {
    const at = x;
    x += 28 + textWidth(part.text, 10) + 22;
    return { marks: [...part.marks(at), text(part.text, at + 28, y + 3.5)] };
  });
  return [
    ...items,
    { marks: [text(`${plural(config.layers, "layer")}, width ${config.width}`, x, y + 3.5, { color: ink.side })] },
  ];
}
