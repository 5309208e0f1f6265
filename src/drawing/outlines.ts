/** The glyphs that a drawing's texts need, each once, and where they stand in a text. */
import type { Drawing, TextMark } from "./drawing.ts";
import { ADVANCE, type Face, type OutlineCommand, outline, UNITS_PER_EM } from "./font.ts";

export interface Glyph {
  /** The same for the same character in every figure: `b41` is a bold A. */
  readonly name: string;
  readonly commands: readonly OutlineCommand[];
}

function glyphName(face: Face, char: string): string {
  return `${face[0]}${char.codePointAt(0)!.toString(16)}`;
}

/** By name, sorted. Spaces have no outline. */
export function glyphsOf({ groups }: Drawing): Glyph[] {
  const glyphs = new Map<string, Glyph>();
  for (const mark of groups.flatMap(({ items }) => items.flatMap(({ marks }) => marks))) {
    if (mark.type !== "text") continue;
    for (const char of mark.text) {
      const name = glyphName(mark.face, char);
      if (!glyphs.has(name)) glyphs.set(name, { name, commands: outline(mark.face, char) });
    }
  }
  return [...glyphs.values()]
    .filter(({ commands }) => commands.length > 0)
    .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

/** Start of the baseline, pixels a font unit, and the glyphs with their offsets in font units. */
export function setText({ text, x, y, anchor, size, face, angle = 0 }: TextMark) {
  const scale = size / UNITS_PER_EM;
  const chars = [...text];
  const before = anchor === "middle" ? (chars.length * ADVANCE * scale) / 2 : 0;
  const turn = (angle * Math.PI) / 180;
  const [cos, sin] = [Math.cos(turn), Math.sin(turn)];
  const glyphs = chars
    .map((char, i) => ({ name: glyphName(face, char), offset: i * ADVANCE }))
    .filter((_, i) => chars[i] !== " ");
  return { x: x - cos * before, y: y - sin * before, cos, sin, scale, glyphs };
}
