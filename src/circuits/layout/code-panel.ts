/**
 * A panel of the code view: the prompt's text once, shaded by what one node carries, with the arcs of its attention. All
 * panels of a figure have their lines at the same heights. Geometry only.
 */
import { ADVANCE, drawable, UNITS_PER_EM } from "../../drawing/font.ts";
import { shownName } from "../graph.ts";
import type { Circuit, CircuitNode } from "../schema.ts";
import { activity, type Gathering, headKey, type Trace } from "../trace.ts";
import type { CodeText, Piece, Rows } from "./code-text.ts";
import { placed } from "./frame.ts";
import type { Box, Point, TextItem } from "./scene.ts";
import { formatWeight, oneLine, textWidth, truncate, visibleToken } from "./text.ts";

/** A part of a token on a line. */
export interface CodeToken extends Box {
  readonly position: number;
  /** How far the node is from its ablated value, of the farthest that it is: above it 0 to 1, below it 0 to -1. */
  readonly shade: number;
  /** Whether attention to other tokens starts here. */
  readonly reads: boolean;
  readonly isBreak: boolean;
  readonly title: string;
}

export interface Arc {
  readonly points: readonly Point[];
  /** 0 to 1 */
  readonly attention: number;
  /** Of the token that is read. */
  readonly shade: number;
  readonly title: string;
}

export interface CodePanel extends Box {
  readonly id: string | undefined;
  readonly tokens: readonly CodeToken[];
  readonly arcs: readonly Arc[];
  readonly texts: readonly TextItem[];
  /** Where lines begin that continue the one before them. */
  readonly continued: readonly Point[];
}

/** Shades under this are none: the node carries about what it does when it is ablated. */
export const IDLE = 0.1;
export const PAD = 10;
const SIZE = 12;
/** Width of a character. */
const CELL = (SIZE * ADVANCE) / UNITS_PER_EM;
const ROW = 17;
const LEAD = 7;
const HEADER = 36;
/** Of arcs that come from other lines. */
const LANDING = 10;

/** The text as every panel of a figure has it, from the panel's corner on. */
export interface PanelText {
  /** Those of lines that are shown. */
  readonly pieces: readonly (Piece & Box)[];
  /** Where a line continues the one before it, and where lines are left out. */
  readonly continued: readonly Point[];
  readonly folds: readonly TextItem[];
  readonly height: number;
}

interface Reading {
  readonly position: number;
  readonly query: number;
  readonly attention: number;
}

function readings(gatherings: readonly Gathering[]): Reading[] {
  return gatherings.flatMap(({ query, sources }) => sources.map((source) => ({ ...source, query })));
}

/** @param gatherings of all panels: lines have room above them for the arcs that end there */
export function panelText(code: CodeText, rows: Rows, gatherings: readonly Gathering[]): PanelText {
  const flat = code.pieces.flatMap((piece) => {
    const row = rows.of(piece.line);
    if (row === undefined) return [];
    return [{ ...piece, row, x: PAD + piece.cell * CELL, y: row, width: piece.cells * CELL, height: ROW }];
  });
  const anchors = anchorsOf(flat);
  const rises = new Map<number, number>();
  for (const { position, query } of readings(gatherings)) {
    const { row } = anchors.get(query)!;
    rises.set(row, Math.max(rises.get(row) ?? 0, riseOf(anchors.get(position)!, anchors.get(query)!)));
  }
  const tops: number[] = [];
  let y = HEADER;
  for (let row = 0; row < rows.count; row++) {
    y += LEAD + (rises.get(row) ?? 0);
    tops.push(y);
    y += ROW;
  }
  const lines = Array.from({ length: code.lines }, (_, line) => line);
  return {
    pieces: flat.map(({ row, ...piece }) => ({ ...piece, y: tops[row]! })),
    continued: lines.flatMap((line) => {
      const row = rows.of(line);
      return row !== undefined && code.continues(line) ? [{ x: PAD, y: tops[row]! }] : [];
    }),
    folds: [...rows.folds].map(([row, n]): TextItem => {
      const text = `… ${n} lines`;
      return { text, size: 9, role: "row", x: PAD, y: tops[row]!, width: textWidth(text, 9), height: ROW };
    }),
    height: y + PAD,
  };
}

/** Arcs begin and end at a token's first piece. */
function anchorsOf<P extends Piece>(pieces: readonly P[]): Map<number, P> {
  return new Map([...pieces].reverse().map((piece) => [piece.position, piece]));
}

const centreOf = ({ x, width }: Box): number => x + width / 2;

/** Height of an arc over the line where it ends. */
function riseOf(from: Box, to: Box): number {
  if (from.y !== to.y) return LANDING;
  return from === to ? 12 : Math.min(34, 9 + 0.14 * Math.abs(centreOf(from) - centreOf(to)));
}

interface PanelOptions {
  /** None where no node carries anything between tokens: the text alone. */
  readonly node: CircuitNode | undefined;
  readonly gatherings: readonly Gathering[];
  readonly text: PanelText;
  readonly at: Point;
  readonly width: number;
}

export function codePanel(circuit: Circuit, trace: Trace, options: PanelOptions): CodePanel {
  const { node, gatherings, text, at, width } = options;
  const pieces = text.pieces.map((piece) => ({ ...piece, x: piece.x + at.x, y: piece.y + at.y }));
  const shadeOf = (position: number): number => {
    const value = node && trace.values.get(node.id)![position]!;
    if (value === undefined || Number.isNaN(value)) return 0;
    const strength = activity(trace, node!.id, position);
    return strength < IDLE ? 0 : strength * Math.sign(value - trace.ablated.get(node!.id)!);
  };
  const readers = new Set(gatherings.map(({ query }) => query));
  const anchors = anchorsOf(pieces);
  return {
    ...at,
    width,
    height: text.height,
    id: node?.id,
    tokens: pieces.map(({ position, isBreak, x, y, width, height }): CodeToken => {
      const [shade, reads, title] = [shadeOf(position), readers.has(position), tokenTitle(trace, node, position)];
      return { x, y, width, height, position, shade, reads, isBreak, title };
    }),
    arcs: readings(gatherings).map(({ position, query, attention }): Arc => {
      const [from, to] = [anchors.get(position)!, anchors.get(query)!];
      const end = { x: centreOf(to), y: to.y };
      const start = { x: centreOf(from), y: from.y };
      const points =
        from.y === to.y
          ? arching(start, end, riseOf(from, to))
          : descending({ ...start, y: from.y + from.height }, end);
      const [reader, read] = [query, position].map((p) => `${p} ${visibleToken(trace.tokens[p]!.text)}`);
      const title = `token ${reader} attends to token ${read}: ${Number(attention.toPrecision(3))}`;
      return { points, attention, shade: shadeOf(position), title };
    }),
    continued: text.continued.map(({ x, y }) => ({ x: x + at.x, y: y + at.y })),
    texts: [
      ...header(circuit, options),
      ...text.folds.map((fold) => ({ ...fold, x: fold.x + at.x, y: fold.y + at.y })),
      ...pieces.flatMap(codeItem),
    ],
  };
}

/** The letters of a piece, without the spaces around them. */
function codeItem({ text, x, y, height }: Piece & Box): TextItem[] {
  const start = text.trimStart();
  if (start === "") return [];
  const skipped = ([...text].length - [...start].length) * CELL;
  const letters = start.trimEnd();
  return [{ text: letters, size: SIZE, role: "code", x: x + skipped, y, width: [...letters].length * CELL, height }];
}

/** Name and label of the panel's node; where it is, and what its head's attention is made of. */
function header(circuit: Circuit, { node, gatherings, at, width }: PanelOptions): TextItem[] {
  const left = at.x + PAD;
  const room = width - 2 * PAD;
  const item = (shown: string, role: TextItem["role"], size: number, x: number, y: number): TextItem =>
    placed(shown, role, size, x, at.y + y);
  const cells = (size: number, free: number): number => Math.floor(free / textWidth("x", size));
  if (node === undefined) return [item("the prompt", "layer", 11, left, 6)];
  const name = shownName(circuit, node);
  const head = item(truncate(node.head === undefined ? `neuron ${name}` : name, 24), "layer", 11, left, 6);
  const used = head.width + 8;
  const label = truncate(drawable(oneLine(node.label ?? "")), cells(10, room - used));
  const about = gatherings.length === 0 ? node.id : `${node.id} · ${attentionOf(circuit, node, cells(9, room))}`;
  return [
    head,
    ...(label === "" ? [] : [item(label, "side", 10, left + used, 6.5)]),
    item(truncate(about, cells(9, room)), "note", 9, left, 22),
  ];
}

/** The queries and keys of the node's head, or how many they are. */
function attentionOf(circuit: Circuit, node: CircuitNode, cells: number): string {
  const own = (site: string): CircuitNode[] =>
    circuit.nodes.filter((n) => n.site === site && headKey(n) === headKey(node));
  const [queries, keys] = [own("attn.q"), own("attn.k")];
  const all = [...queries, ...keys];
  if (all.length === 0) return "attention as ablated";
  const names = `looks by ${all.map((n) => shownName(circuit, n)).join(" ")}`;
  if (node.id.length + 3 + names.length <= cells) return names;
  return `looks by ${queries.length} queries, ${keys.length} keys`;
}

/** A curve with vertical ends from above a line to below another. */
function descending(from: Point, to: Point): Point[] {
  const bend = (to.y - from.y) / 2;
  return curve(from, { x: from.x, y: from.y + bend }, { x: to.x, y: to.y - bend }, to);
}

/** An arch above a line; of a token to itself a loop. */
function arching(from: Point, to: Point, rise: number): Point[] {
  // A cubic curve is three quarters as high as its handles.
  const y = from.y - rise / 0.75;
  if (from.x !== to.x) return curve(from, { x: from.x, y }, { x: to.x, y }, to);
  return curve({ x: from.x - 3, y: from.y }, { x: from.x - 10, y }, { x: to.x + 10, y }, { x: to.x + 3, y: to.y });
}

const STEPS = 24;

function curve(a: Point, b: Point, c: Point, d: Point): Point[] {
  return Array.from({ length: STEPS + 1 }, (_, i) => {
    const t = i / STEPS;
    const [wa, wb, wc, wd] = [(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t ** 3];
    return { x: wa * a.x + wb * b.x + wc * c.x + wd * d.x, y: wa * a.y + wb * b.y + wc * c.y + wd * d.y };
  });
}

function tokenTitle(trace: Trace, node: CircuitNode | undefined, position: number): string {
  const token = `token ${position}: ${visibleToken(trace.tokens[position]!.text)}`;
  const value = node && trace.values.get(node.id)![position]!;
  if (value === undefined || Number.isNaN(value)) return token;
  return `${token}\n${node!.id} ${formatWeight(value)}, ablated ${formatWeight(trace.ablated.get(node!.id)!)}`;
}
