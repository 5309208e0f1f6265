/** The lines within one token's column of an unrolled figure: weights, residual channels, embedding and unembedding. */
import type { Trace } from "../trace.ts";
import type { Across } from "./across.ts";
import type { AnswerEntry } from "./answers.ts";
import type { ChannelLine, EdgeItem, NodeItem, Point } from "./scene.ts";
import { visibleToken } from "./text.ts";
import type { TokenColumn } from "./unrolled-columns.ts";

export interface LineOptions {
  readonly item: (position: number, id: string) => NodeItem | undefined;
  readonly across: Across;
  /** Nodes less active than this are idle. */
  readonly idle: number;
  /** Lower edge of the token. */
  readonly tokenY: number;
  /** Where the channels begin. */
  readonly embedY: number;
  /** Of the last token's column: where its channels end, and the answers below. */
  readonly answers?:
    | { readonly entries: readonly AnswerEntry[]; readonly top: (answer: number) => Point; readonly y: number }
    | undefined;
}

export function columnLines(trace: Trace, column: TokenColumn, options: LineOptions) {
  const { item, across, idle, tokenY, embedY, answers } = options;
  const { position, nodes, columns, embedded, width } = column;
  const active = new Map(nodes.map((n) => [n.id, n.activity]));
  const edges = column.edges.map((edge): EdgeItem & { idle: boolean } => {
    const [from, to] = [item(position, edge.source)!, item(position, edge.target)!];
    const start = { x: from.x, y: from.shape === "tick" ? from.y : from.y + from.halfHeight };
    const end = { x: to.x, y: to.shape === "tick" ? to.y : to.y - to.halfHeight };
    const title = `${edge.source} to ${edge.target}\nweight ${Number(edge.weight.toPrecision(7))}\n${edge.matrix}`;
    return { kind: "weight", points: [start, end], weight: edge.weight, title, idle: active.get(edge.source)! < idle };
  });
  const channels: ChannelLine[] = [];
  for (const channel of columns.lineX.keys()) {
    const x = across.lineX(position, channel);
    const ticks = nodes
      .filter(({ id, node }) => item(position, id)!.shape === "tick" && node.channel === channel)
      .map(({ id }) => item(position, id)!);
    const fed = embedded.find((e) => e.channel === channel);
    const read = answers?.entries.filter((e) => e.channel === channel) ?? [];
    channels.push({
      channel,
      x,
      top: fed === undefined ? Math.min(...ticks.map((t) => t.y - (t.flow === "read" ? 10 : 0))) : embedY,
      bottom: read.length > 0 ? answers!.y : Math.max(...ticks.map((t) => t.y)),
    });
    if (fed !== undefined) {
      const token = { x: across.left(position) + width / 2, y: tokenY };
      const name = `token ${visibleToken(trace.tokens[position]!.text)} to channel ${channel}`;
      const title = `${name}\nembedding weight ${Number(fed.weight.toPrecision(7))}`;
      edges.push({ kind: "embedding", points: [token, { x, y: embedY }], weight: fed.weight, title, idle: false });
    }
    for (const { answer, weight } of read) {
      const name = `channel ${channel} to ${visibleToken(trace.answers[answer]!.text)}`;
      const title = `${name}\nunembedding weight ${Number(weight.toPrecision(7))}`;
      const points = [{ x, y: answers!.y }, answers!.top(answer)];
      edges.push({ kind: "unembedding", points, weight, title, idle: false });
    }
  }
  return { edges, channels };
}
