/** The formats a circuit can be exported to: each a pure function from circuit to text. */
import { inputError } from "../../util/errors.ts";
import { nearest } from "../../util/nearest.ts";
import type { Circuit } from "../schema.ts";
import { circuitCsv } from "./csv.ts";
import { circuitDot } from "./dot.ts";
import { circuitForceSvg } from "./force-svg.ts";
import { circuitGexf } from "./gexf.ts";
import { circuitJson } from "./json.ts";
import { circuitSvg } from "./svg.ts";

export interface ExportFile {
  /** What to append to the file's stem: `.svg`, `.nodes.csv`. */
  readonly suffix: string;
  readonly text: string;
}

/** layers: the structure view, computed positions; force: free-form, by ForceAtlas2. */
export const LAYOUTS = ["layers", "force"] as const;
export type Layout = (typeof LAYOUTS)[number];

export interface ExportFormat {
  readonly name: string;
  /** One line for help texts. */
  readonly doc: string;
  readonly files: (circuit: Circuit, layout: Layout) => ExportFile[];
}

function single(name: string, doc: string, write: (circuit: Circuit, layout: Layout) => string): ExportFormat {
  return { name, doc, files: (circuit, layout) => [{ suffix: `.${name}`, text: write(circuit, layout) }] };
}

export const EXPORT_FORMATS: readonly ExportFormat[] = [
  single("svg", "figure: structure of the circuit, from tokens down to answers", (circuit, layout) =>
    layout === "force" ? circuitForceSvg(circuit) : circuitSvg(circuit),
  ),
  single("dot", "Graphviz graph", circuitDot),
  single("gexf", "graph for Gephi, with positions and colours", (circuit, layout) => circuitGexf(circuit, { layout })),
  single("json", "the circuit file", circuitJson),
  {
    name: "csv",
    doc: "tables of nodes, edges, links and token entries",
    files: (circuit) =>
      Object.entries(circuitCsv(circuit)).map(([part, text]: [string, string]) => ({ suffix: `.${part}.csv`, text })),
  },
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
export function exportCircuit(circuit: Circuit, format: string, layout: Layout = "layers"): ExportFile[] {
  return exportFormat(format).files(circuit, layout);
}
