/**
 * The structure view as geometry: everything that a figure draws, with positions in pixels, y downwards. Writers of
 * formats add colours and syntax but move nothing, so a figure's geometry can be checked here.
 */
import type { Box, Point } from "../../drawing/drawing.ts";

export type { Box, Point };

export type TextRole = "title" | "subtitle" | "note" | "node" | "side" | "token" | "weight" | "layer" | "row" | "code";

/** A line of text; the box is what it may cover in any common monospace font. */
export interface TextItem extends Box {
  readonly text: string;
  /** Font size. */
  readonly size: number;
  readonly role: TextRole;
  /** Of weights: the sign, for colour. */
  readonly sign?: 1 | -1;
  /** Full text for a tooltip where `text` was cut. */
  readonly title?: string;
}

export interface NodeItem {
  readonly id: string;
  /** tick: a short bar across a residual channel's line. */
  readonly shape: "tick" | "circle" | "box";
  /** For ticks: whether the node reads the channel or writes to it. */
  readonly flow?: "read" | "write";
  /** Centre of the shape. */
  readonly x: number;
  readonly y: number;
  /** Half sizes of the shape, without side texts. */
  readonly halfWidth: number;
  readonly halfHeight: number;
  /** Shape and texts. */
  readonly box: Box;
  readonly title: string;
}

export interface TokenItem extends Box {
  readonly kind: "input" | "output";
  readonly token: number;
  readonly answer: boolean;
  readonly title: string;
}

export interface EdgeItem {
  readonly kind: "weight" | "embedding" | "unembedding" | "query-key" | "value";
  readonly points: readonly Point[];
  /** Only of the first three kinds. */
  readonly weight?: number;
  readonly title: string;
}

/** The line of a residual channel. */
export interface ChannelLine {
  readonly channel: number;
  readonly x: number;
  readonly top: number;
  readonly bottom: number;
}

export interface LegendItem extends Point {
  readonly sample:
    | ("positive" | "negative" | "residual" | "attention" | "circle" | "tick" | "box" | "token" | "answer")
    // Of unrolled views: what attention moves, shades from idle to most active, the greys of what is idle.
    | ("moved" | "shades" | "idle");
}

export interface StructureLayout {
  readonly width: number;
  readonly height: number;
  readonly nodes: readonly NodeItem[];
  readonly tokens: readonly TokenItem[];
  readonly edges: readonly EdgeItem[];
  readonly channels: readonly ChannelLine[];
  /** Dashed lines between sublayers. */
  readonly boundaries: readonly { readonly y: number; readonly left: number; readonly right: number }[];
  readonly texts: readonly TextItem[];
  readonly legend: readonly LegendItem[];
  /** Weights without a label, left to tooltips: no room, or too many. */
  readonly omittedLabels: number;
}

export function overlaps(a: Box, b: Box, gap = 0): boolean {
  return (
    a.x < b.x + b.width + gap && b.x < a.x + a.width + gap && a.y < b.y + b.height + gap && b.y < a.y + a.height + gap
  );
}
