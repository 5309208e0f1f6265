/** What every figure keeps to, checked on its marks. */
import { expect } from "vitest";
import { type Box, overlaps } from "../../src/circuits/layout/scene.ts";
import type { Drawing, Mark, Point, TextMark } from "../../src/drawing/drawing.ts";
import { ADVANCE, UNITS_PER_EM } from "../../src/drawing/font.ts";
import { pdfText } from "../../src/drawing/pdf.ts";
import { pngBytes } from "../../src/drawing/png.ts";
import { tikzText } from "../../src/drawing/tikz.ts";
import { decodePng, likeness, renderPdf } from "../support/pixels.ts";
import { compile } from "../support/programs.ts";

export const marksOf = ({ groups }: Drawing): Mark[] =>
  groups.flatMap(({ items }) => items.flatMap(({ marks }) => marks));
export const textsOf = (drawing: Drawing): TextMark[] => marksOf(drawing).filter((m) => m.type === "text");

/** What the glyphs of a text may cover. */
function inkBox({ x, y, anchor, size, text, angle }: TextMark): Box {
  const width = ([...text].length * ADVANCE * size) / UNITS_PER_EM;
  if (angle === -90)
    return { x: x - 0.72 * size, y: y - (anchor === "middle" ? width / 2 : width), width: 0.9 * size, height: width };
  return { x: anchor === "middle" ? x - width / 2 : x, y: y - 0.72 * size, width, height: 0.9 * size };
}

function placesOf(mark: Mark): readonly Point[] {
  switch (mark.type) {
    case "line":
      return mark.points;
    case "segments":
      return mark.segments.flat();
    case "path":
      return mark.commands.filter((command) => command.type !== "Z");
    case "rect":
      return [mark.box];
    default:
      return [mark];
  }
}

/** No text covers another, and nothing leaves the canvas. */
export function checkDrawing(drawing: Drawing): void {
  const boxes = textsOf(drawing).map((text) => ({ text: text.text, ...inkBox(text) }));
  boxes.sort((a, b) => a.x - b.x);
  const wrong: string[] = [];
  for (const [i, a] of boxes.entries()) {
    if (a.x < 0 || a.y < 0 || a.x + a.width > drawing.width || a.y + a.height > drawing.height) {
      wrong.push(`${a.text} leaves the canvas`);
    }
    for (let j = i + 1; j < boxes.length && boxes[j]!.x < a.x + a.width; j++) {
      if (overlaps(a, boxes[j]!, -0.01)) wrong.push(`${a.text} covers ${boxes[j]!.text}`);
    }
  }
  for (const mark of marksOf(drawing)) {
    const points = placesOf(mark);
    for (const { x, y } of points) {
      if (!(x >= 0 && y >= 0 && x <= drawing.width && y <= drawing.height)) wrong.push(`${mark.type} at ${x}, ${y}`);
    }
  }
  expect(wrong).toEqual([]);
}

/** The PDF is the PNG's picture on a page of its size. */
export async function checkPdf(folder: string, drawing: Drawing): Promise<void> {
  const pixels = renderPdf(folder, pdfText(drawing));
  expect([pixels.width, pixels.height]).toEqual([drawing.width, drawing.height]);
  expect(likeness(pixels, decodePng(await pngBytes(drawing)))).toBeGreaterThan(0.98);
}

/** The TikZ compiles to the PDF's picture: in another typeface, at the same places. */
export function checkTikz(folder: string, drawing: Drawing): void {
  const compiled = renderPdf(folder, compile(folder, "figure", tikzText(drawing)));
  expect(Math.abs(compiled.width - drawing.width)).toBeLessThanOrEqual(1);
  expect(Math.abs(compiled.height - drawing.height)).toBeLessThanOrEqual(1);
  expect(likeness(compiled, renderPdf(folder, pdfText(drawing)), 30, 30)).toBeGreaterThan(0.9);
}
