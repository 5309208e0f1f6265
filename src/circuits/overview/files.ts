/** The overview's data as files: JSON, CSV tables, and GEXF with positions and colours. Same model and circuits, same bytes. */
import { DirectedGraph } from "graphology";
import { write } from "graphology-gexf";
import { csvTable } from "../export/csv.ts";
import { rgb } from "../export/gexf.ts";
import type { PaletteName } from "../export/palette.ts";
import { roundFloat } from "../file.ts";
import type { Point } from "../layout/scene.ts";
import { oneLine } from "../layout/text.ts";
import { circuitColors } from "./colors.ts";
import type { Network } from "./network.ts";
import type { Overlap } from "./overlap.ts";

/** Side of the layout in Gephi's units. */
const SIZE = 2000;
const GREY = "#c8ccd0";

/** What `overview.json` holds beside its format and version. */
export function overviewJson({ config, names, nodes, edges }: Network, run: string) {
  return {
    run,
    model: { layers: config.layers, width: config.width, nodes: nodes.total, edges: edges.total },
    circuits: names.map((name, i) => ({
      name,
      nodes: nodes.sizes[i]!,
      edges: edges.sizes[i]!,
      nodeShare: rounded(nodes.sizes[i]! / nodes.total),
      edgeShare: rounded(edges.sizes[i]! / edges.total),
    })),
    nodes: overlapJson(nodes, names),
    edges: overlapJson(edges, names),
  };
}

function overlapJson({ usedBy, pairs, ...summary }: Overlap, names: readonly string[]) {
  const { meanJaccard, expectedJaccard, disentanglement, expectedDisentanglement } = summary;
  return {
    usedBy: usedBy.map(({ sets, count, expected }) => ({ circuits: sets, count, expected: rounded(expected) })),
    meanJaccard: rounded(meanJaccard),
    expectedJaccard: rounded(expectedJaccard),
    disentanglement: rounded(disentanglement),
    expectedDisentanglement: rounded(expectedDisentanglement),
    pairs: pairs.map(({ a, b, shared, jaccard, expected, atLeast }) => ({
      ...{ a: names[a]!, b: names[b]!, shared },
      ...{ jaccard: rounded(jaccard), expected: rounded(expected), atLeast: rounded(atLeast) },
    })),
  };
}

/** Six digits: the last ones of logarithms differ between machines. */
function rounded(x: number | null): number | null {
  return x === null || Number.isNaN(x) ? null : Number(x.toPrecision(6));
}

/** Tables by the part of their file names. */
export function overviewCsv({ names, nodes, edges }: Network): Record<"circuits" | "pairs" | "used-by", string> {
  return {
    circuits: csvTable(
      ["circuit", "nodes", "edges", "node_share", "edge_share"],
      names.map((name, i) => {
        const [n, e] = [nodes.sizes[i]!, edges.sizes[i]!];
        return [name, n, e, rounded(n / nodes.total), rounded(e / edges.total)];
      }),
    ),
    pairs: csvTable(
      ["kind", "a", "b", "shared", "jaccard", "expected", "at_least"],
      kinds(nodes, edges).flatMap(([kind, { pairs }]) =>
        pairs.map((p) => [
          ...[kind, names[p.a]!, names[p.b]!, p.shared],
          ...[rounded(p.jaccard), rounded(p.expected), rounded(p.atLeast)],
        ]),
      ),
    ),
    "used-by": csvTable(
      ["kind", "circuits", "count", "expected"],
      kinds(nodes, edges).flatMap(([kind, { usedBy }]) =>
        usedBy.map(({ sets, count, expected }) => [kind, sets, count, rounded(expected)]),
      ),
    ),
  };
}

function kinds(nodes: Overlap, edges: Overlap) {
  return [
    ["nodes", nodes],
    ["edges", edges],
  ] as const;
}

/** What the figure shows: `circuits` has the names that a node or weight is in, with spaces between. */
export function overviewGexf(
  { names, nodes, edges, shown }: Network,
  positions: readonly Point[],
  { title, palette = "default" }: { readonly title: string; readonly palette?: PaletteName },
): string {
  const colors = circuitColors(palette, names.length);
  const graph = new DirectedGraph();
  graph.replaceAttributes({
    creator: "sparse-circuits",
    description: `${oneLine(title)}; ${nodes.total} nodes and ${edges.total} weights in all`,
  });
  for (const [i, node] of shown.nodes.entries()) graph.addNode(node.id, { ...node, ...positions[i]! });
  for (const { source, target, weight, circuits } of shown.edges) {
    const [from, to] = [shown.nodes[source]!.id, shown.nodes[target]!.id];
    // Keys of graphology's own count the graphs of the process.
    graph.addDirectedEdgeWithKey(`${from}>${to}`, from, to, { weight, circuits });
  }
  const listed = (circuits: readonly number[]): string => circuits.map((i) => oneLine(names[i]!)).join(" ");
  const color = (circuits: readonly number[]): string => rgb(circuits.length === 0 ? GREY : colors.of(circuits)[0]!);
  const text = write(graph, {
    version: "1.3",
    formatNode: (id, { layer, site, channel, circuits, x, y }) => ({
      label: id,
      attributes: { layer, site, channel, circuits: listed(circuits), used: circuits.length },
      // GEXF's y axis points up.
      viz: {
        ...{ x: Math.round((SIZE / 2) * x * 10) / 10 || 0, y: Math.round((SIZE / 2) * -y * 10) / 10 || 0 },
        ...{ size: circuits.length === 0 ? 2 : 6 + 2 * Math.min(3, circuits.length - 1), color: color(circuits) },
      },
    }),
    formatEdge: (_, { weight, circuits }) => ({
      weight: roundFloat(weight),
      attributes: { circuits: listed(circuits), used: circuits.length },
      viz: { color: color(circuits), thickness: circuits.length === 0 ? 0.3 : 1.5 },
    }),
  });
  return text.endsWith("\n") ? text : `${text}\n`;
}
