/**
 * Text of figures and tables: how wide it is, how it is cut, how tokens and weights are written. Figures use a
 * monospace font, so that width follows from the number of cells and boxes can be sized without a font at hand.
 */
import { oneLine } from "../../util/text.ts";

export { oneLine };

/** Advance of a cell in ems: a little more than the widest common monospace font (DejaVu Sans Mono, 0.602). */
const CELL_EM = 0.615;

const segmenter = new Intl.Segmenter("en", { granularity: "grapheme" });

/** East Asian wide and emoji ranges, which take two cells. */
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Extended_Pictographic}|\p{Regional_Indicator}/u;

/** Cells that a text takes in a monospace font. */
export function cellWidth(text: string): number {
  // Printable ASCII needs no segmentation.
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  let cells = 0;
  for (const { segment } of segmenter.segment(text)) cells += WIDE.test(segment) ? 2 : 1;
  return cells;
}

/** Width in pixels at a font size in pixels. */
export function textWidth(text: string, size: number): number {
  return cellWidth(text) * size * CELL_EM;
}

/** The text, cut with an ellipsis if it takes more than `cells` (at least 1). */
export function truncate(text: string, cells: number): string {
  if (cellWidth(text) <= cells) return text;
  let result = "";
  let used = 0;
  for (const { segment } of segmenter.segment(text)) {
    const width = cellWidth(segment);
    if (used + width > cells - 1) break;
    result += segment;
    used += width;
  }
  return `${result}…`;
}

/** The text in lines of at most `cells`, broken after any of its pieces (by default words). */
export function wrap(text: string, cells: number, pieces: Iterable<string> = text.match(/\S+\s*/g) ?? []): string[] {
  const lines = [""];
  for (const piece of pieces) {
    const line = lines[lines.length - 1]! + piece;
    if (cellWidth(line.trimEnd()) <= cells) lines[lines.length - 1] = line;
    else lines.push(piece);
  }
  return lines.map((line) => line.trimEnd());
}

/** `text` padded with spaces to `cells`; longer text is cut. */
export function padCells(text: string, cells: number): string {
  const cut = truncate(text, Math.max(1, cells));
  return cut + " ".repeat(Math.max(0, cells - cellWidth(cut)));
}

/** A token as a reader can see it: spaces as open boxes too, an empty one as the empty-set sign. */
export function visibleToken(text: string): string {
  return text === "" ? "∅" : oneLine(text).replaceAll(" ", "␣");
}

/** A weight for a figure: two decimals, more only where two would show zero. */
export function formatWeight(weight: number): string {
  const size = Math.abs(weight);
  if (size === 0) return "0";
  if (size >= 9999.5 || size < 0.0005) return weight.toExponential(0).replace("e+", "e");
  if (size >= 99.5) return weight.toFixed(0);
  if (size >= 0.095) return weight.toFixed(2);
  return size >= 0.0095 ? weight.toFixed(3) : weight.toFixed(4);
}
