/**
 * The code view of a circuit on a prompt, as geometry: the prompt set as code, once for each node that carries something
 * from token to token. Tokens are shaded by what the node carries there; arcs over the text run from the token that is
 * read to the token that reads. The same circuit and trace give the same geometry; no text covers another.
 */
import { wrapWords } from "../../util/text.ts";
import { positionName, shownName } from "../graph.ts";
import type { Circuit, CircuitNode } from "../schema.ts";
import { activity, type Gathering, headKey, READABLE, type Trace, unroll } from "../trace.ts";
import { answerBlock, type Bar } from "./answers.ts";
import { type CodeText, foldLines, type Piece, type Rows, setCode } from "./code-text.ts";
import { ADVANCE, drawable, UNITS_PER_EM } from "./font.ts";
import { captions } from "./frame.ts";
import type { Box, Point, TextItem, TokenItem } from "./scene.ts";
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
}

/** What the legend explains. */
export type Sample = "above" | "below" | "reads" | "weak" | "strong";

export interface CodeLayout {
  readonly width: number;
  readonly height: number;
  readonly panels: readonly CodePanel[];
  readonly texts: readonly TextItem[];
  /** Continued lines, at their beginning. */
  readonly continued: readonly Point[];
  readonly answers: readonly TokenItem[];
  readonly bars: readonly Bar[];
  readonly legend: readonly (Point & { readonly sample: Sample })[];
}

/** Shades under this are none: the node carries about what it does when it is ablated. */
export const IDLE = 0.1;
const UNROLLED = READABLE[0]!;
/** Circuits with more nodes to show have those of most importance. */
const MOST_PANELS = 8;
/** Longer texts leave out lines without an arc and without a shade of at least this. */
const MOST_LINES = 24;
const STRONG = 0.5;

const MARGIN = 20;
/** Panels stand beside each other up to this width. */
const PAGE = 1040;
const GAP = 16;
const PAD = 10;
const SIZE = 12;
const CELL = (SIZE * ADVANCE) / UNITS_PER_EM;
const CELLS = 96;
const ROW = 17;
const LEAD = 7;
const HEADER = 36;
const PANEL_WIDTH = 300;
const LEGEND_ROW = 18;

export function codeLayout(circuit: Circuit, trace: Trace): CodeLayout {
  const unrolled = unroll(circuit, trace, UNROLLED);
  const last = trace.tokens.length - 1;
  const arcsOf = ({ id }: CircuitNode): Gathering[] => unrolled.gatherings.filter((g) => g.value.id === id);
  const before = (node: CircuitNode): boolean =>
    [...unrolled.nodes].some(([position, nodes]) => position < last && nodes.includes(node));
  const all = circuit.nodes.filter((n) => arcsOf(n).length > 0 || (n.site === "mlp.post_act" && before(n)));
  const important = [...all].sort((a, b) => (b.importance ?? 0) - (a.importance ?? 0)).slice(0, MOST_PANELS);
  const shown = all.filter((node) => important.includes(node));

  const code = setCode(trace.tokens, CELLS);
  const rows = foldedRows(code, trace, shown, arcsOf);
  const width = Math.max(PANEL_WIDTH, code.width * CELL + 2 * PAD);
  const { top } = captions(circuit);
  const answers = answerBlock(trace, new Map());
  const places = Math.max(1, Math.min(shown.length, Math.floor((PAGE + GAP) / (width + GAP))));
  const full = Math.ceil(
    Math.max(places * (width + GAP) - GAP, answers.width, ...top.map((t) => t.width)) + 2 * MARGIN,
  );

  const texts: TextItem[] = [];
  const write = (text: string, role: TextItem["role"], size: number, x: number, y: number): void => {
    texts.push({ text, role, size, x, y, width: textWidth(text, size), height: size + 3 });
  };
  let y = MARGIN;
  for (const line of top) {
    texts.push({ ...line, x: MARGIN, y });
    y += line.height + 3;
  }
  y += 10;
  const panels: CodePanel[] = [];
  const continued: Point[] = [];
  const cast: readonly (CircuitNode | undefined)[] = shown.length > 0 ? shown : [undefined];
  for (let i = 0; i < cast.length; i += places) {
    const row = cast.slice(i, i + places).map((node, column) => {
      const at = { x: MARGIN + column * (width + GAP), y };
      return panel(circuit, trace, { node, gatherings: node ? arcsOf(node) : [], code, rows, at, width });
    });
    const height = Math.max(...row.map(({ box }) => box.height));
    for (const { box, tokens, arcs, texts: own, continued: marks, id } of row) {
      panels.push({ ...box, height, id, tokens, arcs });
      texts.push(...own);
      continued.push(...marks);
    }
    y += height + GAP;
  }
  write("next token, among the answers", "row", 9, MARGIN, y);
  const placed = answers.at(MARGIN, y + 16);
  texts.push(...placed.texts);
  y += 16 + answers.height + 18;
  const legend: (Point & { readonly sample: Sample })[] = [];
  let x = MARGIN;
  for (const [sample, text] of samples(panels)) {
    const taken = 26 + textWidth(text, 9);
    if (x > MARGIN && x + taken > full - MARGIN) [x, y] = [MARGIN, y + LEGEND_ROW];
    legend.push({ sample, x, y: y + 6 });
    write(text, "note", 9, x + 26, y);
    x += taken + 18;
  }
  y += LEGEND_ROW + 4;
  const cells = Math.floor((full - 2 * MARGIN) / textWidth("x", 9));
  for (const note of notes(circuit, shown, all.length - shown.length, rows).flatMap((n) => wrapWords(n, cells))) {
    write(note, "note", 9, MARGIN, y);
    y += 14;
  }
  return {
    width: full,
    height: Math.ceil(y + MARGIN),
    panels,
    texts,
    continued,
    answers: placed.tokens,
    bars: placed.bars,
    legend,
  };
}

/** Long texts without the lines where little happens. */
function foldedRows(
  code: CodeText,
  trace: Trace,
  nodes: readonly CircuitNode[],
  arcsOf: (node: CircuitNode) => readonly Gathering[],
): Rows {
  if (code.lines <= MOST_LINES) return foldLines(code.lines, () => true);
  const last = trace.tokens.length - 1;
  const ends = nodes.flatMap((n) => arcsOf(n).flatMap((g) => [g.query, ...g.sources.map((s) => s.position)]));
  const busy = new Set([0, last, ...ends]);
  for (const { id } of nodes) {
    for (let p = 0; p <= last; p++) if (activity(trace, id, p) >= STRONG) busy.add(p);
  }
  const kept = new Set(code.pieces.filter(({ position }) => busy.has(position)).map(({ line }) => line));
  return foldLines(code.lines, (line) => kept.has(line));
}

interface PanelOptions {
  readonly node: CircuitNode | undefined;
  readonly gatherings: readonly Gathering[];
  readonly code: CodeText;
  readonly rows: Rows;
  readonly at: Point;
  readonly width: number;
}

function panel(circuit: Circuit, trace: Trace, options: PanelOptions) {
  const { node, gatherings, code, rows, at, width } = options;
  const pieces = code.pieces.filter(({ line }) => rows.of(line) !== undefined);
  const anchors = new Map<number, Piece>();
  for (const piece of [...pieces].reverse()) anchors.set(piece.position, piece);
  const rowOf = ({ line }: Piece): number => rows.of(line)!;
  const pairs = gatherings.flatMap(({ query, sources }) => {
    return sources.map(({ position, attention }) => ({ position, query, attention }));
  });

  // Rows have room above them for the arcs between their own tokens.
  const centre = ({ cell, cells }: Piece): number => at.x + PAD + (cell + cells / 2) * CELL;
  const rise = ({ position, query }: (typeof pairs)[number]): number => {
    const [from, to] = [anchors.get(position)!, anchors.get(query)!];
    if (rowOf(from) !== rowOf(to)) return 0;
    return position === query ? 12 : Math.min(34, 9 + 0.14 * Math.abs(centre(from) - centre(to)));
  };
  const tops: number[] = [];
  let y = at.y + (node ? HEADER : PAD);
  for (let row = 0; row < rows.count; row++) {
    const own = pairs.filter(({ query }) => rowOf(anchors.get(query)!) === row);
    y += LEAD + Math.max(0, ...own.map((pair) => rise(pair)));
    tops.push(y);
    y += ROW;
  }
  const boxOf = (piece: Piece): Box => {
    const x = at.x + PAD + piece.cell * CELL;
    return { x, y: tops[rowOf(piece)]!, width: piece.cells * CELL, height: ROW };
  };

  const shadeOf = (position: number): number => {
    const value = node && trace.values.get(node.id)![position]!;
    if (value === undefined || Number.isNaN(value)) return 0;
    const strength = activity(trace, node!.id, position);
    return strength < IDLE ? 0 : strength * Math.sign(value - trace.ablated.get(node!.id)!);
  };
  const readers = new Set(gatherings.map(({ query }) => query));
  const tokens = pieces.map((piece): CodeToken => {
    const { position, isBreak } = piece;
    const title = tokenTitle(trace, node, position);
    return { ...boxOf(piece), position, shade: shadeOf(position), reads: readers.has(position), isBreak, title };
  });
  const arcs = pairs.map((pair): Arc => {
    const { position, query, attention } = pair;
    const [from, to] = [anchors.get(position)!, anchors.get(query)!];
    const end = { x: centre(to), y: tops[rowOf(to)]! };
    const points =
      rowOf(from) !== rowOf(to)
        ? descending({ x: centre(from), y: tops[rowOf(from)]! + ROW }, end)
        : arching({ x: centre(from), y: end.y }, end, rise(pair));
    const names = [query, position].map((p) => `${p} ${visibleToken(trace.tokens[p]!.text)}`);
    const title = `token ${names[0]} attends to token ${names[1]}: ${Number(attention.toPrecision(3))}`;
    return { points, attention, shade: shadeOf(position), title };
  });
  const texts = pieces.flatMap((piece): TextItem[] => {
    const text = piece.text.trimStart();
    if (text === "") return [];
    const box = boxOf(piece);
    const skipped = ([...piece.text].length - [...text].length) * CELL;
    const place = { x: box.x + skipped, y: box.y, width: box.width - skipped, height: ROW };
    return [{ ...place, text: text.trimEnd(), size: SIZE, role: "code" }];
  });
  for (const [row, lines] of rows.folds) {
    const text = `… ${lines} lines`;
    const place = { x: at.x + PAD, y: tops[row]!, width: textWidth(text, 9), height: ROW };
    texts.push({ ...place, text, size: 9, role: "row" });
  }
  texts.push(...header(circuit, options, gatherings));
  const continued = Array.from({ length: code.lines }, (_, line) => line)
    .filter((line) => code.continues(line) && rows.of(line) !== undefined)
    .map((line) => ({ x: at.x + PAD, y: tops[rows.of(line)!]! }));
  const box = { ...at, width, height: y + PAD - at.y };
  return { box, tokens, arcs, texts, continued, id: node?.id };
}

/** Name and label of the panel's node; where it is, and what its head's attention is made of. */
function header(circuit: Circuit, { node, at, width }: PanelOptions, gatherings: readonly Gathering[]): TextItem[] {
  if (node === undefined) return [];
  const room = width - 2 * PAD;
  const name = positionName(circuit, node) ?? shownName(circuit, node);
  const head = truncate(node.head === undefined ? `neuron ${name}` : name, 24);
  const left = at.x + PAD;
  const text = (shown: string, role: TextItem["role"], size: number, x: number, y: number): TextItem => {
    return { text: shown, role, size, x, y, width: textWidth(shown, size), height: size + 3 };
  };
  const texts = [text(head, "layer", 11, left, at.y + 6)];
  const used = texts[0]!.width + 8;
  if (node.label) {
    const cells = Math.floor((room - used) / textWidth("x", 10));
    texts.push(text(truncate(drawable(oneLine(node.label)), cells), "side", 10, left + used, at.y + 6.5));
  }
  const own = circuit.nodes.filter((n) => /attn\.[qk]$/.test(n.site) && headKey(n) === headKey(node));
  const looking =
    own.length > 0 ? `looks by ${own.map((n) => shownName(circuit, n)).join(" ")}` : "attention as ablated";
  const about = gatherings.length > 0 ? `${node.id} · ${looking}` : node.id;
  texts.push(text(truncate(about, Math.floor(room / textWidth("x", 9))), "note", 9, left, at.y + 22));
  return texts;
}

/** A curve with vertical ends from above a line to below another. */
function descending(from: Point, to: Point): Point[] {
  const bend = Math.max(10, (to.y - from.y) / 2);
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

/** Of what there is in the figure. */
function samples(panels: readonly CodePanel[]): (readonly [Sample, string])[] {
  const some = (test: (token: CodeToken) => boolean): boolean => panels.some(({ tokens }) => tokens.some(test));
  const attends = panels.some(({ arcs }) => arcs.length > 0);
  const all: readonly (readonly [Sample, string, boolean])[] = [
    ["above", "carries more than when ablated", some((t) => t.shade > 0)],
    ["below", "carries less", some((t) => t.shade < 0)],
    ["reads", "token that attends", attends],
    ["weak", "attention 0.1", attends],
    ["strong", "attention 1", attends],
  ];
  return all.flatMap(([sample, text, present]) => (present ? [[sample, text] as const] : []));
}

function notes({ ablation }: Circuit, shown: readonly CircuitNode[], omitted: number, rows: Rows): string[] {
  const folded = [...rows.folds.values()].reduce((a, b) => a + b, 0);
  return [
    ...(shown.length > 0
      ? [
          `Shades: what the node carries against what it does when it is ablated (${ablation.kind}), of the farthest that it gets on the prompt.`,
        ]
      : ["No node of the circuit carries anything from one token to another."]),
    ...(shown.some((n) => n.site === "attn.v")
      ? [
          `Arcs are as wide as their attention; tokens that bring less than ${100 * UNROLLED.share}% of what the strongest brings have none.`,
        ]
      : []),
    ...(omitted > 0 ? [`${omitted} more nodes carry something between tokens, of less importance than these.`] : []),
    ...(folded > 0 ? [`${folded} lines without arcs and strong shades are left out.`] : []),
  ];
}
