/**
 * What attention moves between the token columns of an unrolled figure: keys run sideways to the softmax of the token that
 * attends, values to what it gathers, each with the attention that it gets. All that goes to one box shares one
 * horizontal track; tracks that do not meet share a height.
 */
import type { Site } from "../../model/sites.ts";
import type { CircuitNode } from "../schema.ts";
import { activity, type Gathering, headKey, type Trace, type Unrolled } from "../trace.ts";
import type { NodeItem, Point, TextItem } from "./scene.ts";
import { formatWeight, textWidth } from "./text.ts";
import { gatherId, softmaxId } from "./unrolled-columns.ts";

/** Between tracks: room for the numbers above them. */
export const TRACK_STEP = 13;
const NUMBER_SIZE = 9;
const NUMBER_CELLS = 6;

/** x of a node in the column of a position. */
export type NodeX = (position: number, id: string) => number;

interface Source {
  readonly position: number;
  /** What stands in that column. */
  readonly id: string;
  /** Of values. */
  readonly attention?: number;
}

/** Everything that goes to one box. */
export interface Track {
  readonly kind: "key" | "value";
  readonly layer: number;
  /** Position and id of the box. */
  readonly query: number;
  readonly target: string;
  readonly sources: readonly Source[];
  /** Height among the tracks of its kind and layer. */
  readonly level: number;
}

export interface MoveItem {
  readonly kind: "key" | "query" | "softmax" | "value";
  readonly points: readonly Point[];
  /** Of a value on its way to a track. */
  readonly attention?: number;
  /** Whether it ends on a track, and does not only cross it. */
  readonly joins?: boolean;
  readonly idle: boolean;
  readonly title: string;
}

/** The tracks of an unrolled circuit. */
export function planTracks({ nodes, gatherings }: Unrolled, xOf: NodeX): Track[] {
  const values = gatherings.map((g) => ({
    kind: "value" as const,
    layer: g.value.layer,
    query: g.query,
    target: gatherId(g),
    sources: g.sources.map((s) => ({ ...s, id: g.value.id })),
  }));
  const byHead = new Map<string, Gathering[]>();
  for (const g of gatherings) {
    const key = `${headKey(g.value)}@${g.query}`;
    byHead.set(key, [...(byHead.get(key) ?? []), g]);
  }
  const keys = [...byHead.values()].map((together) => {
    const { value, query } = together[0]!;
    const positions = [...new Set(together.flatMap((g) => g.sources.map((s) => s.position)))].sort((a, b) => a - b);
    const sources = positions.flatMap((position) =>
      ofHead(nodes.get(position)!, "attn.k", value).map(({ id }) => ({ position, id })),
    );
    return { kind: "key" as const, layer: value.layer, query, target: softmaxId(value), sources };
  });
  const ends = new Map<string, number[]>();
  return [...keys, ...values]
    .filter(({ sources }) => sources.length > 0)
    .map((track) => {
      const xs = [...track.sources.map((s) => xOf(s.position, s.id)), xOf(track.query, track.target)];
      const [left, right] = [Math.min(...xs) - NUMBER_WIDTH, Math.max(...xs) + NUMBER_WIDTH];
      const row = ends.get(`${track.kind} ${track.layer}`) ?? [];
      ends.set(`${track.kind} ${track.layer}`, row);
      const free = row.findIndex((end) => end < left);
      const level = free < 0 ? row.length : free;
      row[level] = right;
      return { ...track, level };
    });
}

function ofHead(nodes: readonly CircuitNode[], site: Site, value: CircuitNode): CircuitNode[] {
  return nodes.filter((n) => n.site === site && headKey(n) === headKey(value));
}

const NUMBER_WIDTH = textWidth("x".repeat(NUMBER_CELLS), NUMBER_SIZE) + 4;

/** How many heights the tracks of a layer take. */
export function levels(tracks: readonly Track[], layer: number, kind: Track["kind"]): number {
  return Math.max(0, ...tracks.filter((t) => t.layer === layer && t.kind === kind).map((t) => t.level + 1));
}

export interface MoveOptions {
  /** The item of a node in a column. */
  readonly item: (position: number, id: string) => NodeItem | undefined;
  /** y of the uppermost track. */
  readonly top: (layer: number, kind: Track["kind"]) => number;
  /** Values less active than this are idle. */
  readonly idle: number;
}

export function drawTracks(
  { nodes, gatherings }: Unrolled,
  trace: Trace,
  tracks: readonly Track[],
  { item, top, idle }: MoveOptions,
): { moves: MoveItem[]; texts: (TextItem & { idle: boolean })[] } {
  const moves: MoveItem[] = [];
  const texts: (TextItem & { idle: boolean })[] = [];
  const joined = new Set<string>();
  for (const { kind, layer, query, target, sources, level } of tracks) {
    const y = top(layer, kind) + level * TRACK_STEP;
    const to = item(query, target)!;
    const ends = sources.map(({ position, id, attention }) => {
      const from = item(position, id)!;
      const faint = activity(trace, id, position) < idle;
      const what = attention === undefined ? "key" : `attention ${Number(attention.toPrecision(4))}`;
      const title = `${id} from token ${position} to token ${query}: ${what}`;
      const points = [below(from), { x: from.x, y }];
      moves.push({ kind, points, title, idle: faint, joins: true, ...(attention === undefined ? {} : { attention }) });
      if (attention !== undefined) {
        const text = formatWeight(attention);
        const width = textWidth(text, NUMBER_SIZE);
        const x = to.x < from.x ? from.x - 3 - width : from.x + 3;
        texts.push({ text, role: "side", size: NUMBER_SIZE, x, y: y - 12, width, height: 11, idle: faint });
      }
      return { x: from.x, faint };
    });
    const xs = [...ends.map((e) => e.x), to.x];
    const track = { kind, title: `${kind}s to token ${query}`, idle: ends.every((e) => e.faint) };
    const [left, right] = [Math.min(...xs), Math.max(...xs)];
    moves.push({
      ...track,
      points: [
        { x: left, y },
        { x: right, y },
      ],
    });
    moves.push({ ...track, points: [{ x: to.x, y }, above(to)] });
    const value = gatherings.find((g) => gatherId(g) === target)?.value;
    const softmax = value && item(query, softmaxId(value));
    if (softmax === undefined) continue;
    moves.push({ kind: "softmax", points: [below(softmax), above(to)], title: "attention", idle: false });
    if (joined.has(`${softmax.id}@${query}`)) continue;
    joined.add(`${softmax.id}@${query}`);
    for (const q of ofHead(nodes.get(query)!, "attn.q", value!)) {
      const from = item(query, q.id)!;
      moves.push({ kind: "query", points: [below(from), above(softmax)], title: `${q.id}: query`, idle: false });
    }
  }
  return { moves, texts };
}

function below({ x, y, halfHeight }: NodeItem): Point {
  return { x, y: y + halfHeight };
}

function above({ x, y, halfHeight }: NodeItem): Point {
  return { x, y: y - halfHeight };
}
