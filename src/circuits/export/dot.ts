/**
 * Graphviz DOT: one cluster for each sublayer, one rank for each site. Weights are arrows (red positive, blue
 * negative), links have no arrowhead. Token entries are not part of it.
 */
import { SITES } from "../../model/sites.ts";
import { shownName } from "../graph.ts";
import { formatWeight, oneLine } from "../layout/text.ts";
import type { Circuit, CircuitNode } from "../schema.ts";
import { COLORS, LINK_COLORS, SITE_COLORS, signColor } from "./palette.ts";

export function circuitDot(circuit: Circuit): string {
  const { counts, task } = circuit;
  const title = `${task.name}: ${counts.nodes} nodes, ${counts.edges} edges`;
  const lines = [
    `digraph circuit {`,
    `  graph [rankdir=TB, labelloc=t, fontname="Helvetica", label=${quote(circuit.nodes.length === 0 ? `${title} (the circuit is empty)` : title)}];`,
    `  node [fontname="Helvetica", fontsize=10, style=filled, fillcolor="#ffffff", color=${quote(COLORS.ink)}];`,
    `  edge [fontname="Helvetica", fontsize=9];`,
  ];
  for (const [name, nodes] of sublayers(circuit)) {
    lines.push(`  subgraph ${quote(`cluster_${name}`)} {`);
    lines.push(`    label=${quote(name)}; labeljust=r; style=dashed; color=${quote(COLORS.boundary)};`);
    for (const site of SITES) {
      const row = nodes.filter((n) => n.site === site);
      if (row.length === 0) continue;
      lines.push("    { rank=same;", ...row.map((n) => `      ${node(circuit, n)}`), "    }");
    }
    lines.push("  }");
  }
  const heaviest = Math.max(1e-9, ...circuit.edges.map((e) => Math.abs(e.weight)));
  for (const { source, target, weight } of circuit.edges) {
    const color = quote(signColor(weight));
    const width = (0.8 + (1.6 * Math.abs(weight)) / heaviest).toFixed(2);
    lines.push(
      `  ${quote(source)} -> ${quote(target)} [label=${quote(formatWeight(weight))}, weight=2, penwidth=${width}, color=${color}, fontcolor=${color}];`,
    );
  }
  for (const { kind, source, target } of circuit.links) {
    const style = kind === "residual" ? "solid" : "dotted";
    lines.push(
      `  ${quote(source)} -> ${quote(target)} [class=${quote(kind)}, style=${style}, arrowhead=none, color=${quote(LINK_COLORS[kind])}];`,
    );
  }
  lines.push("}");
  return `${lines.join("\n")}\n`;
}

function sublayers(circuit: Circuit): Map<string, CircuitNode[]> {
  const groups = new Map<string, CircuitNode[]>();
  for (const n of circuit.nodes) {
    const key = `${n.layer}.${n.site.split(".")[0]}`;
    groups.set(key, [...(groups.get(key) ?? []), n]);
  }
  return groups;
}

function node(circuit: Circuit, n: CircuitNode): string {
  const name = shownName(circuit, n);
  // Quoting is last, so that \n between the lines is DOT's own.
  const text = n.label === undefined || n.label === "" ? literal(name) : `${literal(name)}\\n${literal(n.label)}`;
  const shape = n.head === undefined ? (n.site === "mlp.post_act" ? "ellipse" : "plain") : "box";
  const fill = n.site === "mlp.post_act" ? COLORS.neuron : n.head === undefined ? "#ffffff" : COLORS.attentionFill;
  return `${quote(n.id)} [label="${text}", shape=${shape}, fillcolor=${quote(fill)}, color=${quote(SITE_COLORS[n.site])}, tooltip=${quote(n.id)}];`;
}

/** Graphviz reads backslash escapes and XML entities in labels: both are made literal. */
function literal(text: string): string {
  return oneLine(text).replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("&", "&amp;");
}

function quote(text: string): string {
  return `"${literal(text)}"`;
}
