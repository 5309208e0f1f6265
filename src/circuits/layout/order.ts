/**
 * Crossing reduction: the order of the residual channels from left to right, the same through the whole figure, and
 * the order of neurons and attention channels within their rows. Barycentre sweeps, then swaps of neighbours while
 * crossings (then total length) fall. Deterministic: ties keep the order of channels and nodes in the circuit.
 */
import type { Circuit, CircuitNode } from "../schema.ts";

/** Neurons or attention channels of one sublayer, in order from left to right. */
interface InnerRow {
  readonly key: string;
  readonly items: CircuitNode[];
}

export interface Order {
  readonly columns: number[];
  readonly rows: InnerRow[];
  /** Mean column rank of the residual channels that a node reads and writes. */
  readonly barycentre: (id: string) => number;
}

/** Whether the node is a read or write of a residual (or position) channel. */
export function isResidual(node: CircuitNode): boolean {
  return node.site.endsWith("act_in") || node.site.endsWith("resid_delta");
}

export function sublayerKey(node: CircuitNode): string {
  return `${node.layer}.${node.site.split(".")[0]}`;
}

const SWEEPS = 12;
const SWAP_PASSES = 4;

/** @param rowOf of inner nodes; default: their sublayer */
export function orderCircuit(circuit: Circuit, rowOf: (node: CircuitNode) => string = sublayerKey): Order {
  const byId = new Map(circuit.nodes.map((node) => [node.id, node]));
  let columns = [...new Set(circuit.nodes.filter(isResidual).map((n) => n.channel))].sort((a, b) => a - b);
  const grouped = new Map<string, CircuitNode[]>();
  for (const node of circuit.nodes) {
    if (isResidual(node)) continue;
    const key = rowOf(node);
    grouped.set(key, [...(grouped.get(key) ?? []), node]);
  }
  let rows: InnerRow[] = [...grouped].map(([key, items]) => ({ key, items }));

  /** Channels read and written by each inner node. */
  const reads = new Map<string, number[]>();
  const writes = new Map<string, number[]>();
  const add = (map: Map<string, number[]>, id: string, channel: number): void => {
    const list = map.get(id);
    if (list === undefined) map.set(id, [channel]);
    else list.push(channel);
  };
  for (const { source, target } of circuit.edges) {
    const [from, to] = [byId.get(source)!, byId.get(target)!];
    if (isResidual(from)) add(reads, target, from.channel);
    if (isResidual(to)) add(writes, source, to.channel);
  }
  const channelsOf = (id: string): number[] => [...(reads.get(id) ?? []), ...(writes.get(id) ?? [])];

  let rank = new Map(columns.map((c, i) => [c, i]));
  const barycentre = (id: string): number => {
    const channels = channelsOf(id);
    if (channels.length === 0) return (columns.length - 1) / 2;
    return channels.reduce((sum, c) => sum + rank.get(c)!, 0) / channels.length;
  };
  const sortRow = (row: InnerRow): InnerRow => ({ key: row.key, items: sortItems(row.items, barycentre) });
  const cost = (): number => rows.reduce((sum, row) => sum + rowCost(row, reads, writes, rank), 0);

  rows = rows.map(sortRow);
  let best = { cost: cost(), columns, rows };
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    // Columns move to the mean place of the inner nodes they touch, where a row is as wide as all columns.
    const places = new Map<number, number[]>();
    for (const { items } of rows) {
      for (const [i, node] of items.entries()) {
        const place = ((i + 0.5) / items.length) * columns.length - 0.5;
        for (const channel of channelsOf(node.id)) {
          places.set(channel, [...(places.get(channel) ?? []), place]);
        }
      }
    }
    const key = new Map(columns.map((c) => [c, mean(places.get(c)) ?? rank.get(c)!]));
    columns = [...columns].sort((a, b) => key.get(a)! - key.get(b)! || a - b);
    rank = new Map(columns.map((c, i) => [c, i]));
    rows = rows.map(sortRow);
    const now = cost();
    if (now < best.cost) best = { cost: now, columns, rows };
  }
  ({ columns, rows } = best);
  rank = new Map(columns.map((c, i) => [c, i]));

  let lowest = best.cost;
  for (let pass = 0; pass < SWAP_PASSES; pass++) {
    const start = lowest;
    for (let i = 0; i + 1 < columns.length; i++) {
      swap(columns, i);
      rank.set(columns[i]!, i).set(columns[i + 1]!, i + 1);
      const now = cost();
      if (now < lowest) lowest = now;
      else {
        swap(columns, i);
        rank.set(columns[i]!, i).set(columns[i + 1]!, i + 1);
      }
    }
    for (const row of rows) {
      if (row.items[0]!.head !== undefined) {
        lowest += turnHeads(row, reads, writes, rank);
        continue;
      }
      for (let i = 0; i + 1 < row.items.length; i++) {
        const before = rowCost(row, reads, writes, rank);
        swap(row.items, i);
        const after = rowCost(row, reads, writes, rank);
        if (after < before) lowest += after - before;
        else swap(row.items, i);
      }
    }
    if (lowest === start) break;
  }
  return { columns, rows, barycentre };
}

/**
 * By barycentre. Attention channels stay together by head, q and k of one channel side by side, then the head's v
 * channels.
 */
function sortItems(items: readonly CircuitNode[], barycentre: (id: string) => number): CircuitNode[] {
  const heads = new Map<number, number[]>();
  for (const { id, head } of items) {
    if (head !== undefined) heads.set(head, [...(heads.get(head) ?? []), barycentre(id)]);
  }
  const own = new Map(items.map((n) => [n.id, barycentre(n.id)]));
  const group = (n: CircuitNode): number => (n.head === undefined ? own.get(n.id)! : mean(heads.get(n.head))!);
  return [...items].sort((a, b) => {
    const between = group(a) - group(b);
    if (between !== 0) return between;
    if (a.head === undefined || b.head === undefined) return a.channel - b.channel;
    const values = Number(a.site === "attn.v") - Number(b.site === "attn.v");
    // Sites q and k sort the wrong way round by name.
    return a.head - b.head || values || a.channel - b.channel || (a.site < b.site ? 1 : -1);
  });
}

/** Puts the v channels of a head before its q and k where that is better. Returns the change of cost, 0 or less. */
function turnHeads(row: InnerRow, ...around: Around): number {
  const start = rowCost(row, ...around);
  let lowest = start;
  for (const head of new Set(row.items.map((n) => n.head))) {
    const first = row.items.findIndex((n) => n.head === head);
    const members = row.items.filter((n) => n.head === head);
    const values = members.filter((n) => n.site === "attn.v");
    const others = members.filter((n) => n.site !== "attn.v");
    const turned = row.items.indexOf(values[0]!) === first ? [...others, ...values] : [...values, ...others];
    row.items.splice(first, members.length, ...turned);
    const now = rowCost(row, ...around);
    if (now < lowest) lowest = now;
    else row.items.splice(first, members.length, ...members);
  }
  return lowest - start;
}

/** Channels that each node reads, channels that it writes, and the rank of each channel. */
type Around = [
  reads: ReadonlyMap<string, number[]>,
  writes: ReadonlyMap<string, number[]>,
  rank: ReadonlyMap<number, number>,
];

/** Crossings of the edges above and below a row, plus a small price of their length. */
function rowCost(row: InnerRow, ...[reads, writes, rank]: Around): number {
  let total = 0;
  const scale = rank.size / Math.max(1, row.items.length);
  for (const side of [reads, writes]) {
    // Counting, for each edge, the earlier items' edges that end strictly to the right of it.
    const seen: number[] = new Array(rank.size).fill(0);
    for (const [i, { id }] of row.items.entries()) {
      const ends = (side.get(id) ?? []).map((c) => rank.get(c)!);
      for (const end of ends) {
        for (let r = end + 1; r < seen.length; r++) total += seen[r]!;
        total += 0.001 * Math.abs((i + 0.5) * scale - 0.5 - end);
      }
      for (const end of ends) seen[end]!++;
    }
  }
  return total;
}

function swap<T>(list: T[], i: number): void {
  [list[i], list[i + 1]] = [list[i + 1]!, list[i]!];
}

function mean(values: readonly number[] | undefined): number | undefined {
  if (values === undefined || values.length === 0) return undefined;
  return values.reduce((sum, v) => sum + v, 0) / values.length;
}
