/** The answers under the last token of an unrolled figure: token, and its probability in the circuit and the full model as bars. */
import { drawable } from "../../drawing/font.ts";
import type { Trace } from "../trace.ts";
import type { Box, Point, TextItem, TokenItem } from "./scene.ts";
import { textWidth, truncate, visibleToken } from "./text.ts";

const SIZE = 11;
const PAD = 6;
const CELLS = 16;
const HEIGHT = 18;
const ROW = 15;
const LABEL_SIZE = 9;
const LABEL_WIDTH = 44;
const BAR_WIDTH = 70;
const NUMBER_WIDTH = 34;
const BLOCK = LABEL_WIDTH + BAR_WIDTH + NUMBER_WIDTH;
const APART = 24;

export interface Bar extends Box {
  /** Part of its width that is filled. */
  readonly share: number;
  readonly of: "circuit" | "model";
  readonly title: string;
}

export interface AnswerEntry {
  readonly channel: number;
  /** Index of the answer. */
  readonly answer: number;
  readonly weight: number;
}

export interface AnswerBlock {
  readonly width: number;
  readonly height: number;
  /** Entries of the unembedding from the given channels. */
  readonly entries: readonly AnswerEntry[];
  at(x: number, y: number): AnswerItems;
}

interface AnswerItems {
  readonly tokens: readonly TokenItem[];
  readonly texts: readonly TextItem[];
  readonly bars: readonly Bar[];
  /** Where lines to an answer end. */
  readonly top: (answer: number) => Point;
}

/** @param lineX of the channels that the last token's column writes, which order the answers */
export function answerBlock({ answers }: Trace, lineX: ReadonlyMap<number, number>): AnswerBlock {
  const entries = answers.flatMap(({ unembedding }, answer): AnswerEntry[] =>
    [...lineX.keys()].flatMap((channel) => {
      const weight = unembedding[channel] ?? 0;
      return weight === 0 ? [] : [{ channel, answer, weight }];
    }),
  );
  const centre = (answer: number): number => {
    const xs = entries.filter((e) => e.answer === answer).map((e) => lineX.get(e.channel)!);
    return xs.length === 0 ? Number.POSITIVE_INFINITY : xs.reduce((sum, x) => sum + x, 0) / xs.length;
  };
  const places = answers.map((_, i) => ({ i, centre: centre(i) }));
  const order = places.sort((a, b) => (a.centre === b.centre ? a.i - b.i : a.centre - b.centre)).map(({ i }) => i);
  return {
    entries,
    width: answers.length * (BLOCK + APART) - APART,
    height: HEIGHT + 6 + 2 * ROW,
    at(x, y) {
      const left = (answer: number): number => x + order.indexOf(answer) * (BLOCK + APART);
      const top = (answer: number): Point => ({ x: left(answer) + BLOCK / 2, y });
      const tokens: TokenItem[] = [];
      const texts: TextItem[] = [];
      const bars: Bar[] = [];
      for (const [i, { token, text, circuit, full, right }] of answers.entries()) {
        const shown = truncate(drawable(visibleToken(text)), CELLS);
        const inside = textWidth(shown, SIZE);
        const width = inside + 2 * PAD;
        const title = `answer ${token}: ${visibleToken(text)}`;
        const box = { x: top(i).x - width / 2, y, width, height: HEIGHT };
        tokens.push({ kind: "output", token, answer: true, title, ...box });
        texts.push({ text: shown, role: "token", size: SIZE, x: box.x + PAD, y: y + 2, width: inside, height: 14 });
        const note = (label: string, left: number, y: number): void => {
          const width = textWidth(label, LABEL_SIZE);
          texts.push({ text: label, role: "note", size: LABEL_SIZE, x: left, y, width, height: 12 });
        };
        if (right) note("right", box.x + width + 4, y + 3);
        for (const [row, [of, share]] of (
          [
            ["circuit", circuit],
            ["model", full],
          ] as const
        ).entries()) {
          const rowY = y + HEIGHT + 6 + row * ROW;
          note(of, left(i), rowY);
          const bar = { x: left(i) + LABEL_WIDTH, y: rowY + 2, width: BAR_WIDTH, height: 8 };
          bars.push({
            ...bar,
            share,
            of,
            title: `${visibleToken(text)} in the ${of}: ${Number(share.toPrecision(4))}`,
          });
          note(share.toFixed(3), bar.x + BAR_WIDTH + 4, rowY);
        }
      }
      return { tokens, texts, bars, top };
    },
  };
}
