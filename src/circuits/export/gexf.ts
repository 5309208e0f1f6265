/**
 * GEXF 1.3 for Gephi and others: circuit nodes, edges of kind "weight" (signed weight) and links of their own kinds,
 * with positions of either layout, colours and sizes. The number of weights is in the description; to leave the
 * links out, filter by `kind`, or pass `links: false`.
 */
import { write } from "graphology-gexf";
import { roundFloat } from "../file.ts";
import { forceLayout } from "../forceLayout.ts";
import { circuitGraph } from "../graph.ts";
import { oneLine } from "../layout/text.ts";
import { structureLayout } from "../layout.ts";
import type { Circuit } from "../schema.ts";
import type { Layout } from "./figure.ts";
import { LINK_COLORS, SITE_COLORS, signColor } from "./palette.ts";

export interface GexfOptions {
  readonly links?: boolean;
  /** Positions are those of the structure view in every layout but force. */
  readonly layout?: Layout;
}

export function circuitGexf(circuit: Circuit, options: GexfOptions = {}): string {
  const graph = circuitGraph(circuit, options);
  const positions = options.layout === "force" ? forceLayout(circuit) : layerPositions(circuit);
  const { counts, task } = circuit;
  graph.replaceAttributes({
    creator: `sparse-circuits ${oneLine(circuit.provenance.toolVersion)}`,
    description: `${oneLine(task.name)}: circuit of ${counts.nodes} nodes and ${counts.edges} edges`,
  });
  const heaviest = Math.max(1e-9, ...circuit.edges.map((e) => Math.abs(e.weight)));
  const text = write(graph, {
    version: "1.3",
    formatNode: (id, { label, site, layer, channel, head, name, meanActivation, importance }) => ({
      label: oneLine(label),
      attributes: {
        name,
        site,
        layer,
        channel,
        ...(head === undefined ? {} : { head }),
        meanActivation: roundFloat(meanActivation),
        ...(importance === null ? {} : { importance: roundFloat(importance) }),
      },
      // GEXF's y axis points up.
      viz: { x: positions.get(id)!.x, y: -positions.get(id)!.y, size: 10, color: rgb(SITE_COLORS[site]) },
    }),
    formatEdge: (_, { kind, weight, matrix }) => {
      if (kind !== "weight") return { kind, viz: { color: rgb(LINK_COLORS[kind]), thickness: 1 } };
      const signed = roundFloat(weight ?? 0);
      return {
        kind,
        weight: signed,
        attributes: { matrix },
        viz: { color: rgb(signColor(signed)), thickness: round(1 + (3 * Math.abs(signed)) / heaviest) },
      };
    },
  });
  return text.endsWith("\n") ? text : `${text}\n`;
}

/** Where the structure view places the nodes. */
function layerPositions(circuit: Circuit): Map<string, { x: number; y: number }> {
  const { nodes } = structureLayout(circuit);
  return new Map(nodes.map((node) => [node.id, { x: round(node.x), y: round(node.y) }]));
}

/** Written as r, g, b attributes, which more readers know than hex. */
export function rgb(hex: string): string {
  const part = (i: number): number => Number.parseInt(hex.slice(i, i + 2), 16);
  return `rgb(${part(1)}, ${part(3)}, ${part(5)})`;
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
