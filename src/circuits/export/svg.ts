/**
 * The structure view as a self-contained SVG with the paper's conventions: red positive, blue negative, residual
 * channels thin grey lines, attention dotted, layer boundaries dashed. Draws what `structureLayout` placed and moves
 * nothing. Details that have no room are tooltips (`<title>`).
 */
import type { EdgeItem, LegendItem, NodeItem, Point, TextItem, TextRole, TokenItem } from "../layout/scene.ts";
import { structureLayout } from "../layout.ts";
import type { Circuit } from "../schema.ts";
import { COLORS, signColor } from "./colors.ts";
import { escapeLines, escapeXml } from "./xml.ts";

const FONT = "'DejaVu Sans Mono', Menlo, Consolas, 'Liberation Mono', monospace";

const TEXT_STYLE: Record<TextRole, string> = {
  title: `fill="${COLORS.ink}" font-weight="bold"`,
  subtitle: `fill="${COLORS.ink}"`,
  note: `fill="${COLORS.side}"`,
  node: `fill="${COLORS.ink}"`,
  side: `fill="${COLORS.side}" font-style="italic"`,
  token: `fill="${COLORS.ink}"`,
  weight: "",
  layer: `fill="${COLORS.ink}" font-weight="bold"`,
  row: `fill="${COLORS.faint}"`,
};

export function circuitSvg(circuit: Circuit): string {
  const scene = structureLayout(circuit);
  const { width, height } = scene;
  const heaviest = Math.max(1e-9, ...scene.edges.map((e) => Math.abs(e.weight ?? 0)));
  const weights = scene.texts.filter((t) => t.role === "weight");
  const others = scene.texts.filter((t) => t.role !== "weight");
  const name = `${circuit.task.name}: circuit of ${circuit.counts.nodes} nodes and ${circuit.counts.edges} edges`;
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="${FONT}">`,
    `<title>${escapeXml(name)}</title>`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    group(
      "boundaries",
      scene.boundaries.map(
        (b) =>
          `<path d="${path([
            { x: b.left, y: b.y },
            { x: b.right, y: b.y },
          ])}" stroke="${COLORS.boundary}" stroke-dasharray="5 4"/>`,
      ),
    ),
    group(
      "residual",
      scene.channels.map(
        (c) =>
          `<path d="${path([
            { x: c.x, y: c.top },
            { x: c.x, y: c.bottom },
          ])}" stroke="${COLORS.residual}" stroke-width="1.2"><title>residual channel ${c.channel}</title></path>`,
      ),
    ),
    group(
      "edges",
      scene.edges.map((edge) => edgeSvg(edge, heaviest)),
    ),
    group("nodes", scene.nodes.map(nodeSvg)),
    group("tokens", scene.tokens.map(tokenSvg)),
    group("labels", others.map(textSvg)),
    group("weights", weights.map(textSvg)),
    group("legend", scene.legend.map(legendSvg)),
    "</svg>",
  ].join("\n")}\n`;
}

function group(name: string, lines: readonly string[]): string {
  return lines.length === 0 ? `<g id="${name}"/>` : `<g id="${name}">\n${lines.join("\n")}\n</g>`;
}

/** At most two decimals, no negative zero. */
function num(value: number): string {
  return String(Math.round(value * 100) / 100 || 0);
}

function path(points: readonly Point[]): string {
  return points.map((p, i) => `${i === 0 ? "M" : "L"}${num(p.x)} ${num(p.y)}`).join("");
}

function edgeSvg(edge: EdgeItem, heaviest: number): string {
  const title = `<title>${escapeLines(edge.title)}</title>`;
  const d = path(edge.points);
  if (edge.weight === undefined) {
    return `<path d="${d}" fill="none" stroke="${COLORS.attention}" stroke-width="1.2" stroke-dasharray="1.5 3" stroke-linecap="round">${title}</path>`;
  }
  const thickness = num(0.8 + 1.6 * (Math.abs(edge.weight) / heaviest));
  const opacity = edge.kind === "weight" ? "0.85" : "0.5";
  return `<path d="${d}" fill="none" stroke="${signColor(edge.weight)}" stroke-width="${thickness}" stroke-opacity="${opacity}">${title}</path>`;
}

function nodeSvg(node: NodeItem): string {
  const open = `<g id="${escapeXml(node.id)}"><title>${escapeLines(node.title)}</title>`;
  const [w, h] = [node.halfWidth, node.halfHeight];
  const box = `x="${num(node.x - w)}" y="${num(node.y - h)}" width="${num(2 * w)}" height="${num(2 * h)}"`;
  switch (node.shape) {
    case "tick":
      return `${open}<rect ${box} fill="${COLORS.ink}"/></g>`;
    case "circle":
      return `${open}<circle cx="${num(node.x)}" cy="${num(node.y)}" r="${num(w)}" fill="${COLORS.neuron}" stroke="${COLORS.ink}"/></g>`;
    case "box":
      return `${open}<rect ${box} rx="4" fill="${COLORS.attentionFill}" stroke="${COLORS.ink}"/></g>`;
  }
}

function tokenSvg(token: TokenItem): string {
  const box = `x="${num(token.x)}" y="${num(token.y)}" width="${num(token.width)}" height="${num(token.height)}"`;
  const fill = token.answer ? COLORS.answer : COLORS.token;
  return `<g><title>${escapeLines(token.title)}</title><rect ${box} rx="2" fill="${fill}" stroke="${COLORS.faint}"/></g>`;
}

/** Text is centred in its box: the box is as wide as the widest common font, others leave equal room on both sides. */
function textSvg(item: TextItem): string {
  const centred = item.role === "node" || item.role === "token" || item.role === "weight";
  const x = centred ? item.x + item.width / 2 : item.x;
  const y = item.y + item.height / 2 + item.size * 0.35;
  const anchor = centred ? ` text-anchor="middle"` : "";
  const fill = item.sign === undefined ? "" : ` fill="${signColor(item.sign)}"`;
  // A number stands on its own line: the line is covered, since viewers differ in support for outlined text.
  const plate =
    item.role === "weight"
      ? `<rect x="${num(item.x)}" y="${num(item.y)}" width="${num(item.width)}" height="${num(item.height)}" fill="#ffffff" fill-opacity="0.85"/>`
      : "";
  return `${plate}<text x="${num(x)}" y="${num(y)}" font-size="${item.size}"${anchor} ${TEXT_STYLE[item.role]}${fill} xml:space="preserve">${escapeXml(item.text)}</text>`;
}

function legendSvg({ sample, x, y }: LegendItem): string {
  const stroke = (style: string): string => `<path d="M${num(x)} ${num(y)}L${num(x + 20)} ${num(y)}" ${style}/>`;
  switch (sample) {
    case "positive":
    case "negative":
      return stroke(`stroke="${COLORS[sample]}" stroke-width="2"`);
    case "residual":
      return `<path d="M${num(x + 10)} ${num(y - 7)}L${num(x + 10)} ${num(y + 7)}" stroke="${COLORS.residual}" stroke-width="1.2"/>`;
    case "attention":
      return stroke(`stroke="${COLORS.attention}" stroke-width="1.2" stroke-dasharray="1.5 3" stroke-linecap="round"`);
    case "circle":
      return `<circle cx="${num(x + 10)}" cy="${num(y)}" r="6" fill="${COLORS.neuron}" stroke="${COLORS.ink}"/>`;
    case "tick":
      return `<rect x="${num(x + 5)}" y="${num(y - 1.5)}" width="10" height="3" fill="${COLORS.ink}"/>`;
    case "box":
      return `<rect x="${num(x + 1)}" y="${num(y - 5)}" width="18" height="10" rx="3" fill="${COLORS.attentionFill}" stroke="${COLORS.ink}"/>`;
    case "token":
      return `<rect x="${num(x + 1)}" y="${num(y - 5)}" width="18" height="10" rx="2" fill="${COLORS.token}" stroke="${COLORS.faint}"/>`;
  }
}
