/**
 * The free-form view as a self-contained SVG: ForceAtlas2 positions, one disc a node in its site's colour, weights red
 * or blue, links grey. An overview of what hangs together; the structure view (svg.ts) is the figure.
 */
import { forceLayout } from "../forceLayout.ts";
import { shownName } from "../graph.ts";
import { cellWidth, formatWeight, oneLine } from "../layout/text.ts";
import type { Circuit } from "../schema.ts";
import { COLORS, LINK_COLORS, SITE_COLORS, signColor } from "./colors.ts";
import { escapeXml } from "./xml.ts";

const MARGIN = 90;
const RADIUS = 7;
const TITLE_HEIGHT = 50;
/** Width of a title's character, generously. */
const TITLE_CELL = 9;

export function circuitForceSvg(circuit: Circuit): string {
  const points = forceLayout(circuit);
  const xs = [...points.values()].map((p) => p.x);
  const ys = [...points.values()].map((p) => p.y);
  const left = Math.min(0, ...xs) - MARGIN;
  const top = Math.min(0, ...ys) - MARGIN - TITLE_HEIGHT;
  const { counts, task } = circuit;
  const title = `${oneLine(task.name)}: ${counts.nodes} nodes, ${counts.edges} edges`;
  const width = Math.max(40 + TITLE_CELL * cellWidth(title), Math.max(0, ...xs) + MARGIN - left);
  const height = Math.max(0, ...ys) + MARGIN - top;
  const at = (id: string): { x: string; y: string } => {
    const p = points.get(id)!;
    return { x: (p.x - left).toFixed(2), y: (p.y - top).toFixed(2) };
  };
  const line = (source: string, target: string, style: string, text: string): string => {
    const [a, b] = [at(source), at(target)];
    return `<line x1="${a.x}" y1="${a.y}" x2="${b.x}" y2="${b.y}" ${style}><title>${escapeXml(text)}</title></line>`;
  };
  const heaviest = Math.max(1e-9, ...circuit.edges.map((e) => Math.abs(e.weight)));
  const lines = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width.toFixed(0)}" height="${height.toFixed(0)}" viewBox="0 0 ${width.toFixed(2)} ${height.toFixed(2)}" font-family="'DejaVu Sans', Helvetica, Arial, sans-serif">`,
    `<title>${escapeXml(title)}</title>`,
    `<rect width="100%" height="100%" fill="#ffffff"/>`,
    `<text x="20" y="30" font-size="14" font-weight="bold" fill="${COLORS.ink}">${escapeXml(title)}</text>`,
  ];
  for (const { kind, source, target } of circuit.links) {
    const dash = kind === "residual" ? "" : ` stroke-dasharray="2 3"`;
    lines.push(line(source, target, `stroke="${LINK_COLORS[kind]}"${dash}`, kind));
  }
  for (const { source, target, weight } of circuit.edges) {
    const thickness = (1 + (2.5 * Math.abs(weight)) / heaviest).toFixed(2);
    const style = `stroke="${signColor(weight)}" stroke-width="${thickness}"`;
    lines.push(line(source, target, style, `${source} to ${target}: ${formatWeight(weight)}`));
  }
  for (const node of circuit.nodes) {
    const { x, y } = at(node.id);
    const name = `${node.layer}.${shownName(circuit, node)}`;
    lines.push(
      `<circle cx="${x}" cy="${y}" r="${RADIUS}" fill="${SITE_COLORS[node.site]}" stroke="#ffffff"><title>${escapeXml(node.id)}</title></circle>`,
      `<text x="${x}" y="${(Number(y) - RADIUS - 4).toFixed(2)}" font-size="9" text-anchor="middle" fill="${COLORS.ink}" stroke="#ffffff" stroke-width="3" paint-order="stroke">${escapeXml(name)}</text>`,
    );
  }
  if (circuit.nodes.length === 0) {
    lines.push(
      `<text x="20" y="60" font-size="12" fill="${COLORS.side}">The circuit is empty: no node is kept.</text>`,
    );
  }
  lines.push("</svg>");
  return `${lines.join("\n")}\n`;
}
