/**
 * Vertical positions: one row for each site that has nodes, in the order of computation, with room between rows for
 * the edges that run there. Sublayers are separated by dashed boundaries; sublayers without nodes do not appear.
 */
import { SITES, type Site } from "../../model/sites.ts";
import type { Circuit, CircuitNode } from "../schema.ts";
import type { NodeShape } from "./shapes.ts";

interface Row {
  readonly site: Site;
  /** Centre line. */
  readonly y: number;
  readonly up: number;
  readonly down: number;
  readonly nodes: readonly CircuitNode[];
}

export interface Sublayer {
  /** `0.mlp` */
  readonly name: string;
  readonly top: number;
  readonly bottom: number;
  readonly rows: readonly Row[];
}

export interface RowPlan {
  readonly sublayers: readonly Sublayer[];
  readonly bottom: number;
}

const BOUNDARY_SPACE = 16;
/** Between the bars of two heads, which join keys to values. */
export const BAR_STEP = 4;

/** Height of the space between two rows that `edges` edges cross. `stretch` scales it. */
export function bandHeight(edges: number, stretch: number): number {
  return edges === 0 ? 18 : Math.min(320, (34 + 3 * edges) * stretch);
}

/** @param top y where the first sublayer starts */
export function planRows(
  circuit: Circuit,
  shapes: ReadonlyMap<string, NodeShape>,
  top: number,
  stretch: number,
): RowPlan {
  const sublayers: Sublayer[] = [];
  const groups = new Map<string, CircuitNode[]>();
  for (const node of circuit.nodes) {
    const key = `${node.layer}.${node.site.split(".")[0]}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [node]);
    else group.push(node);
  }
  const incoming = new Map<string, number>();
  for (const { target } of circuit.edges) incoming.set(target, (incoming.get(target) ?? 0) + 1);
  const crossing = (nodes: readonly CircuitNode[]): number =>
    nodes.reduce((sum, n) => sum + (incoming.get(n.id) ?? 0), 0);

  let y = top;
  const order = (key: string): number => 2 * Number.parseInt(key, 10) + (key.endsWith("mlp") ? 1 : 0);
  for (const [name, nodes] of [...groups].sort(([a], [b]) => order(a) - order(b))) {
    const start = y;
    y += BOUNDARY_SPACE;
    const rows: Row[] = [];
    for (const site of SITES) {
      const members = nodes.filter((n) => n.site === site);
      if (members.length === 0) continue;
      const up = Math.max(...members.map((n) => shapes.get(n.id)!.up));
      const down = Math.max(...members.map((n) => shapes.get(n.id)!.down));
      if (rows.length > 0) y += spaceBefore(site, members, nodes, rows, crossing, stretch);
      y += up;
      rows.push({ site, y, up, down, nodes: members });
      y += down;
    }
    y += BOUNDARY_SPACE;
    sublayers.push({ name, top: start, bottom: y, rows });
  }
  return { sublayers, bottom: y };
}

/** Edges into all of q, k and v fan out above the first of those rows; below it they run straight down. */
function spaceBefore(
  site: Site,
  members: readonly CircuitNode[],
  sublayer: readonly CircuitNode[],
  rows: readonly Row[],
  crossing: (nodes: readonly CircuitNode[]) => number,
  stretch: number,
): number {
  if (site !== "attn.q" && site !== "attn.k" && site !== "attn.v") return bandHeight(crossing(members), stretch);
  const first = rows.every((r) => r.site === "attn.act_in");
  if (first) return bandHeight(crossing(sublayer.filter((n) => n.head !== undefined)), stretch);
  // Values need room above them for the bars of their heads.
  return 22 + (site === "attn.v" ? BAR_STEP * (new Set(members.map((n) => n.head)).size - 1) : 0);
}
