/**
 * Tables of nodes and edges for LaTeX, with booktabs' rules, no wider than the 345 points of an article's text; long ones
 * break over pages (longtable). Links are not part of it. A comment at the top says which packages a paper needs.
 */
import { escapeLatex } from "../../drawing/latex-text.ts";
import { cellWidth, formatWeight, oneLine, truncate, visibleToken } from "../layout/text.ts";
import type { Circuit, CircuitNode } from "../schema.ts";

/** Lines of a page; longer tables break. */
const PAGE_LINES = 45;
/** Letters on a line of the labels, about. */
const LABEL_CELLS = 12;
const READS = 3;
const TOKEN_CELLS = 12;
/** Letters of a word in a column of text, which may break after so many. */
const WORD = 8;
/** Share of the text's width that is left beside the node's name and numbers. */
const TEXT_SHARE = 0.38;

export interface CircuitLatex {
  readonly nodes: string;
  readonly edges: string;
}

interface Column<T> {
  readonly head: string;
  /** Left, right, or paragraphs. */
  readonly align: "l" | "r" | "p";
  readonly cell: (row: T) => string;
}

export function circuitLatex(circuit: Circuit): CircuitLatex {
  const { nodes, edges } = circuit;
  const text: Column<CircuitNode>[] = [
    { head: "Driven by", align: "p", cell: ({ reads = [] }) => reads.slice(0, READS).map(token).join(" ") },
    { head: "Label", align: "p", cell: ({ label = "" }) => breakable(label) },
  ];
  return {
    nodes: table(
      circuit,
      [
        { head: "Node", align: "l", cell: ({ id }) => code(id) },
        { head: "Mean act.", align: "r", cell: ({ meanActivation }) => number(meanActivation) },
        { head: "Importance", align: "r", cell: ({ importance }) => number(importance) },
        // Columns that would be empty are left out.
        ...text.filter(({ cell }) => nodes.some((node) => cell(node) !== "")),
      ],
      nodes,
      ({ label = "" }) => Math.ceil(cellWidth(label) / LABEL_CELLS),
    ),
    edges: table(
      circuit,
      [
        { head: "From", align: "l", cell: ({ source }) => code(source) },
        { head: "To", align: "l", cell: ({ target }) => code(target) },
        { head: "Weight", align: "r", cell: ({ weight }) => number(weight) },
      ],
      edges,
    ),
  };
}

function code(text: string): string {
  return `\\texttt{${escapeLatex(text)}}`;
}

function number(value: number | null): string {
  return value === null ? "--" : `$${formatWeight(value)}$`;
}

function token({ tokenText }: { readonly tokenText: string }): string {
  return `\\texttt{${breakable(truncate(visibleToken(tokenText), TOKEN_CELLS))}}`;
}

/** Text whose long words can break. */
function breakable(text: string): string {
  let [result, used] = ["", 0];
  for (const char of oneLine(text).normalize("NFC").replace(/\s+/g, " ").trim()) {
    const escaped = char === " " ? " " : escapeLatex(char);
    const width = escaped.startsWith("U+") ? escaped.length : 1;
    const full = char !== " " && used + width > WORD;
    used = char === " " ? 0 : full ? width : used + width;
    result += `${full ? "\\allowbreak{}" : ""}${escaped}`;
  }
  return result;
}

/** @param lines about how many lines of text a row takes */
function table<T>(
  { task, counts }: Circuit,
  columns: readonly Column<T>[],
  items: readonly T[],
  lines: (item: T) => number = () => 1,
): string {
  const long = items.reduce((sum, item) => sum + Math.max(1, lines(item)), 0) > PAGE_LINES;
  const environment = long ? "longtable" : "tabular";
  // \raggedright takes \\ for its own.
  const row = (cells: readonly string[]): string => `${cells.join(" & ")} \\tabularnewline`;
  const share = TEXT_SHARE / columns.filter(({ align }) => align === "p").length;
  const format = columns.map(({ align }) => (align === "p" ? `p{${Number(share.toFixed(2))}\\textwidth}` : align));
  const ragged = (cell: string): string => (cell === "" ? "" : `\\raggedright ${cell}`);
  return `${[
    `% ${oneLine(task.name)}: ${counts.nodes} nodes, ${counts.edges} edges`,
    `% \\usepackage{booktabs${long ? ",longtable" : ""}}`,
    "{\\footnotesize\\setlength{\\tabcolsep}{4pt}%",
    `\\begin{${environment}}{@{}${format.join("")}@{}}`,
    "\\toprule",
    row(columns.map((c) => c.head)),
    "\\midrule",
    ...(long ? ["\\endhead", "\\bottomrule", "\\endfoot"] : []),
    ...items.map((item) => row(columns.map(({ align, cell }) => (align === "p" ? ragged(cell(item)) : cell(item))))),
    ...(long ? [] : ["\\bottomrule"]),
    `\\end{${environment}}}`,
  ].join("\n")}\n`;
}
