/**
 * The token columns of an unrolled figure: which nodes and lines each has, and where they stand in it from left to
 * right. A head that attends has two kinds of boxes of its own in its token's column: its softmax, where queries and keys
 * meet, and for each value channel what it gathers from the tokens.
 */
import { drawable } from "../../drawing/font.ts";
import { nodeId } from "../../model/sites.ts";
import type { Circuit, CircuitEdge, CircuitNode } from "../schema.ts";
import { activity, type Gathering, headKey, type Trace, type Unrolled } from "../trace.ts";
import { type Columns, placeColumns } from "./columns.ts";
import { sublayerKey } from "./order.ts";
import { type NodeShape, nodeShape, type ShapeOptions } from "./shapes.ts";
import { formatWeight, oneLine, textWidth, truncate, visibleToken } from "./text.ts";

const TOKEN_SIZE = 11;
const TOKEN_PAD = 6;
const TOKEN_CELLS = 16;
/** Between the residual channels of a token. */
const APART = 34;
/** Between its nodes. */
const PAD = 10;

/** In the order of computation within a layer. */
export const STAGES = ["read", "project", "softmax", "gather", "write", "mlpRead", "neuron", "mlpWrite"] as const;
export type Stage = (typeof STAGES)[number];

const STAGE_OF: Record<CircuitNode["site"], Stage> = {
  "attn.act_in": "read",
  "attn.q": "project",
  "attn.k": "project",
  "attn.v": "project",
  "attn.resid_delta": "write",
  "mlp.act_in": "mlpRead",
  "mlp.post_act": "neuron",
  "mlp.resid_delta": "mlpWrite",
};

export interface ColumnNode {
  readonly id: string;
  readonly layer: number;
  readonly stage: Stage;
  readonly node: CircuitNode;
  /** 0 where it carries what it would when ablated, 1 where it is farthest from that; of a softmax 0. */
  readonly activity: number;
}

export interface TokenColumn {
  readonly position: number;
  /** As it is shown. */
  readonly text: string;
  readonly tokenWidth: number;
  readonly nodes: readonly ColumnNode[];
  readonly edges: readonly CircuitEdge[];
  /** What the token's embedding puts into the channels that are read here. */
  readonly embedded: readonly { readonly channel: number; readonly weight: number }[];
  readonly columns: Columns;
  readonly width: number;
}

export function gatherId({ value }: Pick<Gathering, "value">): string {
  return `${value.id}+`;
}

export function softmaxId(node: CircuitNode): string {
  return `${headKey(node)}.softmax`;
}

/** What a value channel's attention brings to a token in all. */
function gathered(trace: Trace, node: CircuitNode, query: number): number {
  const weights = trace.attention.get(headKey(node))![query]!;
  const values = trace.values.get(nodeId(node))!;
  let sum = 0;
  for (let p = 0; p <= query; p++) sum += weights[p]! * values[p]!;
  return sum;
}

export function tokenColumn(circuit: Circuit, trace: Trace, unrolled: Unrolled, position: number): TokenColumn {
  const own = unrolled.nodes.get(position)!;
  const here = unrolled.gatherings.filter((g) => g.query === position);
  const shown = new Map<string, ShapeOptions>();
  const nodes = own.map(({ reads: _, ...node }): ColumnNode => {
    const { id, layer, site } = node;
    shown.set(id, { value: formatValue(trace.values.get(id)![position]!) });
    return { id, layer, stage: STAGE_OF[site], node, activity: activity(trace, id, position) };
  });
  for (const g of here) {
    const { value, sources } = g;
    const { label: _, reads: __, ...plain } = value;
    const id = gatherId(g);
    const most = Math.max(0, ...sources.map((s) => activity(trace, value.id, s.position)));
    const name = `Σ V.${value.head}.${value.channel - value.head! * circuit.model.headWidth}`;
    shown.set(id, { name, value: formatValue(gathered(trace, value, position)) });
    nodes.push({ id, layer: value.layer, stage: "gather", node: { ...plain, id }, activity: most });
    const softmax = softmaxId(value);
    const patterned = circuit.nodes.some(
      (n) => n.site !== "attn.v" && n.head === value.head && n.layer === value.layer,
    );
    if (!patterned || shown.has(softmax)) continue;
    const elsewhere = attentionElsewhere(trace, unrolled, g);
    const away = elsewhere < 0.005 ? {} : { value: `${formatWeight(elsewhere)} to …` };
    shown.set(softmax, { name: `softmax ${value.head}`, ...away });
    nodes.push({ id: softmax, layer: value.layer, stage: "softmax", node: { ...plain, id: softmax }, activity: 0 });
  }
  const known = new Set(nodes.map(({ id }) => id));
  const values = new Set(here.map(({ value }) => value.id));
  const edges = circuit.edges.flatMap((edge): CircuitEdge[] => {
    const source = circuit.nodes.find((n) => n.id === edge.source)!;
    const from = source.site === "attn.v" ? `${edge.source}+` : edge.source;
    if (!known.has(from) || !known.has(edge.target)) return [];
    return source.site === "attn.v" && !values.has(source.id) ? [] : [{ ...edge, source: from }];
  });
  const part: Circuit = { ...circuit, nodes: nodes.map(({ node }) => node), edges, links: [] };
  const shapeOf = (node: CircuitNode): NodeShape => nodeShape(part, node, shown.get(node.id));
  // Values run down past the softmax, and nothing past what they are gathered in.
  const gathers = new Set(here.map(gatherId));
  const rowOf = (node: CircuitNode): string => `${sublayerKey(node)}${gathers.has(node.id) ? "+" : ""}`;
  const columns = placeColumns(part, { shapeOf, apart: APART, pad: PAD, rowOf });
  const text = truncate(drawable(visibleToken(trace.tokens[position]!.text)), TOKEN_CELLS);
  const tokenWidth = textWidth(text, TOKEN_SIZE) + 2 * TOKEN_PAD;
  const read = own.filter(({ site }) => site.endsWith("act_in")).map((n) => n.channel);
  const embedded = [...new Set(read)].flatMap((channel) => {
    const weight = trace.embedding[position]![channel] ?? 0;
    return weight === 0 ? [] : [{ channel, weight }];
  });
  return { position, text, tokenWidth, nodes, edges, embedded, columns, width: Math.max(columns.width, tokenWidth) };
}

/** Attention to tokens without a column, or to the sink. */
function attentionElsewhere(trace: Trace, { positions }: Unrolled, { value, query }: Gathering): number {
  const weights = trace.attention.get(headKey(value))![query]!;
  return 1 - positions.reduce((sum, p) => sum + (p <= query ? weights[p]! : 0), 0);
}

/** Rounding errors are nothing. */
function formatValue(value: number): string {
  return formatWeight(Math.abs(value) < 1e-6 ? 0 : value);
}

/** What a node's tooltip says. */
export function nodeTitle(trace: Trace, { node, stage }: ColumnNode, position: number): string {
  const token = `at token ${position} ${visibleToken(trace.tokens[position]!.text)}`;
  if (stage === "softmax") return `softmax of head ${headKey(node)} ${token}`;
  if (stage === "gather") {
    return `${oneLine(node.id.slice(0, -1))} gathered by attention ${token}: ${Number(gathered(trace, node, position).toPrecision(4))}`;
  }
  const value = Number(trace.values.get(node.id)![position]!.toPrecision(4));
  return `${node.id} ${token}: ${value}, ablated ${Number(trace.ablated.get(node.id)!.toPrecision(4))}`;
}
