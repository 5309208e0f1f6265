/**
 * A drawing as a PDF page of its size: vectors, text as outlines (each glyph one form), nothing compressed or dated, so that
 * the bytes are the same on every machine. Operators and objects are those of PDF 1.4 (ISO 32000-1, 8 and 11.3.7).
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
import type { OutlineCommand } from "./font.ts";
import { glyphsOf, setText } from "./outlines.ts";

/** Points in a pixel. */
const POINT = 0.75;
/** Largest side of a page that every viewer takes, in points. */
const LARGEST = 14_400;
/** Distance of control points, in radii, of the Bézier curve that is nearest to a quarter circle. */
const ARC = 0.5523;

export function pdfText(drawing: Drawing): string {
  const { width, height, groups, title } = drawing;
  const scale = Math.min(POINT, LARGEST / Math.max(width, height));
  const items = groups.flatMap((group) => group.items);
  const alphas = new Map<string, string>();
  const page = [
    `${scale} 0 0 ${-scale} 0 ${num(height * scale)} cm`,
    `1 1 1 rg 0 0 ${num(width)} ${num(height)} re f`,
    // Corners of lines are round.
    "1 j",
    ...items.map((item) => itemPdf(item, alphas)),
  ].join("\n");

  const objects: string[] = [];
  const add = (body: string): string => `${objects.push(body)} 0 R`;
  const stream = (dictionary: string, data: string): string =>
    add(`<< ${dictionary}/Length ${data.length} >>\nstream\n${data}\nendstream`);
  const catalog = add("<< /Type /Catalog /Pages 2 0 R >>");
  add("<< /Type /Pages /Kids [3 0 R] /Count 1 >>");
  add(
    `<< /Type /Page /Parent 2 0 R /MediaBox [0 0 ${num(width * scale)} ${num(height * scale)}] /Contents 5 0 R /Resources 4 0 R >>`,
  );
  // Objects are numbered as they are added: resources, contents, glyphs.
  const glyphs = glyphsOf(drawing);
  const forms = glyphs.map(({ name }, i) => `/${name} ${6 + i} 0 R`).join(" ");
  const states = [...alphas].map(([name, value]) => `/${name} << ${value} >>`).join(" ");
  add(`<< /XObject << ${forms} >> /ExtGState << ${states} >> >>`);
  stream("", page);
  for (const { commands } of glyphs) {
    stream("/Type /XObject /Subtype /Form /BBox [-2048 -4096 4096 2048] ", `${outlinePdf(commands)} f`);
  }
  const info = add(`<< /Title <${utf16(title)}> /Producer (sparse-circuits) >>`);
  return file(objects, `/Root ${catalog} /Info ${info}`);
}

/** Objects, the table of where they start, and the trailer. Everything is ASCII: characters are bytes. */
function file(objects: readonly string[], trailer: string): string {
  let text = "%PDF-1.4\n";
  const starts: number[] = [];
  for (const [i, body] of objects.entries()) {
    starts.push(text.length);
    text += `${i + 1} 0 obj\n${body}\nendobj\n`;
  }
  const table = starts.map((at) => `${String(at).padStart(10, "0")} 00000 n \n`).join("");
  const size = objects.length + 1;
  return `${text}xref\n0 ${size}\n0000000000 65535 f \n${table}trailer\n<< /Size ${size} ${trailer} >>\nstartxref\n${text.length}\n%%EOF\n`;
}

function itemPdf({ clip, marks }: Item, alphas: Map<string, string>): string {
  const text = marks.map((mark) => markPdf(mark, alphas)).join("\n");
  return clip === undefined ? text : `q ${rectPath(clip, 0)} W n\n${text}\nQ`;
}

function markPdf(mark: Mark, alphas: Map<string, string>): string {
  switch (mark.type) {
    case "line": {
      const path = mark.points.map((p, i) => `${num(p.x)} ${num(p.y)} ${i === 0 ? "m" : "l"}`).join(" ");
      return painted(path, undefined, mark.stroke, alphas);
    }
    case "segments": {
      const path = mark.segments.map(([a, b]) => `${num(a.x)} ${num(a.y)} m ${num(b.x)} ${num(b.y)} l`).join("\n");
      return painted(path, undefined, mark.stroke, alphas);
    }
    case "rect":
      return painted(rectPath(mark.box, mark.radius ?? 0), mark.fill, mark.stroke, alphas);
    case "circle": {
      const { x, y, radius: r } = mark;
      return painted(rectPath({ x: x - r, y: y - r, width: 2 * r, height: 2 * r }, r), mark.fill, mark.stroke, alphas);
    }
    case "path":
      return painted(mark.commands.map(commandPdf).join(" "), mark.fill, mark.stroke, alphas);
    case "text": {
      const { x, y, cos, sin, scale, glyphs } = setText(mark);
      const turned = [cos, sin, -sin, cos].map((part) => (scale * part).toFixed(6)).join(" ");
      let at = 0;
      const shown = glyphs.map(({ name, offset }) => {
        const move = offset === at ? "" : `1 0 0 1 ${offset - at} 0 cm `;
        at = offset;
        return `${move}/${name} Do`;
      });
      return `q ${rgb(mark.color)} rg ${turned} ${num(x)} ${num(y)} cm ${shown.join(" ")} Q`;
    }
  }
}

function commandPdf(command: PathCommand): string {
  if (command.type === "Z") return "h";
  const { x, y } = command;
  if (command.type !== "C") return `${num(x)} ${num(y)} ${command.type === "M" ? "m" : "l"}`;
  return `${[command.x1, command.y1, command.x2, command.y2, x, y].map(num).join(" ")} c`;
}

function painted(
  path: string,
  fill: Fill | undefined,
  stroke: Stroke | undefined,
  alphas: Map<string, string>,
): string {
  const set: string[] = [];
  const [fillAlpha, strokeAlpha] = [fill?.opacity ?? 1, stroke?.opacity ?? 1];
  if (fillAlpha < 1 || strokeAlpha < 1) {
    const name = `a${Math.round(100 * fillAlpha)}x${Math.round(100 * strokeAlpha)}`;
    alphas.set(name, `/ca ${num(fillAlpha)} /CA ${num(strokeAlpha)}`);
    set.push(`/${name} gs`);
  }
  if (fill !== undefined) set.push(`${rgb(fill.color)} rg`);
  if (stroke !== undefined) set.push(`${rgb(stroke.color)} RG ${num(stroke.width)} w`);
  if (stroke?.dash !== undefined) set.push(`[${stroke.dash.map(num).join(" ")}] 0 d`);
  if (stroke?.cap !== undefined) set.push("1 J");
  const paint = fill === undefined ? "S" : stroke === undefined ? "f" : "B";
  return `q ${set.join(" ")} ${path} ${paint} Q`;
}

/** A rectangle with round corners; all corner is a circle. */
function rectPath({ x, y, width, height }: Box, r: number): string {
  if (r === 0) return `${num(x)} ${num(y)} ${num(width)} ${num(height)} re`;
  const [right, bottom, k] = [x + width, y + height, r * (1 - ARC)];
  const curve = (...values: number[]): string => `${values.map(num).join(" ")} c`;
  return [
    `${num(x + r)} ${num(y)} m ${num(right - r)} ${num(y)} l`,
    curve(right - k, y, right, y + k, right, y + r),
    `${num(right)} ${num(bottom - r)} l`,
    curve(right, bottom - k, right - k, bottom, right - r, bottom),
    `${num(x + r)} ${num(bottom)} l`,
    curve(x + k, bottom, x, bottom - k, x, bottom - r),
    `${num(x)} ${num(y + r)} l`,
    curve(x, y + k, x + k, y, x + r, y),
    "h",
  ].join(" ");
}

/** PDF has cubic curves only. */
function outlinePdf(commands: readonly OutlineCommand[]): string {
  let [x, y] = [0, 0];
  const parts: string[] = [];
  for (const c of commands) {
    if (c.type === "Z") {
      parts.push("h");
      continue;
    }
    if (c.type === "Q") {
      const control = [x + (2 / 3) * (c.x1 - x), y + (2 / 3) * (c.y1 - y)];
      control.push(c.x + (2 / 3) * (c.x1 - c.x), c.y + (2 / 3) * (c.y1 - c.y), c.x, c.y);
      parts.push(`${control.map(num).join(" ")} c`);
    } else {
      parts.push(`${num(c.x)} ${num(c.y)} ${c.type === "M" ? "m" : "l"}`);
    }
    [x, y] = [c.x, c.y];
  }
  return parts.join(" ");
}

function rgb(hex: string): string {
  return [1, 3, 5].map((i) => (Number.parseInt(hex.slice(i, i + 2), 16) / 255).toFixed(3)).join(" ");
}

function utf16(text: string): string {
  return `FEFF${Array.from({ length: text.length }, (_, i) => text.charCodeAt(i).toString(16).padStart(4, "0")).join("")}`;
}
