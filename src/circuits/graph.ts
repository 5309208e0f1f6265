/**
 * A circuit as a graphology graph: nodes are circuit nodes, edges are weights (kind "weight") and links (their own
 * kind, no weight). Token entries are not part of it. Each ordered pair of nodes has at most one edge or link, since
 * weights and links join different pairs of sites.
 */
import { DirectedGraph } from "graphology";
import type { Site } from "../model/sites.ts";
import type { Circuit, CircuitLink, CircuitNode } from "./schema.ts";

interface GraphNode {
  site: Site;
  layer: number;
  channel: number;
  head?: number;
  /** Name for figures: `Q.1.5`, or the channel; with a factor if it was scaled. */
  name: string;
  /** The node's label, or its id. */
  label: string;
  meanActivation: number;
  importance: number | null;
  /** Set by layouts. */
  x?: number;
  y?: number;
}

interface GraphEdge {
  kind: "weight" | CircuitLink["kind"];
  /** Only of kind "weight". */
  weight?: number;
  matrix?: string;
}

export type CircuitGraph = DirectedGraph<GraphNode, GraphEdge>;

/** The name of a node within its row: `Q.<head>.<channel in head>` as in the paper's figures, else the channel. */
export function shortName(circuit: Pick<Circuit, "model">, node: CircuitNode): string {
  if (node.head === undefined) return String(node.channel);
  const letter = node.site.slice(-1).toUpperCase();
  return `${letter}.${node.head}.${node.channel - node.head * circuit.model.headWidth}`;
}

/** `pos.3` of a node that reads a position channel. */
export function positionName({ model }: Pick<Circuit, "model">, { channel, site }: CircuitNode): string | undefined {
  const position = channel - model.width;
  return site.endsWith("act_in") && position >= 0 ? `pos.${position}` : undefined;
}

/** The short name, and the factor of a node that was scaled by hand: `98 ×1.3`. */
export function shownName(circuit: Circuit, node: CircuitNode): string {
  return shortName(circuit, node) + scaleMark(node);
}

/** ` ×1.3`, or nothing. */
export function scaleMark({ scale }: CircuitNode): string {
  return scale === undefined ? "" : ` ×${Number(scale.toPrecision(3))}`;
}

export function circuitGraph(circuit: Circuit, options: { links?: boolean } = {}): CircuitGraph {
  const graph: CircuitGraph = new DirectedGraph();
  for (const node of circuit.nodes) {
    const { id, site, layer, channel, head, meanActivation, importance } = node;
    graph.addNode(id, {
      site,
      layer,
      channel,
      ...(head === undefined ? {} : { head }),
      name: shownName(circuit, node),
      label: node.label ?? id,
      meanActivation,
      importance,
    });
  }
  for (const { source, target, weight, matrix } of circuit.edges) {
    graph.addDirectedEdgeWithKey(`${source}>${target}`, source, target, { kind: "weight", weight, matrix });
  }
  if (options.links ?? true) {
    for (const { kind, source, target } of circuit.links) {
      graph.addDirectedEdgeWithKey(`${source}>${target}`, source, target, { kind });
    }
  }
  return graph;
}
