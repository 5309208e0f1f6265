/**
 * The font of figures, as outlines: DejaVu Sans Mono, from a package, so that a figure is the same on a machine without
 * the font. Every character has the same advance. Loaded at the first character that is asked for.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import * as path from "node:path";
import type { Font } from "opentype.js";

export type Face = "regular" | "bold" | "italic";

/** Outlines are in these units, y downwards, the baseline at 0. */
export const UNITS_PER_EM = 2048;
/** Width of every character. */
export const ADVANCE = 1233;

export type OutlineCommand =
  | { readonly type: "M" | "L"; readonly x: number; readonly y: number }
  | { readonly type: "Q"; readonly x1: number; readonly y1: number; readonly x: number; readonly y: number }
  | { readonly type: "Z" };

const FILES: Record<Face, string> = { regular: "400-normal", bold: "700-normal", italic: "400-italic" };

const require = createRequire(import.meta.url);
const fonts = new Map<Face, Font>();

function load(face: Face): Font {
  let font = fonts.get(face);
  if (font === undefined) {
    const { parse } = require("opentype.js") as typeof import("opentype.js");
    const folder = path.dirname(require.resolve("@fontsource/dejavu-mono/package.json"));
    const file = path.join(folder, "files", `dejavu-mono-latin-${FILES[face]}.woff`);
    font = parse(new Uint8Array(readFileSync(file)).buffer);
    fonts.set(face, font);
  }
  return font;
}

/** Scripts that are written one character after another, from left to right. */
const PLAIN = /^[\p{Script=Latin}\p{Script=Greek}\p{Script=Cyrillic}\p{Script=Common}]$/u;

/** Text that figures can draw: a character that the font lacks, or that would need shaping, is shown as U+1F389. */
export function drawable(text: string): string {
  if (/^[\x20-\x7e]*$/.test(text)) return text;
  // The variation selector only chooses between two pictures of the same character.
  return Array.from(text.normalize("NFC").replaceAll("\ufe0f", ""), (char) =>
    PLAIN.test(char) && load("regular").charToGlyphIndex(char) !== 0
      ? char
      : `U+${char.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}`,
  ).join("");
}

/** The outline of one character; of the regular face where another lacks it. */
export function outline(face: Face, char: string): OutlineCommand[] {
  const font = load(face);
  if (face !== "regular" && font.charToGlyphIndex(char) === 0) return outline("regular", char);
  // At this size a font unit is a pixel.
  return font.charToGlyph(char).getPath(0, 0, UNITS_PER_EM).commands as OutlineCommand[];
}
