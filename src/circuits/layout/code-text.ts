/**
 * A prompt set as code: in cells of a monospace font, with its own line breaks. Long lines are wrapped at a token; a token
 * that has line breaks in it stands in pieces. Pure text: no pixels, no circuit.
 */
import { drawable } from "../../drawing/font.ts";
import { oneLine } from "./text.ts";

/** A part of a token on one line. */
export interface Piece {
  readonly position: number;
  readonly line: number;
  readonly cell: number;
  readonly cells: number;
  /** As it is drawn; empty of line breaks. */
  readonly text: string;
  /** A line break, which is drawn as a sign. */
  readonly isBreak: boolean;
}

export interface CodeText {
  /** In reading order; each token has one at least. */
  readonly pieces: readonly Piece[];
  readonly lines: number;
  /** Whether a line continues the one before it. */
  readonly continues: (line: number) => boolean;
}

const TAB = 4;
/** Of lines that continue another. */
const INDENT = 4;

/** @param most cells of a line */
export function setCode(tokens: readonly { readonly text: string }[], most: number): CodeText {
  const pieces: Piece[] = [];
  const continued = new Set<number>();
  let [line, cell] = [0, 0];
  const place = (position: number, text: string, isBreak = false): void => {
    const cells = isBreak ? 1 : [...text].length;
    pieces.push({ position, line, cell, cells, text, isBreak });
    cell += cells;
  };
  const next = (continues: boolean): void => {
    line++;
    cell = continues ? INDENT : 0;
    if (continues) continued.add(line);
  };
  const word = (position: number, text: string): void => {
    const chars = [...text];
    // A line that is full may still hold the sign of a break.
    if (cell + chars.length > most && cell > (continued.has(line) ? INDENT : 0)) next(true);
    for (let rest = chars; rest.length > 0; ) {
      const room = most - cell;
      place(position, rest.slice(0, room).join(""));
      rest = rest.slice(room);
      if (rest.length > 0) next(true);
    }
  };
  for (const [position, { text }] of tokens.entries()) {
    if (text === "") word(position, "∅");
    for (const [i, part] of text.split(/\r?\n/).entries()) {
      if (i > 0) {
        place(position, "", true);
        next(false);
      }
      const shown = part.replaceAll("\t", (_, at: number) => " ".repeat(TAB - ((cell + at) % TAB)));
      if (shown !== "") word(position, drawable(oneLine(shown)));
    }
    // End of text is no part of the code, which begins on a line of its own.
    if (position === 0 && /^<\|.*\|>$/.test(text)) next(false);
  }
  return { pieces, lines: line + 1, continues: (n) => continued.has(n) };
}

/** Where a line of the text stands in a figure that leaves some out. */
export interface Rows {
  readonly count: number;
  /** Undefined of a line that is left out. */
  readonly of: (line: number) => number | undefined;
  /** Rows that stand for several lines, and for how many. */
  readonly folds: ReadonlyMap<number, number>;
}

/** Runs of lines that are not `kept` become one row each; a run of one or two lines stays. */
export function foldLines(lines: number, kept: (line: number) => boolean): Rows {
  const rows = new Map<number, number>();
  const folds = new Map<number, number>();
  let count = 0;
  for (let line = 0; line < lines; ) {
    let end = line;
    while (end < lines && !kept(end)) end++;
    if (end - line > 2) {
      folds.set(count++, end - line);
      line = end;
    } else {
      rows.set(line++, count++);
    }
  }
  return { count, of: (line) => rows.get(line), folds };
}
