/**
 * Tables of nodes and edges for LaTeX, with booktabs' rules; long ones break over pages (longtable). Links are not part of
 * it. A comment at the top says which packages a paper needs.
 */
import { formatWeight, oneLine, truncate, visibleToken } from "../layout/text.ts";
import type { Circuit } from "../schema.ts";
import { escapeLatex } from "./latex-text.ts";

/** Rows of a page; longer tables break. */
const PAGE_ROWS = 45;
const READS = 3;
const TOKEN_CELLS = 16;

export interface CircuitLatex {
  readonly nodes: string;
  readonly edges: string;
}

interface Column {
  readonly head: string;
  readonly align: "l" | "r";
}

export function circuitLatex(circuit: Circuit): CircuitLatex {
  const code = (text: string): string => `\\texttt{${escapeLatex(text)}}`;
  const number = (value: number | null): string => (value === null ? "--" : `$${formatWeight(value)}$`);
  return {
    nodes: table(
      circuit,
      [
        { head: "Node", align: "l" },
        { head: "Mean activation", align: "r" },
        { head: "Importance", align: "r" },
        { head: "Driven by", align: "l" },
        { head: "Label", align: "l" },
      ],
      circuit.nodes.map(({ id, meanActivation, importance, reads = [], label = "" }) => [
        code(id),
        number(meanActivation),
        number(importance),
        reads
          .slice(0, READS)
          .map((r) => code(truncate(visibleToken(r.tokenText), TOKEN_CELLS)))
          .join(" "),
        escapeLatex(label),
      ]),
    ),
    edges: table(
      circuit,
      [
        { head: "From", align: "l" },
        { head: "To", align: "l" },
        { head: "Weight", align: "r" },
      ],
      circuit.edges.map(({ source, target, weight }) => [code(source), code(target), number(weight)]),
    ),
  };
}

function table({ task, counts }: Circuit, columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const long = rows.length > PAGE_ROWS;
  const environment = long ? "longtable" : "tabular";
  const row = (cells: readonly string[]): string => `${cells.join(" & ")} \\\\`;
  return `${[
    `% ${oneLine(task.name)}: ${counts.nodes} nodes, ${counts.edges} edges`,
    `% \\usepackage{booktabs${long ? ",longtable" : ""}}`,
    `\\begin{${environment}}{@{}${columns.map((c) => c.align).join("")}@{}}`,
    "\\toprule",
    row(columns.map((c) => c.head)),
    "\\midrule",
    ...(long ? ["\\endhead", "\\bottomrule", "\\endfoot"] : []),
    ...rows.map(row),
    ...(long ? [] : ["\\bottomrule"]),
    `\\end{${environment}}`,
  ].join("\n")}\n`;
}
