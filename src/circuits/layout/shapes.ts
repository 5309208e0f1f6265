/** How large each node of the structure view is: its shape, its name, and the texts beside it. */
import { drawable } from "../../drawing/font.ts";
import { positionName, scaleMark, shortName, shownName } from "../graph.ts";
import type { Circuit, CircuitNode } from "../schema.ts";
import type { NodeItem, TextItem, TextRole } from "./scene.ts";
import { oneLine, textWidth, truncate, visibleToken, wrap } from "./text.ts";

const NODE_SIZE = 10;
const SIDE_SIZE = 9;
const LINE = 11;
/** Longest line beside a node, in cells; a text has two. */
const SIDE_CELLS = 14;
/** Beside ticks, where there is one line. */
const TICK_CELLS = 22;
/** Circuits with more nodes leave driving tokens to tooltips. */
const SIDE_READS_LIMIT = 40;

interface RelativeText {
  readonly text: string;
  readonly role: TextRole;
  readonly size: number;
  /** Left edge and top relative to the node's centre. */
  readonly dx: number;
  readonly dy: number;
  readonly width: number;
}

export interface NodeShape {
  readonly node: CircuitNode;
  readonly shape: NodeItem["shape"];
  readonly flow?: "read" | "write";
  readonly halfWidth: number;
  readonly halfHeight: number;
  /** Extents of shape and texts from the centre. */
  readonly left: number;
  readonly right: number;
  readonly up: number;
  readonly down: number;
  readonly texts: readonly RelativeText[];
  readonly title: string;
}

export interface ShapeOptions {
  /** Inside a circle or box, if it is not the node's own name. */
  readonly name?: string | undefined;
  /** A line below the name. */
  readonly value?: string | undefined;
}

export function nodeShape(circuit: Circuit, node: CircuitNode, { name, value }: ShapeOptions = {}): NodeShape {
  return isTick(node) ? tick(circuit, node, value) : bubble(circuit, node, name ?? shownName(circuit, node), value);
}

function isTick(node: CircuitNode): boolean {
  return node.site.endsWith("act_in") || node.site.endsWith("resid_delta");
}

/** A bar across the channel's line; the name stands where no edges run: above a read, below a write. */
function tick(circuit: Circuit, node: CircuitNode, value: string | undefined): NodeShape {
  const flow = node.site.endsWith("act_in") ? "read" : "write";
  const name = (positionName(circuit, node) ?? shortName(circuit, node)) + scaleMark(node);
  const lines = value === undefined ? 1 : 2;
  const dy = flow === "read" ? -lines * LINE - 2 : 3;
  const texts: RelativeText[] = [
    { text: name, role: "node", size: NODE_SIZE, dx: 4, dy, width: textWidth(name, NODE_SIZE) },
  ];
  if (node.label !== undefined && node.label !== "") {
    const label = truncate(drawable(oneLine(node.label)), TICK_CELLS);
    const dx = 4 + texts[0]!.width + 4;
    texts.push({ text: label, role: "side", size: SIDE_SIZE, dx, dy, width: textWidth(label, SIDE_SIZE) });
  }
  if (value !== undefined) {
    texts.push({
      text: value,
      role: "side",
      size: SIDE_SIZE,
      dx: 4,
      dy: dy + LINE,
      width: textWidth(value, SIDE_SIZE),
    });
  }
  const [up, down] = flow === "read" ? [lines * LINE + 2, 2] : [2, lines * LINE + 3];
  return {
    node,
    shape: "tick",
    flow,
    halfWidth: 5,
    halfHeight: 1.5,
    left: 5,
    right: Math.max(...texts.map((t) => t.dx + t.width)),
    up,
    down,
    texts,
    title: nodeTitle(node),
  };
}

/** A circle or a rounded box with name and value inside, label and driving tokens to its right. */
function bubble(circuit: Circuit, node: CircuitNode, name: string, value: string | undefined): NodeShape {
  const inside = [
    { text: name, role: "node" as const, size: NODE_SIZE },
    ...(value === undefined ? [] : [{ text: value, role: "side" as const, size: SIDE_SIZE }]),
  ].map((line) => ({ ...line, width: textWidth(line.text, line.size) }));
  const half = Math.max(...inside.map(({ width }) => width / 2));
  const circle = node.head === undefined;
  // Two lines have corners that the circle goes around.
  const radius = inside.length === 1 ? half + 4 : Math.hypot(half, LINE - 2) + 1;
  const halfWidth = circle ? Math.max(11, radius) : half + 5;
  const halfHeight = circle ? halfWidth : 3.5 + (inside.length * LINE) / 2;
  const side = sideTexts(circuit, node);
  const texts: RelativeText[] = [
    ...inside.map((line, i) => ({ ...line, dx: -line.width / 2, dy: (i - inside.length / 2) * LINE })),
    ...side.map(
      (text, i): RelativeText => ({
        text,
        role: "side",
        size: SIDE_SIZE,
        dx: halfWidth + 4,
        dy: (i - side.length / 2) * LINE,
        width: textWidth(text, SIDE_SIZE),
      }),
    ),
  ];
  const sideHeight = (side.length * LINE) / 2;
  return {
    node,
    shape: circle ? "circle" : "box",
    halfWidth,
    halfHeight,
    left: halfWidth,
    right: Math.max(halfWidth, ...texts.map((t) => t.dx + t.width)),
    up: Math.max(halfHeight, sideHeight),
    down: Math.max(halfHeight, sideHeight),
    texts,
    title: nodeTitle(node),
  };
}

function sideTexts(circuit: Circuit, node: CircuitNode): string[] {
  const lines: string[] = [];
  const write = (text: string): void => {
    const [first = "", second, more] = wrap(text, SIDE_CELLS);
    if (second === undefined) lines.push(truncate(first, SIDE_CELLS));
    else lines.push(truncate(first, SIDE_CELLS), truncate(more === undefined ? second : `${second} …`, SIDE_CELLS));
  };
  if (node.label !== undefined && node.label !== "") write(drawable(oneLine(node.label)));
  if (node.reads !== undefined && node.reads.length > 0 && circuit.nodes.length <= SIDE_READS_LIMIT) {
    write(
      `on ${node.reads
        .slice(0, 3)
        .map((r) => drawable(visibleToken(r.tokenText)))
        .join(" ")}`,
    );
  }
  return lines;
}

/** Whether driving tokens stand beside any node. */
export function showsReads(circuit: Circuit): boolean {
  const { nodes } = circuit;
  return (
    nodes.length <= SIDE_READS_LIMIT && nodes.some((n) => !isTick(n) && n.reads !== undefined && n.reads.length > 0)
  );
}

function nodeTitle(node: CircuitNode): string {
  const lines = [node.label === undefined ? node.id : `${node.id}: ${oneLine(node.label)}`];
  lines.push(`mean activation ${Number(node.meanActivation.toPrecision(3))}`);
  if (node.scale !== undefined) lines.push(`scaled by ${Number(node.scale.toPrecision(3))}`);
  if (node.importance !== null) lines.push(`ablated alone: task loss +${Number(node.importance.toPrecision(3))}`);
  for (const read of node.reads?.slice(0, 8) ?? []) {
    lines.push(`${visibleToken(read.tokenText)}  ${Number(read.value.toPrecision(3))}`);
  }
  return lines.join("\n");
}

/** The node at a place. */
export function placeNode(shape: NodeShape, x: number, y: number): { item: NodeItem; texts: TextItem[] } {
  const { node, left, right, up, down } = shape;
  return {
    item: {
      id: node.id,
      shape: shape.shape,
      ...(shape.flow === undefined ? {} : { flow: shape.flow }),
      x,
      y,
      halfWidth: shape.halfWidth,
      halfHeight: shape.halfHeight,
      box: { x: x - left, y: y - up, width: left + right, height: up + down },
      title: shape.title,
    },
    texts: shape.texts.map(({ text, role, size, dx, dy, width }) => ({
      text,
      role,
      size,
      x: x + dx,
      y: y + dy,
      width,
      height: LINE,
    })),
  };
}
