/**
 * The structure view of a circuit: tokens along the top, computation downwards, one row for each site, each residual
 * channel one vertical line, answer tokens at the bottom. Returns geometry only; the same circuit gives the same
 * geometry. No text covers another text or a node, and nothing leaves the canvas.
 */
import { placeColumns } from "./layout/columns.ts";
import { type Captions, captions, legendItems, placed, ROW_NAMES, stacked } from "./layout/frame.ts";
import { placeLabels } from "./layout/labels.ts";
import { bandHeight, planRows } from "./layout/rows.ts";
import type { Box, EdgeItem, NodeItem, StructureLayout } from "./layout/scene.ts";
import { placeNode } from "./layout/shapes.ts";
import { textWidth } from "./layout/text.ts";
import { type TokenRow, tokenRow } from "./layout/tokens.ts";
import { attentionLinks, channelLines, tokenEdges, weightEdges } from "./layout/wires.ts";
import type { Circuit } from "./schema.ts";

export type { StructureLayout } from "./layout/scene.ts";

const MARGIN = 20;
/** Left of everything: names of rows. Right: names of sublayers. */
const ROW_NAME_WIDTH = 76;
const LAYER_NAME_WIDTH = 66;
/** Circuits with at most this many weights get all of them as labels: rows move apart until they fit. */
const LABEL_ALL = 60;
const STRETCHES = [1, 1.3, 1.7, 2.2, 3, 4];

export function structureLayout(circuit: Circuit): StructureLayout {
  const columns = placeColumns(circuit);
  const inputs = tokenRow(circuit, "input", columns.lineX, columns.width);
  const outputs = tokenRow(circuit, "output", columns.lineX, columns.width);
  const text = captions(circuit);
  const weights = circuit.edges.length + inputs.entries.length + outputs.entries.length;
  let layout: StructureLayout | undefined;
  for (const stretch of STRETCHES) {
    layout = arrange(circuit, columns, inputs, outputs, text, stretch);
    if (layout.omittedLabels === 0 || weights > LABEL_ALL) break;
  }
  return layout!;
}

function arrange(
  circuit: Circuit,
  columns: ReturnType<typeof placeColumns>,
  inputs: TokenRow,
  outputs: TokenRow,
  text: Captions,
  stretch: number,
): StructureLayout {
  // Horizontal: the figure's own coordinates are moved right past the row names, and centred under wide captions.
  const left = Math.min(0, inputs.left, outputs.left);
  const right = Math.max(columns.width, inputs.right, outputs.right);
  const inner = ROW_NAME_WIDTH + (right - left) + LAYER_NAME_WIDTH;
  const width = Math.ceil(Math.max(inner, text.width) + 2 * MARGIN);
  const shift = MARGIN + ROW_NAME_WIDTH - left + Math.max(0, (width - 2 * MARGIN - inner) / 2);
  const lineX = new Map([...columns.lineX].map(([c, x]) => [c, x + shift]));
  const moved = (row: TokenRow, y: number): TokenRow => ({
    ...row,
    tokens: row.tokens.map((t) => ({ ...t, x: t.x + shift, y: t.y + y })),
    texts: row.texts.map((t) => ({ ...t, x: t.x + shift, y: t.y + y })),
    centre: new Map([...row.centre].map(([t, x]) => [t, x + shift])),
  });

  // Vertical: captions, tokens, sublayers, answer tokens, legend.
  const { texts, bottom: below } = stacked(text.top, MARGIN, MARGIN);
  let y = below + 12;
  const top = moved(inputs, y);
  const topEdge = y + inputs.height;
  const embedY = inputs.tokens.length === 0 ? y : topEdge + bandHeight(inputs.entries.length, stretch);
  const plan = planRows(circuit, columns.shapes, embedY + 4, stretch);
  const unembedY = plan.bottom + 4;
  const outputY = outputs.tokens.length === 0 ? unembedY : unembedY + bandHeight(outputs.entries.length, stretch);
  const bottom = moved(outputs, outputY);
  texts.push(...top.texts, ...bottom.texts);

  const items = new Map<string, NodeItem>();
  for (const { rows } of plan.sublayers) {
    for (const row of rows) {
      for (const node of row.nodes) {
        const placed = placeNode(columns.shapes.get(node.id)!, columns.nodeX.get(node.id)! + shift, row.y);
        items.set(node.id, placed.item);
        texts.push(...placed.texts);
      }
      texts.push(placed(ROW_NAMES[row.site], "row", 9, MARGIN, row.y - 6));
    }
  }
  if (inputs.tokens.length > 0) texts.push(placed("embedding", "row", 9, MARGIN, top.tokens[0]!.y + 3));
  if (outputs.tokens.length > 0) texts.push(placed("unembedding", "row", 9, MARGIN, bottom.tokens[0]!.y + 3));

  const boundaries: { y: number; left: number; right: number }[] = [];
  for (const sublayer of plan.sublayers) {
    boundaries.push({ y: sublayer.top, left: MARGIN, right: width - MARGIN });
    const nameX = width - MARGIN - textWidth(sublayer.name, 11);
    texts.push(placed(sublayer.name, "layer", 11, nameX, sublayer.top + 4));
  }
  if (plan.sublayers.length > 0) boundaries.push({ y: plan.bottom, left: MARGIN, right: width - MARGIN });

  const edges: EdgeItem[] = [
    ...attentionLinks(circuit, items),
    ...tokenEdges(top, "embedding", lineX, topEdge, embedY),
    ...weightEdges(circuit, items, plan.sublayers),
    ...tokenEdges(bottom, "unembedding", lineX, outputY, unembedY),
  ];
  const tokens = [...top.tokens, ...bottom.tokens];
  const nodes = circuit.nodes.map(({ id }) => items.get(id)!);
  const obstacles: Box[] = [...nodes.map((n) => n.box), ...tokens, ...texts];
  const labels = placeLabels(edges, obstacles);
  texts.push(...labels.texts);

  y = outputY + outputs.height + 22;
  const legend = legendItems(circuit, MARGIN, y, width - MARGIN);
  texts.push(...legend.texts);
  y = legend.bottom;
  for (const line of text.bottom(labels.omitted, labels.texts.length, inputs.entries.length, outputs.entries.length)) {
    texts.push({ ...line, x: MARGIN, y });
    y += line.height + 2;
  }
  return {
    width,
    height: Math.ceil(y + MARGIN),
    nodes,
    tokens,
    edges,
    channels: channelLines(circuit, items, lineX, { row: top, y: embedY }, { row: bottom, y: unembedY }),
    boundaries,
    texts,
    legend: legend.items,
    omittedLabels: labels.omitted,
  };
}
