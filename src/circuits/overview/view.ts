/**
 * The overview of a whole model as a figure: all its nonzero weights in grey, the circuits of its tasks on top in a colour each,
 * their names in the margins; below, how much each two of them share. A node of several circuits is a disc with a sector for
 * each, a weight of several is striped.
 */
import type { Drawing, Item, Mark } from "../../drawing/drawing.ts";
import { count, plural } from "../../util/text.ts";
import { PALETTES, type PaletteName } from "../export/palette.ts";
import type { Point } from "../layout/scene.ts";
import { textWidth, truncate } from "../layout/text.ts";
import { type CircuitColors, circuitColors } from "./colors.ts";
import { circuitEdges, circuitNodes, disc, NETWORK, networkItems, stripes, textIn, WEIGHT } from "./marks.ts";
import { circuitNames, labelsHeight, labelTexts, PAGE, SWATCH, sublayerNames, type Text } from "./names.ts";
import type { Network, NetworkNode } from "./network.ts";
import { overlapPanel } from "./panel.ts";
import { share } from "./words.ts";

/** At least; more where names are long. */
const WIDTH = 1100;
/** Of the disc that the network fills. */
const RADIUS = 350;
const TITLE_HEIGHT = 64;

/** @param positions of the shown nodes, in a disc of radius 1 */
export function networkView(
  network: Network,
  positions: readonly Point[],
  options: { readonly title: string; readonly palette?: PaletteName },
): Drawing {
  const { names, nodes, edges, shown } = network;
  const { palette = "default" } = options;
  const { colors: ink } = PALETTES[palette];
  const colors = circuitColors(palette, names.length);
  const margin = Math.max(2 * RADIUS, labelsHeight(names.length));
  const labels = labelTexts(network);
  const width = Math.max(WIDTH, Math.ceil(2 * (RADIUS + labels.width + SWATCH + 2 * PAGE)));
  const centre = { x: width / 2, y: TITLE_HEIGHT + margin / 2 };
  const points = positions.map(({ x, y }): Point => ({ x: centre.x + RADIUS * x, y: centre.y + RADIUS * y }));
  const text = textIn(ink.ink, 10);

  const legend = legendItems(network, colors, ink, text, TITLE_HEIGHT + margin + 26);
  const panel = overlapPanel(network, colors, ink, { x: PAGE, y: TITLE_HEIGHT + margin + 62, width: width - 2 * PAGE });
  const thinned = shown.edges.length < edges.total;
  const subtitle = [
    `${plural(nodes.total, "node")} and ${plural(edges.total, "nonzero weight")}, laid out by ForceAtlas2 over the weights alone`,
    ...(thinned ? [`shown: the circuits and the heaviest, ${count(shown.edges.length)} in all`] : []),
  ].join("; ");
  return {
    width,
    height: Math.ceil(panel.bottom + PAGE),
    title: options.title,
    colors: {
      ...ink,
      network: NETWORK.line,
      dots: NETWORK.dot,
      sublayers: NETWORK.name,
      ...Object.fromEntries(colors.all.map((color, i) => [`circuit-${i + 1}`, color])),
    },
    groups: [
      { name: "network", items: networkItems(network, points) },
      { name: "edges", items: circuitEdges(network, points, colors) },
      { name: "nodes", items: circuitNodes(network, points, colors, ink.paper) },
      { name: "sublayers", items: sublayerNames(network, points, ink.paper, text) },
      {
        name: "names",
        items: circuitNames(
          network,
          points,
          colors,
          { ...labels, centre, margin, right: width - PAGE },
          ink.paper,
          text,
        ),
      },
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
