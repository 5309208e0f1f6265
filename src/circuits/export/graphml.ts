/**
 * GraphML with typed attributes: circuit nodes with the positions of the structure view, edges of kind "weight" (signed) and
 * links of their own kinds, without a weight. Read by networkx, igraph, Gephi, yEd, Cytoscape.
 */
import { escapeXml } from "../../drawing/xml.ts";
import { roundFloat } from "../file.ts";
import { circuitGraph } from "../graph.ts";
import { structureLayout } from "../layout.ts";
import type { Circuit } from "../schema.ts";

type Value = string | number | null | undefined;

const TYPES = {
  graph: { task: "string", model: "string", nodes: "int", edges: "int" },
  node: {
    label: "string",
    name: "string",
    site: "string",
    layer: "int",
    channel: "int",
    head: "int",
    meanActivation: "double",
    importance: "double",
    x: "double",
    y: "double",
  },
  edge: { kind: "string", weight: "double", matrix: "string" },
} as const;

type Kind = keyof typeof TYPES;

export function circuitGraphml(circuit: Circuit): string {
  const graph = circuitGraph(circuit);
  const { counts, task, model } = circuit;
  const places = new Map(structureLayout(circuit).nodes.map((n) => [n.id, n]));
  const lines = [
    `<?xml version="1.0" encoding="UTF-8"?>`,
    `<graphml xmlns="http://graphml.graphdrawing.org/xmlns" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="http://graphml.graphdrawing.org/xmlns http://graphml.graphdrawing.org/xmlns/1.0/graphml.xsd">`,
  ];
  for (const [kind, attributes] of Object.entries(TYPES)) {
    for (const [name, type] of Object.entries(attributes)) {
      lines.push(`  <key id="${kind}.${name}" for="${kind}" attr.name="${name}" attr.type="${type}"/>`);
    }
  }
  lines.push(`  <graph id="circuit" edgedefault="directed">`);
  lines.push(`    ${data("graph", { task: task.name, model: model.run, nodes: counts.nodes, edges: counts.edges })}`);
  graph.forEachNode((id, a) => {
    const { x, y } = places.get(id)!;
    const { label, name, site, layer, channel, head, meanActivation, importance } = a;
    // Readers take an empty text for a missing one.
    const values = { label: label || id, name, site, layer, channel, head, meanActivation, importance, x, y };
    lines.push(`    <node id="${escapeXml(id)}">${data("node", values)}</node>`);
  });
  graph.forEachEdge((_, { kind, weight, matrix }, source, target) => {
    const ends = `source="${escapeXml(source)}" target="${escapeXml(target)}"`;
    lines.push(`    <edge ${ends}>${data("edge", { kind, weight, matrix })}</edge>`);
  });
  lines.push("  </graph>", "</graphml>");
  return `${lines.join("\n")}\n`;
}

/** What is null or absent has no element. */
function data<K extends Kind>(kind: K, values: Record<keyof (typeof TYPES)[K], Value>): string {
  return Object.entries<Value>(values)
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => {
      const text = typeof value === "number" ? String(roundFloat(value)) : escapeXml(value!);
      return `<data key="${kind}.${name}">${text}</data>`;
    })
    .join("");
}
