/** The numbers of an overview for people: circuits by size, what each two share, and how disentangled they are. */
import type { Network } from "../circuits/overview/network.ts";
import { type Overlap, type PairOverlap, setsInUse } from "../circuits/overview/overlap.ts";
import { score, share } from "../circuits/overview/words.ts";
import { count, plural, type Style, table } from "./render.ts";

const right = (title: string) => ({ title, align: "right" as const });
/** Pairs in the table: of many circuits, those that share most. */
const MOST_PAIRS = 12;

export function overviewText({ names, nodes, edges }: Network, style: Style): string {
  const model = `${plural(nodes.total, "node")}, ${plural(edges.total, "nonzero weight")}`;
  const parts = [
    style.bold(`The model: ${model}`),
    ...(names.length === 0 ? [] : [circuitTable(names, nodes, edges, style)]),
  ];
  if (names.length > 1) {
    const pairs = nodes.pairs.length;
    const shown = Math.min(pairs, MOST_PAIRS);
    const which = shown < pairs ? `: ${shown} of ${pairs}, those that share most` : "";
    parts.push(
      "",
      style.bold(`Shared by two circuits (Jaccard index, by chance in brackets)${which}`),
      pairTable(names, nodes, edges, style),
      "",
      style.bold("In exactly so many circuits (mean by chance in brackets)"),
      usedTable(nodes, edges, style),
      "",
      style.bold("Over all circuits (by chance in brackets)"),
      summaryTable(nodes, edges, style),
    );
  }
  return parts.join("\n");
}

function circuitTable(names: readonly string[], nodes: Overlap, edges: Overlap, style: Style): string {
  const part = (overlap: Overlap, n: number): string[] => [count(n), share(n, overlap.total)];
  const union = (overlap: Overlap): number => overlap.total - overlap.usedBy[0]!.count;
  const rows = names.map((name, i) => [name, ...part(nodes, nodes.sizes[i]!), ...part(edges, edges.sizes[i]!)]);
  if (names.length > 1) rows.push(["any of them", ...part(nodes, union(nodes)), ...part(edges, union(edges))]);
  return table([{ title: "circuit" }, ...["nodes", "of all", "edges", "of all"].map(right)], rows, { style });
}

function pairTable(names: readonly string[], nodes: Overlap, edges: Overlap, style: Style): string {
  const both = ({ jaccard, expected }: PairOverlap): string => `${score(jaccard)} (${score(expected)})`;
  const order = [...nodes.pairs.keys()].sort(
    (a, b) => (nodes.pairs[b]!.jaccard ?? 0) - (nodes.pairs[a]!.jaccard ?? 0) || a - b,
  );
  return table(
    [{ title: "circuits" }, ...["nodes", "Jaccard", "edges", "Jaccard"].map(right)],
    order.slice(0, MOST_PAIRS).map((i) => {
      const [n, e] = [nodes.pairs[i]!, edges.pairs[i]!];
      return [`${names[n.a]!}, ${names[n.b]!}`, count(n.shared), both(n), count(e.shared), both(e)];
    }),
    { style },
  );
}

function usedTable(nodes: Overlap, edges: Overlap, style: Style): string {
  const cell = ({ usedBy }: Overlap, k: number): string =>
    `${count(usedBy[k]!.count)} (${usedBy[k]!.expected < 99.95 ? usedBy[k]!.expected.toFixed(1) : count(usedBy[k]!.expected)})`;
  return table(
    ["circuits", "nodes", "edges"].map(right),
    setsInUse(nodes, edges).map((k) => [String(k), cell(nodes, k), cell(edges, k)]),
    { style },
  );
}

function summaryTable(nodes: Overlap, edges: Overlap, style: Style): string {
  const row = (name: string, of: (overlap: Overlap) => readonly [number | null, number | null]): string[] => [
    name,
    ...[nodes, edges].map((overlap) => {
      const [found, expected] = of(overlap);
      return `${score(found)} (${score(expected)})`;
    }),
  ];
  return table(
    [{ title: "" }, ...["nodes", "edges"].map(right)],
    [
      row("mean Jaccard index of two circuits", (o) => [o.meanJaccard, o.expectedJaccard]),
      row("disentanglement: 1 all apart, 0 all the same", (o) => [o.disentanglement, o.expectedDisentanglement]),
    ],
    { style },
  );
}
