/**
 * The unrolled view, after the paper's figures of circuits on a prompt: token columns, residual channels under each token,
 * attention sideways, activations as numbers and shades, what is inactive grey, answers with probability bars. Draws
 * what `unrolledLayout` placed and moves nothing.
 */
import type { Drawing, Item, Mark, Stroke } from "../../drawing/drawing.ts";
import type { NodeItem } from "../layout/scene.ts";
import type { MoveItem } from "../layout/sideways.ts";
import { unrolledLayout } from "../layout/unrolled.ts";
import type { Circuit } from "../schema.ts";
import type { Trace } from "../trace.ts";
import { IDLE, legendMarks } from "./legend.ts";
import { attentionStroke, type Palette, weightStroke } from "./palette.ts";
import { skeleton, textItem } from "./structure-view.ts";

export function unrolledView(circuit: Circuit, trace: Trace, palette: Palette): Drawing {
  const scene = unrolledLayout(circuit, trace);
  const { colors } = palette;
  // What is idle is grey in every palette, signs and all.
  const grey: Palette = { ...palette, colors: { ...colors, ...GREY } };
  const inkOf = ({ idle }: { readonly idle?: boolean }): Palette => (idle ? grey : palette);
  const heaviest = Math.max(1e-9, ...scene.edges.map((e) => Math.abs(e.weight!)));
  const last = scene.panels.length - 1;
  return {
    width: scene.width,
    height: scene.height,
    title: `${circuit.task.name}: circuit of ${circuit.counts.nodes} nodes on a prompt of ${trace.tokens.length} tokens`,
    colors: { ...colors, idle: IDLE },
    groups: [
      {
        name: "columns",
        items: scene.panels.map((box, i) => ({
          marks: [{ type: "rect", box, radius: 6, fill: { color: colors.token, opacity: i === last ? 0.8 : 0.45 } }],
        })),
      },
      ...skeleton(scene, palette),
      { name: "attention", items: scene.moves.map((move) => moveItem(move, inkOf(move))) },
      {
        name: "edges",
        items: scene.edges.map((edge) => {
          const width = 0.8 + 1.6 * (Math.abs(edge.weight!) / heaviest);
          const stroke = weightStroke(edge.weight!, width, inkOf(edge), edge.kind === "weight" ? 0.85 : 0.5);
          return { title: edge.title, marks: [{ type: "line", points: edge.points, stroke }] };
        }),
      },
      { name: "nodes", items: scene.nodes.map((node) => nodeItem(node, inkOf(node))) },
      {
        name: "tokens",
        items: scene.tokens.map((token) => {
          const fill = { color: token.answer ? colors.answer : colors.paper };
          const stroke = { color: token.idle ? IDLE : colors.faint, width: 1 };
          return { title: token.title, marks: [{ type: "rect", box: token, radius: 2, fill, stroke }] };
        }),
      },
      {
        name: "answers",
        items: scene.bars.map(({ title, share, of, ...box }) => ({
          title,
          marks: [
            { type: "rect", box, fill: { color: colors.token }, stroke: { color: colors.boundary, width: 0.5 } },
            {
              type: "rect",
              box: { ...box, width: share * box.width },
              fill: { color: of === "circuit" ? colors.ink : colors.faint },
            },
          ],
        })),
      },
      { name: "labels", items: scene.texts.map((text) => textItem(text, inkOf(text))) },
      { name: "legend", items: scene.legend.map((item) => ({ marks: legendMarks(item, palette) })) },
    ],
  };
}

const GREY = { positive: IDLE, negative: IDLE, ink: IDLE, side: IDLE, faint: IDLE, attention: IDLE };

/** The more active, the fuller its colour. */
function nodeItem(node: NodeItem & { readonly activity: number; readonly idle: boolean }, { colors }: Palette): Item {
  const { x, y, halfWidth, halfHeight, shape, id, title } = node;
  const box = { x: x - halfWidth, y: y - halfHeight, width: 2 * halfWidth, height: 2 * halfHeight };
  const stroke = { color: colors.ink, width: 1 };
  if (shape === "tick") return { id, title, marks: [{ type: "rect", box, fill: { color: colors.ink } }] };
  const fill = {
    color: shape === "circle" ? colors.neuronActive : colors.attentionActive,
    opacity: node.idle ? 0 : node.activity,
  };
  const paper = { color: colors.paper };
  const marks = (f: typeof fill | typeof paper, outline?: Stroke): Mark =>
    shape === "circle"
      ? { type: "circle", x, y, radius: halfWidth, fill: f, ...(outline ? { stroke: outline } : {}) }
      : { type: "rect", box, radius: 4, fill: f, ...(outline ? { stroke: outline } : {}) };
  return { id, title, marks: [marks(paper), marks(fill, stroke)] };
}

/** Values are lines as wide as their attention, patterns dotted; a dot where a line ends on another. */
function moveItem({ kind, points, attention = 0.1, joins = false, title }: MoveItem, palette: Palette): Item {
  const color = palette.colors.attention;
  const stroke: Stroke = kind === "value" ? { color, width: 0.6 + 2.4 * attention } : attentionStroke(palette);
  const dot: Mark[] = joins ? [{ type: "circle", ...points[points.length - 1]!, radius: 2, fill: { color } }] : [];
  return { title, marks: [{ type: "line", points, stroke }, ...dot] };
}
