/**
 * A drawing as SVG. Text is outlines, each glyph once, so that the figure is the same on a machine without the font and
 * in programs that ignore embedded fonts; `aria-label` keeps it as text. Tooltips are `<title>`.
 */
import {
  type Box,
  type Drawing,
  type Fill,
  type Item,
  type Mark,
  num,
  type PathCommand,
  type Stroke,
} from "./drawing.ts";
import { type Glyph, glyphsOf, setText } from "./outlines.ts";
import { escapeLines, escapeXml } from "./xml.ts";

export function svgText(drawing: Drawing): string {
  const { width, height, title, groups } = drawing;
  const [w, h] = [num(width), num(height)];
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="${w}" height="${h}" viewBox="0 0 ${w} ${h}">`,
    `<title>${escapeXml(title)}</title>`,
    group("defs", "", [...glyphsOf(drawing).map(glyphSvg), ...clipsOf(drawing).map(clipSvg)]),
    `<rect width="${w}" height="${h}" fill="#ffffff"/>`,
    ...groups.map(({ name, items }) => group("g", ` id="${name}" stroke-linejoin="round"`, items.map(itemSvg))),
    "</svg>",
  ].join("\n")}\n`;
}

function group(tag: string, attributes: string, lines: readonly string[]): string {
  return lines.length === 0 ? `<${tag}${attributes}/>` : `<${tag}${attributes}>\n${lines.join("\n")}\n</${tag}>`;
}

function glyphSvg({ name, commands }: Glyph): string {
  const d = commands.map((c) => {
    if (c.type === "Z") return "Z";
    return c.type === "Q" ? `Q${num(c.x1)} ${num(c.y1)} ${num(c.x)} ${num(c.y)}` : `${c.type}${num(c.x)} ${num(c.y)}`;
  });
  return `<path id="${name}" d="${d.join("")}"/>`;
}

function clipsOf({ groups }: Drawing): Box[] {
  const boxes = groups.flatMap(({ items }) => items.flatMap(({ clip }) => clip ?? []));
  return [...new Map(boxes.map((box) => [clipName(box), box])).values()];
}

function clipName({ x, y, width, height }: Box): string {
  return `clip-${[x, y, width, height].map(num).join("-")}`;
}

function clipSvg(box: Box): string {
  return `<clipPath id="${clipName(box)}"><rect ${boxSvg(box)}/></clipPath>`;
}

function boxSvg({ x, y, width, height }: Box): string {
  return `x="${num(x)}" y="${num(y)}" width="${num(width)}" height="${num(height)}"`;
}

function itemSvg({ id, title, clip, marks }: Item): string {
  const tooltip = title === undefined ? "" : `<title>${escapeLines(title)}</title>`;
  if (id === undefined && clip === undefined && marks.length === 1) return markSvg(marks[0]!, tooltip);
  const name = id === undefined ? "" : ` id="${escapeXml(id)}"`;
  const clipped = clip === undefined ? "" : ` clip-path="url(#${clipName(clip)})"`;
  return `<g${name}${clipped}>${tooltip}${marks.map((mark) => markSvg(mark, "")).join("")}</g>`;
}

function markSvg(mark: Mark, tooltip: string): string {
  const element = (tag: string, attributes: string): string =>
    tooltip === "" ? `<${tag} ${attributes}/>` : `<${tag} ${attributes}>${tooltip}</${tag}>`;
  switch (mark.type) {
    case "line": {
      const d = mark.points.map((p, i) => `${i === 0 ? "M" : "L"}${num(p.x)} ${num(p.y)}`).join("");
      return element("path", `d="${d}" fill="none"${strokeSvg(mark.stroke)}`);
    }
    case "segments": {
      const d = mark.segments.map(([a, b]) => `M${num(a.x)} ${num(a.y)}L${num(b.x)} ${num(b.y)}`).join("");
      return element("path", `d="${d}" fill="none"${strokeSvg(mark.stroke)}`);
    }
    case "rect": {
      const radius = mark.radius === undefined ? "" : ` rx="${num(mark.radius)}"`;
      return element("rect", `${boxSvg(mark.box)}${radius}${fillSvg(mark.fill)}${strokeSvg(mark.stroke)}`);
    }
    case "circle": {
      const place = `cx="${num(mark.x)}" cy="${num(mark.y)}" r="${num(mark.radius)}"`;
      return element("circle", `${place}${fillSvg(mark.fill)}${strokeSvg(mark.stroke)}`);
    }
    case "path": {
      const fill = mark.fill === undefined ? ' fill="none"' : fillSvg(mark.fill);
      return element("path", `d="${mark.commands.map(commandSvg).join("")}"${fill}${strokeSvg(mark.stroke)}`);
    }
    case "text": {
      const { x, y, scale, glyphs } = setText(mark);
      const uses = glyphs.map(
        ({ name, offset }) => `<use xlink:href="#${name}"${offset === 0 ? "" : ` x="${offset}"`}/>`,
      );
      const turn = mark.angle ? ` rotate(${num(mark.angle)})` : "";
      const place = `translate(${num(x)} ${num(y)})${turn} scale(${scale.toPrecision(5)})`;
      return `<g transform="${place}" fill="${mark.color}" aria-label="${escapeXml(mark.text)}">${tooltip}${uses.join("")}</g>`;
    }
  }
}

function commandSvg(command: PathCommand): string {
  if (command.type === "Z") return "Z";
  const { x, y } = command;
  const controls = command.type === "C" ? [command.x1, command.y1, command.x2, command.y2] : [];
  return `${command.type}${[...controls, x, y].map(num).join(" ")}`;
}

function fillSvg({ color, opacity }: Fill): string {
  return ` fill="${color}"${opacity === undefined ? "" : ` fill-opacity="${num(opacity)}"`}`;
}

function strokeSvg(stroke: Stroke | undefined): string {
  if (stroke === undefined) return "";
  const { color, width, dash, opacity, cap } = stroke;
  return [
    ` stroke="${color}"`,
    width === 1 ? "" : ` stroke-width="${num(width)}"`,
    dash === undefined ? "" : ` stroke-dasharray="${dash.map(num).join(" ")}"`,
    opacity === undefined ? "" : ` stroke-opacity="${num(opacity)}"`,
    cap === undefined ? "" : ` stroke-linecap="${cap}"`,
  ].join("");
}
