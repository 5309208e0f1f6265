/**
 * A circuit unrolled on a prompt, as geometry: one column a token that has a part in the answer, computation downwards,
 * what attention moves sideways, the answers under the last token. Runs of other tokens are folded into a narrow column
 * each. The same circuit and trace give the same geometry; no text covers another.
 */
import type { Circuit } from "../schema.ts";
import { READABLE, type Trace, type Unrolled, type UnrollOptions, unroll } from "../trace.ts";
import { type Across, placeAcross } from "./across.ts";
import { answerBlock, type Bar } from "./answers.ts";
import { drawable } from "./font.ts";
import { captions, ROW_NAMES } from "./frame.ts";
import { placeLabels } from "./labels.ts";
import { bandHeight } from "./rows.ts";
import type { Box, ChannelLine, EdgeItem, NodeItem, TextItem, TokenItem } from "./scene.ts";
import { placeNode } from "./shapes.ts";
import { drawTracks, levels, type MoveItem, planTracks, TRACK_STEP, type Track } from "./sideways.ts";
import { oneLine, textWidth, truncate, visibleToken } from "./text.ts";
import { nodeTitle, STAGES, type Stage, type TokenColumn, tokenColumn } from "./unrolled-columns.ts";
import { columnLines } from "./unrolled-lines.ts";

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
  /** Weights without a label. */
  readonly omittedLabels: number;
}

/** Nodes nearer to their ablated value than this share of the farthest that they are on the prompt are drawn idle. */
const IDLE = 0.1;

/** All columns together; with more, fewer tokens are shown. */
const WIDEST = 2200;
const MARGIN = 20;
const PANEL_PAD = 8;
const TOKEN_HEIGHT = 18;
const BOUNDARY_SPACE = 16;
/** Above and below the tracks of attention. */
const TRACK_SPACE = 14;
/** Rows move apart until all weights have room for their numbers. */
const STRETCHES = [1.4, 2, 3];

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
  const attempt = (options: UnrollOptions) => {
    const unrolled = { ...unroll(circuit, trace, options), options };
    return { unrolled, columns: unrolled.positions.map((p) => tokenColumn(circuit, trace, unrolled, p)) };
  };
  const wide = (columns: readonly TokenColumn[]): boolean => columns.reduce((sum, c) => sum + c.width, 0) > WIDEST;
  let { unrolled, columns } = attempt(READABLE[0]!);
  for (const options of READABLE.slice(1)) if (wide(columns)) ({ unrolled, columns } = attempt(options));
  let layout = arrange(circuit, trace, unrolled, columns, 1);
  for (const stretch of STRETCHES) {
    if (layout.omittedLabels > 0) layout = arrange(circuit, trace, unrolled, columns, stretch);
  }
  return layout;
}

function arrange(
  circuit: Circuit,
  trace: Trace,
  unrolled: Unrolled & { readonly options: UnrollOptions },
  columns: readonly TokenColumn[],
  stretch: number,
): UnrolledLayout {
  const last = columns[columns.length - 1]!;
  const answers = answerBlock(trace, written(last));
  const top = captions(circuit).top;
  const across = placeAcross(columns, answers.width, Math.max(...top.map((t) => t.width)));
  const { width } = across;

  const texts: (TextItem & Shaded)[] = [];
  const write = (text: string, role: TextItem["role"], size: number, x: number, y: number): void => {
    texts.push({ text, role, size, x, y, width: textWidth(text, size), height: size + 3 });
  };
  let y = MARGIN;
  for (const line of top) {
    texts.push({ ...line, x: MARGIN, y });
    y += line.height + 3;
  }
  const prompt = drawable(oneLine(trace.tokens.map((t) => visibleToken(t.text)).join("")));
  write(truncate(`prompt ${prompt}`, Math.floor((width - 2 * MARGIN) / textWidth("x", 10))), "subtitle", 10, MARGIN, y);
  y += 38;
  const tokenTop = y;
  const { tokens, texts: names } = tokenBoxes(trace, columns, across, y);
  texts.push(...names);
  write("tokens", "row", 9, MARGIN, y + 3);

  // From top to bottom: the rows of all columns alike, with room between them for what runs there.
  y += TOKEN_HEIGHT + bandHeight(Math.max(...columns.map((c) => c.embedded.length)), stretch);
  const embedY = y;
  const tracks = planTracks(circuit.nodes, unrolled.gatherings, across.nodeX);
  const rows = planStages(circuit, columns, tracks, y + 4, stretch);
  for (const { stage, y } of rows.stages) write(ROW_OF[stage], "row", 9, MARGIN, y - 6);
  for (const { name, y } of rows.sublayers) write(name, "layer", 11, width - MARGIN - textWidth(name, 11), y + 4);
  const unembedY = rows.bottom + 4;
  y = unembedY + bandHeight(answers.entries.length, stretch);
  const placed = answers.at(across.answers, y);
  tokens.push(...placed.tokens);
  texts.push(...placed.texts);
  write("answers", "row", 9, MARGIN, y + 3);

  const nodes: (NodeItem & { activity: number; idle: boolean })[] = [];
  const items = new Map<string, NodeItem>();
  for (const column of columns) {
    for (const n of column.nodes) {
      const { position } = column;
      const at = rows.y(n.layer, n.stage);
      const { item, texts: own } = placeNode(column.columns.shapes.get(n.id)!, across.nodeX(position, n.id), at);
      const idle = n.activity < IDLE;
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
    const ends = column === last ? { entries: answers.entries, top: placed.top, y: unembedY } : undefined;
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
  const moved = drawTracks(circuit.nodes, trace, tracks, { item, top: rows.trackTop, idle: IDLE });
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

  y += answers.height + 16;
  for (const note of notes(circuit, across, unrolled.options, omittedLabels)) {
    write(note, "note", 9, MARGIN, y);
    y += 14;
  }
  const line = { left: MARGIN, right: width - MARGIN };
  return {
    width: Math.max(width, ...texts.map((t) => Math.ceil(t.x + t.width + MARGIN))),
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
    bars: placed.bars,
    texts,
    omittedLabels,
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

interface StagePlan {
  readonly stages: readonly { readonly stage: Stage; readonly y: number }[];
  readonly sublayers: readonly { readonly name: string; readonly y: number }[];
  readonly y: (layer: number, stage: Stage) => number;
  readonly trackTop: (layer: number, kind: Track["kind"]) => number;
  readonly bottom: number;
}

function planStages(
  circuit: Circuit,
  columns: readonly TokenColumn[],
  tracks: readonly Track[],
  top: number,
  stretch: number,
): StagePlan {
  const stages: { stage: Stage; y: number }[] = [];
  const sublayers: { name: string; y: number }[] = [];
  const rowY = new Map<string, number>();
  const trackY = new Map<string, number>();
  let y = top;
  for (let layer = 0; layer < circuit.model.layers; layer++) {
    for (const stage of STAGES) {
      const members = columns.map((c) => c.nodes.filter((n) => n.layer === layer && n.stage === stage));
      const shapes = members.flatMap((m, i) => m.map((n) => columns[i]!.columns.shapes.get(n.id)!));
      if (shapes.length === 0) continue;
      const name = `${layer}.${stage === "neuron" || stage.startsWith("mlp") ? "mlp" : "attn"}`;
      const kind = stage === "softmax" ? "key" : "value";
      if (name !== sublayers[sublayers.length - 1]?.name) {
        y += sublayers.length > 0 ? BOUNDARY_SPACE : 0;
        sublayers.push({ name, y });
        y += BOUNDARY_SPACE;
      } else if (stage === "softmax" || stage === "gather") {
        trackY.set(`${layer}.${kind}`, y + TRACK_SPACE + 4);
        y += 2 * TRACK_SPACE + TRACK_STEP * Math.max(0, levels(tracks, layer, kind) - 1) + 4;
      } else {
        const incoming = columns.map(({ edges }, i) => {
          const targets = new Set(members[i]!.map((n) => n.id));
          return edges.filter((e) => targets.has(e.target)).length;
        });
        y += bandHeight(Math.max(...incoming), stretch);
      }
      y += Math.max(...shapes.map((s) => s.up));
      rowY.set(`${layer}.${stage}`, y);
      stages.push({ stage, y });
      y += Math.max(...shapes.map((s) => s.down));
    }
  }
  return {
    stages,
    sublayers,
    y: (layer, stage) => rowY.get(`${layer}.${stage}`)!,
    trackTop: (layer, kind) => trackY.get(`${layer}.${kind}`)!,
    bottom: y + BOUNDARY_SPACE,
  };
}

function notes(circuit: Circuit, { folds }: Across, { share, most }: UnrollOptions, omitted: number): string[] {
  const { ablation, links } = circuit;
  const attends = circuit.nodes.some((n) => n.site === "attn.v");
  return [
    "Numbers beside nodes: what they carry on this prompt. Numbers on lines: weights.",
    ...(attends
      ? [
          "Sideways: values from the tokens that they are of, with the attention that these get; Σ is their sum over all tokens.",
        ]
      : []),
    ...(attends && !links.some((l) => l.kind === "value")
      ? ["No query or key is in the circuit: attention is the ablated one."]
      : []),
    `Grey: carries about what it does when it is ablated (${ablation.kind}). Probabilities are among the answers.`,
    ...(folds.length > 0
      ? [
          `Folded (…): tokens that bring less than ${share * 100}% of what the strongest brings; at most ${most} are shown.`,
        ]
      : []),
    ...(omitted > 0 ? [`${omitted} weights are not labelled: see their tooltips.`] : []),
  ];
}
