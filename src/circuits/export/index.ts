/** The formats a circuit can be exported to: each a pure function from circuit to text or bytes. */
import type { Drawing } from "../../drawing/drawing.ts";
import { pdfText } from "../../drawing/pdf.ts";
import { pngBytes } from "../../drawing/png.ts";
import { svgText } from "../../drawing/svg.ts";
import { tikzText } from "../../drawing/tikz.ts";
import { inputError } from "../../util/errors.ts";
import { formatJson } from "../../util/json.ts";
import { nearest } from "../../util/nearest.ts";
import type { Circuit } from "../schema.ts";
import { attributionGraph } from "./attribution.ts";
import { circuitCsv } from "./csv.ts";
import { circuitDot } from "./dot.ts";
import { drawFigure, type FigureOptions, PROMPT_HINT } from "./figure.ts";
import { circuitGexf } from "./gexf.ts";
import { circuitGraphml } from "./graphml.ts";
import { circuitJson } from "./json.ts";
import { circuitLatex } from "./latex.ts";

export { type FigureOptions, LAYOUTS, type Layout, PROMPT_HINT, whyAbsent } from "./figure.ts";
export { PALETTE_NAMES, type PaletteName } from "./palette.ts";
export { whyNotDrawn } from "./summary-view.ts";

export interface ExportFile {
  /** What to append to the file's stem: `.svg`, `.nodes.csv`. */
  readonly suffix: string;
  readonly content: string | Uint8Array;
}

export interface ExportFormat {
  readonly name: string;
  /** One line for help texts. */
  readonly doc: string;
  /** Whether it is a picture, in a layout and a palette. */
  readonly figure: boolean;
  /** Whether it is of a circuit on a prompt. */
  readonly prompt: "no" | "also" | "only";
  readonly files: (circuit: Circuit, options: FigureOptions) => Promise<ExportFile[]>;
}

type Content = string | Uint8Array | Promise<Uint8Array>;

function figure(name: string, suffix: string, doc: string, write: (drawing: Drawing) => Content): ExportFormat {
  const files: ExportFormat["files"] = async (circuit, options) => [
    { suffix, content: await write(drawFigure(circuit, options)) },
  ];
  return { name, doc, figure: true, prompt: "also", files };
}

function single(name: string, doc: string, write: (circuit: Circuit, options: FigureOptions) => string): ExportFormat {
  const files: ExportFormat["files"] = async (circuit, options) => [
    { suffix: `.${name}`, content: write(circuit, options) },
  ];
  return { name, doc, figure: false, prompt: "no", files };
}

function tables(name: string, ending: string, doc: string, write: (circuit: Circuit) => object): ExportFormat {
  const files: ExportFormat["files"] = async (circuit) =>
    Object.entries(write(circuit)).map(([part, content]: [string, string]) => ({
      suffix: `.${part}.${ending}`,
      content,
    }));
  return { name, doc, figure: false, prompt: "no", files };
}

export const EXPORT_FORMATS: readonly ExportFormat[] = [
  figure("svg", ".svg", "figure: structure of the circuit, from tokens down to answers", svgText),
  figure("pdf", ".pdf", "the figure as vectors, for pdflatex", pdfText),
  figure("png", ".png", "the figure as pixels", pngBytes),
  figure("tikz", ".tex", "the figure as a LaTeX document, to be edited", tikzText),
  tables("latex", "tex", "booktabs tables of nodes and edges", circuitLatex),
  single("dot", "Graphviz graph", circuitDot),
  single("graphml", "graph for networkx, igraph, Cytoscape", circuitGraphml),
  single("gexf", "graph for Gephi, with positions and colours", circuitGexf),
  single("json", "the circuit file", circuitJson),
  {
    name: "attribution",
    doc: "attribution graph for Neuronpedia and circuit-tracer, on a prompt",
    figure: false,
    prompt: "only",
    files: async (circuit, { trace }) => {
      if (trace === undefined) {
        throw inputError("export-prompt", "an attribution graph is of a circuit on a prompt", PROMPT_HINT);
      }
      return [{ suffix: ".attribution.json", content: formatJson(attributionGraph(circuit, trace)) }];
    },
  },
  tables("csv", "csv", "tables of nodes, edges, links and token entries", circuitCsv),
];

/** @throws input error `export-format` with the nearest name. */
export function exportFormat(name: string): ExportFormat {
  const format = EXPORT_FORMATS.find((f) => f.name === name.toLowerCase());
  if (format !== undefined) return format;
  const names = EXPORT_FORMATS.map((f) => f.name);
  throw inputError(
    "export-format",
    `unknown export format "${name}": expected one of ${names.join(", ")}`,
    `Did you mean ${nearest(name, names)}?`,
  );
}

/** The files of an export. Same circuit, same bytes. */
export async function exportCircuit(
  circuit: Circuit,
  format: string,
  options: FigureOptions = {},
): Promise<ExportFile[]> {
  return exportFormat(format).files(circuit, options);
}
