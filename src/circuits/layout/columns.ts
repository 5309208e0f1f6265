/**
 * Horizontal positions: each residual channel is one vertical line; neurons and attention channels stand in the gaps
 * between lines, near the channels they touch, so that no line passes through them.
 */
import type { Circuit, CircuitNode } from "../schema.ts";
import { assignGaps } from "./gaps.ts";
import { isResidual, orderCircuit } from "./order.ts";
import { placeInOrder } from "./place.ts";
import { type NodeShape, nodeShape } from "./shapes.ts";

const COLUMN_PAD = 8;

export interface Columns {
  readonly shapes: ReadonlyMap<string, NodeShape>;
  /** x of the line of each residual channel. */
  readonly lineX: ReadonlyMap<number, number>;
  /** x of the centre of each node. */
  readonly nodeX: ReadonlyMap<string, number>;
  /** Everything lies in [0, width]. */
  readonly width: number;
}

export interface ColumnOptions {
  readonly shapeOf?: (node: CircuitNode) => NodeShape;
  /** Between the lines of few channels. */
  readonly apart?: number;
  /** Between the nodes of a row. */
  readonly pad?: number;
  /** Inner nodes of a row do not share an x. Default: those of a sublayer. */
  readonly rowOf?: (node: CircuitNode) => string;
}

export function placeColumns(circuit: Circuit, options: ColumnOptions = {}): Columns {
  const { shapeOf = (node) => nodeShape(circuit, node), apart: widest = 72, pad = 16 } = options;
  const slotWidth = ({ left, right }: NodeShape): number => left + right + pad;
  const { columns, rows, barycentre } = orderCircuit(circuit, options.rowOf);
  const shapes = new Map(circuit.nodes.map((node) => [node.id, shapeOf(node)]));
  const rank = new Map(columns.map((c, i) => [c, i]));

  // How far the ticks of a channel reach to the right of its line.
  const tickRight: number[] = columns.map(() => 0);
  for (const node of circuit.nodes.filter(isResidual)) {
    const r = rank.get(node.channel)!;
    tickRight[r] = Math.max(tickRight[r]!, shapes.get(node.id)!.right);
  }

  // Lines far enough apart to tell the edges of neighbouring channels from each other, if there are few.
  const apart = Math.min(widest, Math.max(2 * COLUMN_PAD, 720 / columns.length));
  const gapWidth = Array.from({ length: columns.length + 1 }, (_, g) => {
    const tick = g === 0 ? 0 : tickRight[g - 1]! + COLUMN_PAD;
    return Math.max(tick, g === 0 || g === columns.length ? 0 : apart);
  });
  // Wide rows choose first: the others then find the room that these had to make.
  const rowWidth = (items: readonly CircuitNode[]): number =>
    items.reduce((sum, node) => sum + slotWidth(shapes.get(node.id)!), 0);
  const byWidth = [...rows].sort((a, b) => rowWidth(b.items) - rowWidth(a.items));
  const gaps = byWidth.map(({ items }) => {
    const members = items.map((node) => shapes.get(node.id)!);
    const units = items.map(({ id }, i) => ({ width: slotWidth(members[i]!), rank: barycentre(id) }));
    const assigned = assignGaps(units, gapWidth);
    const slots: NodeShape[][] = gapWidth.map(() => []);
    for (const [i, gap] of assigned.entries()) slots[gap]!.push(members[i]!);
    for (const [gap, inGap] of slots.entries()) {
      gapWidth[gap] = Math.max(
        gapWidth[gap]!,
        inGap.reduce((sum, s) => sum + slotWidth(s), 0),
      );
    }
    return slots;
  });

  const lineX = new Map<number, number>();
  const gapStart: number[] = [];
  let x = 0;
  for (const [g, width] of gapWidth.entries()) {
    gapStart.push(x);
    x += width + (g === 0 ? COLUMN_PAD : 0);
    if (g < columns.length) lineX.set(columns[g]!, x);
  }

  const nodeX = new Map<string, number>();
  for (const node of circuit.nodes.filter(isResidual)) nodeX.set(node.id, lineX.get(node.channel)!);
  const touched = touchedX(circuit, lineX);
  for (const slots of gaps) {
    for (const [g, members] of slots.entries()) {
      const wanted = members.map((s) => {
        const xs = touched.get(s.node.id) ?? [];
        const centre =
          xs.length === 0 ? gapStart[g]! + gapWidth[g]! / 2 : xs.reduce((sum, v) => sum + v, 0) / xs.length;
        return { desired: centre - s.left - pad / 2, width: slotWidth(s) };
      });
      const edges = placeInOrder(wanted, gapStart[g]!, gapStart[g]! + gapWidth[g]!);
      for (const [i, shape] of members.entries()) nodeX.set(shape.node.id, edges[i]! + pad / 2 + shape.left);
    }
  }
  return { shapes, lineX, nodeX, width: x };
}

/** x of the channel lines that each inner node reads and writes. */
function touchedX(circuit: Circuit, lineX: ReadonlyMap<number, number>): Map<string, number[]> {
  const byId = new Map(circuit.nodes.map((node) => [node.id, node]));
  const touched = new Map<string, number[]>();
  for (const { source, target } of circuit.edges) {
    for (const [inner, outer] of [
      [source, target],
      [target, source],
    ] as const) {
      const node = byId.get(outer)!;
      if (isResidual(node)) touched.set(inner, [...(touched.get(inner) ?? []), lineX.get(node.channel)!]);
    }
  }
  return touched;
}
