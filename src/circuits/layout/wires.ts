/**
 * The lines of the structure view. Edges are straight between neighbouring rows. Edges into k and v pass the rows
 * above them vertically, in the node's own x, where no other node of the sublayer stands.
 */
import type { Circuit } from "../schema.ts";
import { isResidual } from "./order.ts";
import { BAR_STEP, type Sublayer } from "./rows.ts";
import type { ChannelLine, EdgeItem, NodeItem, Point } from "./scene.ts";
import { visibleToken } from "./text.ts";
import type { TokenRow } from "./tokens.ts";

/** Of the lowest bar above the values. */
const BAR_ABOVE = 8;

export function weightEdges(
  circuit: Circuit,
  items: ReadonlyMap<string, NodeItem>,
  sublayers: readonly Sublayer[],
): EdgeItem[] {
  const entry = new Map<string, number>();
  for (const { rows } of sublayers) {
    const inner = rows.filter((r) => !isResidual(r.nodes[0]!));
    if (inner.length === 0) continue;
    const top = inner[0]!.y - inner[0]!.up;
    for (const node of inner.flatMap((r) => r.nodes)) entry.set(node.id, top);
  }
  return circuit.edges.map((edge): EdgeItem => {
    const [from, to] = [items.get(edge.source)!, items.get(edge.target)!];
    const start = { x: from.x, y: from.shape === "tick" ? from.y : from.y + from.halfHeight };
    const end = { x: to.x, y: to.shape === "tick" ? to.y : to.y - to.halfHeight };
    const bend = Math.min(entry.get(edge.target) ?? end.y, end.y);
    const points: Point[] = end.y - bend > 0.5 ? [start, { x: to.x, y: bend }, end] : [start, end];
    return {
      kind: "weight",
      points,
      weight: edge.weight,
      title: `${edge.source} to ${edge.target}\nweight ${Number(edge.weight.toPrecision(7))}\n${edge.matrix}`,
    };
  });
}

/**
 * Dotted lines q to k, and from the k of each head to the v that its attention pattern moves; from q only where no k
 * joins them, through one bar for each head.
 */
export function attentionLinks(circuit: Circuit, items: ReadonlyMap<string, NodeItem>): EdgeItem[] {
  const headOf = new Map(circuit.nodes.map((n) => [n.id, `${n.layer}.${n.head}`]));
  const joined = new Set(circuit.links.filter((l) => l.kind === "query-key").map((l) => l.source));
  const edges: EdgeItem[] = [];
  const heads = new Map<string, { from: Set<NodeItem>; to: Set<NodeItem> }>();
  for (const { kind, source, target } of circuit.links) {
    const [from, to] = [items.get(source)!, items.get(target)!];
    if (kind === "query-key") {
      edges.push({ kind, points: between(from, to), title: `${source} times ${target}: attention score` });
    } else if (kind === "value" && !joined.has(source)) {
      const head = heads.get(headOf.get(source)!) ?? { from: new Set(), to: new Set() };
      heads.set(headOf.get(source)!, { from: head.from.add(from), to: head.to.add(to) });
    }
  }
  // Heads that reach into each other have bars at different heights.
  const levels = new Map<string, number>();
  for (const [name, { from, to }] of heads) {
    const title = `the attention pattern of head ${name} moves its values`;
    const [sources, targets] = [[...from], [...to]];
    const layer = name.split(".")[0]!;
    const level = levels.get(layer) ?? 0;
    levels.set(layer, level + 1);
    const y = Math.min(...targets.map((v) => v.y - v.halfHeight)) - BAR_ABOVE - level * BAR_STEP;
    const xs = [...sources, ...targets].map(({ x }) => x);
    const line = (...points: Point[]): void => {
      edges.push({ kind: "value", points, title });
    };
    line({ x: Math.min(...xs), y }, { x: Math.max(...xs), y });
    for (const source of sources) line({ x: source.x, y: source.y + source.halfHeight }, { x: source.x, y });
    for (const target of targets) line({ x: target.x, y }, { x: target.x, y: target.y - target.halfHeight });
  }
  return edges;
}

/** From the lower edge of one box to the upper edge of a lower one. */
function between(from: NodeItem, to: NodeItem): Point[] {
  return [
    { x: from.x, y: from.y + from.halfHeight },
    { x: to.x, y: to.y - to.halfHeight },
  ];
}

export function tokenEdges(
  row: TokenRow,
  kind: "embedding" | "unembedding",
  lineX: ReadonlyMap<number, number>,
  tokenY: number,
  lineY: number,
): EdgeItem[] {
  return row.entries.map((e): EdgeItem => {
    const token = { x: row.centre.get(e.token)!, y: tokenY };
    const line = { x: lineX.get(e.channel)!, y: lineY };
    const name = `token ${visibleToken(e.tokenText)}`;
    const ends = kind === "embedding" ? `${name} to channel ${e.channel}` : `channel ${e.channel} to ${name}`;
    return {
      kind,
      points: kind === "embedding" ? [token, line] : [line, token],
      weight: e.weight,
      title: `${ends}\n${kind} weight ${Number(e.weight.toPrecision(7))}`,
    };
  });
}

/** Each channel's line, from its embedding entries or first node to its last node or unembedding entries. */
export function channelLines(
  circuit: Circuit,
  items: ReadonlyMap<string, NodeItem>,
  lineX: ReadonlyMap<number, number>,
  input: { readonly row: TokenRow; readonly y: number },
  output: { readonly row: TokenRow; readonly y: number },
): ChannelLine[] {
  const embedded = new Set(input.row.entries.map((e) => e.channel));
  const unembedded = new Set(output.row.entries.map((e) => e.channel));
  const lines: ChannelLine[] = [];
  for (const [channel, x] of lineX) {
    const nodes = circuit.nodes.filter((n) => isResidual(n) && n.channel === channel).map((n) => items.get(n.id)!);
    const ys = nodes.map((n) => n.y);
    lines.push({
      channel,
      x,
      // A stub shows that a read continues a channel that nothing in the circuit writes.
      top: embedded.has(channel) ? input.y : Math.min(...nodes.map((n) => n.y - (n.flow === "read" ? 10 : 0))),
      bottom: unembedded.has(channel) ? output.y : Math.max(...ys),
    });
  }
  return lines;
}
