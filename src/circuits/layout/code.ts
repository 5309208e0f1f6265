/**
 * The code view of a circuit on a prompt, as geometry: the prompt set as code, once for each node that carries something
 * from token to token. Tokens are shaded by what the node carries there; arcs over the text run from the token that is
 * read to the token that reads. The same circuit and trace give the same geometry; no text covers another.
 */
import { wrapWords } from "../../util/text.ts";
import type { Circuit, CircuitNode } from "../schema.ts";
import { activity, type Gathering, READABLE, type Trace, unroll } from "../trace.ts";
import { answerBlock, type Bar } from "./answers.ts";
import { type CodePanel, type CodeToken, codePanel, IDLE, PAD, panelText } from "./code-panel.ts";
import { type CodeText, foldLines, type Rows, setCode } from "./code-text.ts";
import { captions, placed, stacked } from "./frame.ts";
import type { Point, TextItem, TokenItem } from "./scene.ts";
import { textWidth } from "./text.ts";

/** What the legend explains. */
type Sample = "above" | "below" | "reads" | "weak" | "strong";

export interface CodeLayout {
  readonly width: number;
  readonly height: number;
  readonly panels: readonly CodePanel[];
  readonly texts: readonly TextItem[];
  readonly answers: readonly TokenItem[];
  readonly bars: readonly Bar[];
  readonly legend: readonly (Point & { readonly sample: Sample })[];
}

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
const CELLS = 96;
const PANEL_WIDTH = 300;
const LEGEND_ROW = 18;

export function codeLayout(circuit: Circuit, trace: Trace): CodeLayout {
  const unrolled = unroll(circuit, trace, UNROLLED);
  const last = trace.tokens.length - 1;
  const arcsOf = ({ id }: CircuitNode): Gathering[] => unrolled.gatherings.filter((g) => g.value.id === id);
  const before = (node: CircuitNode): boolean =>
    [...unrolled.nodes].some(([position, nodes]) => position < last && nodes.includes(node));
  const carrying = circuit.nodes.filter((n) => arcsOf(n).length > 0 || (n.site === "mlp.post_act" && before(n)));
  const constant = carrying.filter(({ id }) => isConstant(trace, id));
  const all = carrying.filter((n) => !constant.includes(n));
  const important = [...all].sort((a, b) => (b.importance ?? 0) - (a.importance ?? 0)).slice(0, MOST_PANELS);
  const shown = all.filter((node) => important.includes(node));

  const code = setCode(trace.tokens, CELLS);
  const rows = foldedRows(code, trace, shown, arcsOf);
  const text = panelText(code, rows, shown.flatMap(arcsOf));
  const width = Math.max(PANEL_WIDTH, ...text.pieces.map((piece) => piece.x + piece.width + PAD));
  const { top } = captions(circuit);
  const answers = answerBlock(trace, new Map());
  const places = Math.max(1, Math.min(shown.length, Math.floor((PAGE + GAP) / (width + GAP))));
  const full = Math.ceil(
    Math.max(places * (width + GAP) - GAP, answers.width, ...top.map((t) => t.width)) + 2 * MARGIN,
  );

  const { texts, bottom } = stacked(top, MARGIN, MARGIN);
  let y = bottom + 10;
  const panels: CodePanel[] = [];
  const cast: readonly (CircuitNode | undefined)[] = shown.length > 0 ? shown : [undefined];
  for (let i = 0; i < cast.length; i += places) {
    for (const [column, node] of cast.slice(i, i + places).entries()) {
      const at = { x: MARGIN + column * (width + GAP), y };
      panels.push(codePanel(circuit, trace, { node, gatherings: node ? arcsOf(node) : [], text, at, width }));
    }
    y += text.height + GAP;
  }
  texts.push(placed("next token, among the answers", "row", 9, MARGIN, y));
  const answered = answers.at(MARGIN, y + 16);
  texts.push(...answered.texts);
  y += 16 + answers.height + 18;
  const legend: (Point & { readonly sample: Sample })[] = [];
  let x = MARGIN;
  for (const [sample, text] of samples(panels)) {
    const taken = 26 + textWidth(text, 9);
    if (x > MARGIN && x + taken > full - MARGIN) [x, y] = [MARGIN, y + LEGEND_ROW];
    legend.push({ sample, x, y: y + 6 });
    texts.push(placed(text, "note", 9, x + 26, y));
    x += taken + 18;
  }
  y += LEGEND_ROW + 4;
  const cells = Math.floor((full - 2 * MARGIN) / textWidth("x", 9));
  for (const note of notes(circuit, { shown, omitted: all.length - shown.length, constant, rows }).flatMap((n) =>
    wrapWords(n, cells),
  )) {
    texts.push(placed(note, "note", 9, MARGIN, y));
    y += 14;
  }
  return {
    width: full,
    height: Math.ceil(y + MARGIN),
    panels,
    texts: [...texts, ...panels.flatMap((panel) => panel.texts)],
    answers: answered.tokens,
    bars: answered.bars,
    legend,
  };
}

/** Whether a node carries about the same at every token: then it makes no difference where attention goes. */
function isConstant({ values, ablated }: Trace, id: string): boolean {
  const known = [...values.get(id)!].filter((x) => !Number.isNaN(x));
  const [least, most] = [Math.min(...known), Math.max(...known)];
  return most - least <= IDLE * Math.max(...known.map((x) => Math.abs(x - ablated.get(id)!)));
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

interface Noted {
  readonly shown: readonly CircuitNode[];
  readonly omitted: number;
  readonly constant: readonly CircuitNode[];
  readonly rows: Rows;
}

function notes({ ablation }: Circuit, { shown, omitted, constant, rows }: Noted): string[] {
  const folded = [...rows.folds.values()].reduce((a, b) => a + b, 0);
  return [
    ...(shown.length > 0
      ? [
          `Shades: what the node carries against what it does when it is ablated (${ablation.kind}), of the farthest that it gets on the prompt.`,
        ]
      : ["No node of the circuit carries from token to token what differs between tokens."]),
    ...(shown.some((n) => n.site === "attn.v")
      ? [
          `Arcs are as wide as their attention, grey from tokens without a shade; tokens that bring less than ${100 * UNROLLED.share}% of what the strongest brings have none.`,
        ]
      : []),
    ...(constant.length > 0 ? [`The same at every token: ${constant.map(({ id }) => id).join(", ")}.`] : []),
    ...(omitted > 0 ? [`${omitted} more nodes carry something between tokens, of less importance than these.`] : []),
    ...(folded > 0 ? [`${folded} lines without arcs and strong shades are left out.`] : []),
  ];
}
