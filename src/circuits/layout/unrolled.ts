/**
 * A circuit unrolled on a prompt, as geometry: one column a token that has a part in the answer, computation downwards,
 * what attention moves sideways, the answers under the last token. Runs of other tokens are folded into a narrow column
 * each. The same circuit and trace give the same geometry; no text covers another.
 */
import type { Circuit } from "../schema.ts";
import { READABLE, type Trace, type Unrolled, type UnrollOptions, unroll } from "../trace.ts";
import { type Across, placeAcross } from "./across.ts";
import { answerBlock, type Bar } from "./answers.ts";
import { captions, placed, ROW_NAMES, stacked } from "./frame.ts";
import { placeLabels } from "./labels.ts";
import { bandHeight } from "./rows.ts";
import type { Box, ChannelLine, EdgeItem, LegendItem, NodeItem, TextItem, TokenItem } from "./scene.ts";
import { placeNode } from "./shapes.ts";
import { drawTracks, type MoveItem, planTracks } from "./sideways.ts";
import { textWidth, visibleToken } from "./text.ts";
import { nodeTitle, type Stage, type TokenColumn, tokenColumn } from "./unrolled-columns.ts";
import { absentNote, NOTE_SIZE, PROMPT_SIZE, promptLines, unrolledLegend, unrolledNotes } from "./unrolled-frame.ts";
import { columnLines } from "./unrolled-lines.ts";
import { planStages } from "./unrolled-rows.ts";

interface Shaded {
  /** Carries about what it would if it were ablated. */
  readonly idle?: boolean;
}

export interface UnrolledLayout {
  readonly width: number;
  readonly height: number;
  /** Behind each token's column. */
  readonly panels: readonly Box[];
  readonly nodes: readonly (NodeItem & { readonly activity: number; readonly idle: boolean })[];
  readonly tokens: readonly (TokenItem & Shaded)[];
  readonly edges: readonly (EdgeItem & Shaded)[];
  readonly moves: readonly MoveItem[];
  readonly channels: readonly ChannelLine[];
  readonly boundaries: readonly { readonly y: number; readonly left: number; readonly right: number }[];
  readonly bars: readonly Bar[];
  readonly texts: readonly (TextItem & Shaded)[];
  readonly legend: readonly LegendItem[];
  /** Weights without a label. */
  readonly omittedLabels: number;
  /** How many nodes are not drawn, and why; undefined where all are. */
  readonly absent: string | undefined;
}

/** Nodes nearer to their ablated value than this share of the farthest that they are on the prompt are drawn idle. */
const IDLE = 0.1;

/** Of the canvas: on a page of text 6.5 inches wide the weights are in letters of 4 points. Many nodes get more. */
const PAGE = 1050;
const SPREAD = 1600;
const PAGE_NODES = 40;
const MARGIN = 20;
const PANEL_PAD = 7;
const TOKEN_HEIGHT = 18;
/** Rows move apart until all weights have room for their numbers. */
const STRETCHES = [1, 1.4, 2, 3];

const ROW_OF: Record<Stage, string> = {
  read: ROW_NAMES["attn.act_in"],
  project: "q, k, v",
  softmax: "attention",
  gather: "gathered",
  write: ROW_NAMES["attn.resid_delta"],
  mlpRead: ROW_NAMES["mlp.act_in"],
  neuron: ROW_NAMES["mlp.post_act"],
  mlpWrite: ROW_NAMES["mlp.resid_delta"],
};

export function unrolledLayout(circuit: Circuit, trace: Trace): UnrolledLayout {
  const room = circuit.nodes.length <= PAGE_NODES ? PAGE : SPREAD;
  let layout: UnrolledLayout | undefined;
  for (const [i, options] of READABLE.entries()) {
    const shown = { options, unrolled: unroll(circuit, trace, options) };
    const columns: TokenColumn[] = [];
    let used = 0;
    for (const position of shown.unrolled.positions) {
      columns.push(tokenColumn(circuit, trace, shown.unrolled, position));
      used += columns[columns.length - 1]!.width;
      if (used > room && i + 1 < READABLE.length) break;
    }
    if (used > room && i + 1 < READABLE.length) continue;
    for (const stretch of STRETCHES) {
      layout = arrange(circuit, trace, shown, columns, stretch);
      if (layout.width > room || layout.omittedLabels === 0) break;
    }
    if (layout!.width <= room) break;
  }
  return layout!;
}

interface Shown {
  readonly options: UnrollOptions;
  readonly unrolled: Unrolled;
}

function arrange(
  circuit: Circuit,
  trace: Trace,
  { options, unrolled }: Shown,
  columns: readonly TokenColumn[],
  stretch: number,
): UnrolledLayout {
  const last = columns[columns.length - 1]!;
  const answers = answerBlock(trace, written(last));
  const top = captions(circuit).top;
  const across = placeAcross(columns, answers.width, Math.max(...top.map((t) => t.width)));
  const { width } = across;

  const head = stacked(top, MARGIN, MARGIN);
  const texts: (TextItem & Shaded)[] = [...head.texts];
  let y = head.bottom;
  for (const line of promptLines(trace, width - 2 * MARGIN)) {
    texts.push(placed(line, "subtitle", PROMPT_SIZE, MARGIN, y));
    y += PROMPT_SIZE + 4;
  }
  y += 24;
  const tokenTop = y;
  const { tokens, texts: names } = tokenBoxes(trace, columns, across, y);
  texts.push(...names);
  texts.push(placed("tokens", "row", 9, MARGIN, y + 3));

  // From top to bottom: the rows of all columns alike, with room between them for what runs there.
  y += TOKEN_HEIGHT + bandHeight(Math.max(...columns.map((c) => c.embedded.length)), stretch);
  const embedY = y;
  const tracks = planTracks(unrolled, across.nodeX);
  const rows = planStages(circuit, columns, tracks, y + 4, stretch);
  for (const { stage, y } of rows.stages) texts.push(placed(ROW_OF[stage], "row", 9, MARGIN, y - 6));
  for (const { name, y } of rows.sublayers)
    texts.push(placed(name, "layer", 11, width - MARGIN - textWidth(name, 11), y + 4));
  const unembedY = rows.bottom + 4;
  y = unembedY + bandHeight(answers.entries.length, stretch);
  const answered = answers.at(across.answers, y);
  tokens.push(...answered.tokens);
  texts.push(...answered.texts);
  texts.push(placed("answers", "row", 9, MARGIN, y + 3));

  const nodes: (NodeItem & { activity: number; idle: boolean })[] = [];
  const items = new Map<string, NodeItem>();
  for (const column of columns) {
    for (const n of column.nodes) {
      const { position } = column;
      const at = rows.y(n.layer, n.stage);
      const { item, texts: own } = placeNode(column.columns.shapes.get(n.id)!, across.nodeX(position, n.id), at);
      const idle = n.stage !== "softmax" && n.activity < IDLE;
      items.set(`${n.id}@${position}`, item);
      nodes.push({
        ...item,
        id: `${n.id}@${position}`,
        title: nodeTitle(trace, n, position),
        idle,
        activity: n.activity,
      });
      texts.push(...own.map((t) => ({ ...t, idle })));
    }
  }
  const item = (position: number, id: string): NodeItem | undefined => items.get(`${id}@${position}`);
  const lines = columns.map((column) => {
    const ends = column === last ? { entries: answers.entries, top: answered.top, y: unembedY } : undefined;
    return columnLines(trace, column, {
      item,
      across,
      idle: IDLE,
      tokenY: tokenTop + TOKEN_HEIGHT,
      embedY,
      answers: ends,
    });
  });
  const edges = lines.flatMap((l) => l.edges);
  const moved = drawTracks(unrolled, trace, tracks, { item, top: rows.trackTop, idle: IDLE });
  texts.push(...moved.texts);

  // Numbers on lines: first those of what is active.
  const obstacles: Box[] = [...nodes.map((n) => n.box), ...tokens, ...texts];
  let omittedLabels = 0;
  for (const idle of [false, true]) {
    const labels = placeLabels(
      edges.filter((e) => e.idle === idle),
      obstacles,
    );
    obstacles.push(...labels.texts);
    texts.push(...labels.texts.map((t) => ({ ...t, idle })));
    omittedLabels += labels.omitted;
  }

  y += answers.height + 22;
  const drawn = new Set([...unrolled.nodes.values()].flat());
  const legend = unrolledLegend([...drawn], MARGIN, y, width - MARGIN);
  texts.push(...legend.texts);
  y = legend.bottom;
  const leftOut = {
    ...options,
    folded: trace.tokens.length - columns.length,
    shown: columns.length,
    nodes: circuit.nodes.length - drawn.size,
  };
  for (const note of unrolledNotes(circuit, leftOut, omittedLabels, width - 2 * MARGIN)) {
    texts.push(placed(note, "note", NOTE_SIZE, MARGIN, y));
    y += NOTE_SIZE + 5;
  }
  const line = { left: MARGIN, right: width - MARGIN };
  return {
    width,
    height: Math.ceil(y + MARGIN),
    panels: columns.map(({ position, width }) => ({
      x: across.left(position) - PANEL_PAD,
      y: tokenTop - 16,
      width: width + 2 * PANEL_PAD,
      height: rows.bottom - tokenTop + 16,
    })),
    nodes,
    tokens,
    edges,
    moves: moved.moves,
    channels: lines.flatMap((l) => l.channels),
    boundaries: [...rows.sublayers.map(({ y }) => ({ y, ...line })), { y: rows.bottom, ...line }],
    bars: answered.bars,
    texts,
    legend: legend.items,
    omittedLabels,
    absent: absentNote(circuit, leftOut),
  };
}

/** x of the channels that a column writes, in the column. */
function written({ nodes, columns }: TokenColumn): Map<number, number> {
  const channels = nodes.filter((n) => n.node.site.endsWith("resid_delta")).map((n) => n.node.channel);
  return new Map([...columns.lineX].filter(([c]) => channels.includes(c)));
}

/** Tokens along the top, with their positions, and folded ones. */
function tokenBoxes(trace: Trace, columns: readonly TokenColumn[], across: Across, y: number) {
  const tokens: (TokenItem & Shaded)[] = [];
  const texts: (TextItem & Shaded)[] = [];
  const box = (centre: number, width: number, text: string, over: string, token: number, title: string): void => {
    const idle = token < 0;
    tokens.push({
      kind: "input",
      token,
      answer: false,
      x: centre - width / 2,
      y,
      width,
      height: TOKEN_HEIGHT,
      title,
      idle,
    });
    for (const [shown, role, size, top] of [
      [text, "token", 11, y + 2],
      [over, "note", 8, y - 13],
    ] as const) {
      const w = textWidth(shown, size);
      texts.push({ text: shown, role, size, x: centre - w / 2, y: top, width: w, height: size + 3, idle });
    }
  };
  for (const { position, text, tokenWidth, width } of columns) {
    const { token, text: whole } = trace.tokens[position]!;
    const centre = across.left(position) + width / 2;
    box(centre, tokenWidth, text, String(position), token, `token ${position}: ${visibleToken(whole)}`);
  }
  for (const { x, width, from, to } of across.folds) {
    const hidden = trace.tokens.slice(from, to + 1).map((t) => visibleToken(t.text));
    box(x + width / 2, width, "…", `×${hidden.length}`, -1, `tokens ${from} to ${to}: ${hidden.join("")}`);
  }
  return { tokens, texts };
}
