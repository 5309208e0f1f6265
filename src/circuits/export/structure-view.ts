/**
 * The structure view with the paper's conventions: red positive, blue negative, residual channels thin grey lines,
 * attention dotted, layer boundaries dashed. Draws what `structureLayout` placed and moves nothing. Details that have
 * no room are tooltips.
 */
import type { Drawing, Item, Mark, Stroke } from "../../drawing/drawing.ts";
import type { Face } from "../../drawing/font.ts";
import type { EdgeItem, NodeItem, StructureLayout, TextItem, TextRole, TokenItem } from "../layout/scene.ts";
import { structureLayout } from "../layout.ts";
import type { Circuit } from "../schema.ts";
import { channelMark, horizontal, legendMarks } from "./legend.ts";
import { attentionStroke, type Palette, signColor, weightStroke } from "./palette.ts";

type Ink = "ink" | "side" | "faint";

const TEXT_STYLE: Record<TextRole, { readonly face: Face; readonly color: Ink }> = {
  title: { face: "bold", color: "ink" },
  subtitle: { face: "regular", color: "ink" },
  note: { face: "regular", color: "side" },
  node: { face: "regular", color: "ink" },
  side: { face: "italic", color: "side" },
  token: { face: "regular", color: "ink" },
  weight: { face: "regular", color: "ink" },
  layer: { face: "bold", color: "ink" },
  row: { face: "regular", color: "faint" },
  code: { face: "regular", color: "ink" },
};

export function structureView(circuit: Circuit, palette: Palette): Drawing {
  const scene = structureLayout(circuit);
  const { nodes, edges } = circuit.counts;
  const { colors } = palette;
  const heaviest = Math.max(1e-9, ...scene.edges.map((e) => Math.abs(e.weight ?? 0)));
  const [weights, others] = [true, false].map((w) => scene.texts.filter((t) => (t.role === "weight") === w));
  return {
    width: scene.width,
    height: scene.height,
    title: `${circuit.task.name}: circuit of ${nodes} nodes and ${edges} edges`,
    colors: { ...colors },
    groups: [
      ...skeleton(scene, palette),
      { name: "edges", items: scene.edges.map((edge) => edgeItem(edge, heaviest, palette)) },
      { name: "nodes", items: scene.nodes.map((node) => nodeItem(node, palette)) },
      { name: "tokens", items: scene.tokens.map((token) => tokenItem(token, palette)) },
      { name: "labels", items: others!.map((text) => textItem(text, palette)) },
      { name: "weights", items: weights!.map((text) => textItem(text, palette)) },
      { name: "legend", items: scene.legend.map((item) => ({ marks: legendMarks(item, palette) })) },
    ],
  };
}

function edgeItem({ kind, points, weight, title }: EdgeItem, heaviest: number, palette: Palette): Item {
  if (weight === undefined) return { title, marks: [{ type: "line", points, stroke: attentionStroke(palette) }] };
  const width = 0.8 + 1.6 * (Math.abs(weight) / heaviest);
  const stroke = weightStroke(weight, width, palette, kind === "weight" ? 0.85 : 0.5);
  return { title, marks: [{ type: "line", points, stroke }] };
}

function nodeItem(node: NodeItem, { colors }: Palette): Item {
  const [w, h] = [node.halfWidth, node.halfHeight];
  const box = { x: node.x - w, y: node.y - h, width: 2 * w, height: 2 * h };
  const stroke = { color: colors.ink, width: 1 };
  const marks: Record<NodeItem["shape"], Mark> = {
    tick: { type: "rect", box, fill: { color: colors.ink } },
    circle: { type: "circle", x: node.x, y: node.y, radius: w, fill: { color: colors.neuron }, stroke },
    box: { type: "rect", box, radius: 4, fill: { color: colors.attentionFill }, stroke },
  };
  return { id: node.id, title: node.title, marks: [marks[node.shape]] };
}

export function tokenItem(token: TokenItem, { colors }: Palette): Item {
  const fill = { color: token.answer ? colors.answer : colors.token };
  const stroke = { color: colors.faint, width: 1 };
  return { title: token.title, marks: [{ type: "rect", box: token, radius: 2, fill, stroke }] };
}

/** Boundaries of layers and residual channels. */
export function skeleton(
  { boundaries, channels }: Pick<StructureLayout, "boundaries" | "channels">,
  palette: Palette,
): Drawing["groups"] {
  const boundary: Stroke = { color: palette.colors.boundary, width: 1, dash: [5, 4] };
  return [
    {
      name: "boundaries",
      items: boundaries.map(({ left, right, y }) => ({ marks: [horizontal(left, right, y, boundary)] })),
    },
    {
      name: "residual",
      items: channels.map(({ channel, x, top, bottom }) => ({
        title: `residual channel ${channel}`,
        marks: [channelMark(x, top, bottom, palette)],
      })),
    },
  ];
}

/** Text starts or is centred in its box, which is a little wider than the text. */
export function textItem(item: TextItem, palette: Palette): Item {
  const { face, color } = TEXT_STYLE[item.role];
  const centred = item.role === "node" || item.role === "token" || item.role === "weight";
  const marks: Mark[] = [
    {
      type: "text",
      text: item.text,
      x: centred ? item.x + item.width / 2 : item.x,
      y: item.y + item.height / 2 + item.size * 0.35,
      anchor: centred ? "middle" : "start",
      size: item.size,
      face,
      color: item.sign === undefined ? palette.colors[color] : signColor(item.sign, palette),
    },
  ];
  // A number stands on its own line, which is covered there.
  if (item.role === "weight") {
    marks.unshift({ type: "rect", box: item, fill: { color: palette.colors.paper, opacity: 0.85 } });
  }
  return { marks };
}
