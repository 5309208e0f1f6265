/** Which tokens a figure shows along its top and bottom, and where. */
import { drawable } from "../../drawing/font.ts";
import type { Circuit } from "../schema.ts";
import { placeInOrder } from "./place.ts";
import type { TextItem, TokenItem } from "./scene.ts";
import { textWidth, truncate, visibleToken } from "./text.ts";

const SIZE = 11;
const HEIGHT = 18;
const PAD = 6;
const SPACE = 16;
const CELLS = 16;
const MOST_TOKENS = 28;
/** Stands for the answer that has no entry. */
const OTHER = -1;
const OTHER_APART = 120;

interface Entry {
  readonly channel: number;
  readonly token: number;
  readonly tokenText: string;
  readonly weight: number;
  readonly answer?: boolean;
}

export interface TokenRow {
  /** With y of the top edge 0. */
  readonly tokens: TokenItem[];
  readonly texts: TextItem[];
  /** Entries whose token is shown. */
  readonly entries: readonly Entry[];
  /** x of the centre by token. */
  readonly centre: ReadonlyMap<number, number>;
  readonly height: number;
  readonly left: number;
  readonly right: number;
}

/**
 * Tokens in turn from each channel (entries come most relevant first) until the row is about as wide as the figure.
 * In the answer row, candidate answers alone if there are any.
 */
export function tokenRow(
  circuit: Circuit,
  kind: "input" | "output",
  lineX: ReadonlyMap<number, number>,
  width: number,
): TokenRow {
  const all: readonly Entry[] = kind === "input" ? circuit.embedding : circuit.unembedding;
  const shown = all.filter((e) => lineX.has(e.channel));
  const answers = shown.filter((e) => e.answer === true);
  const chosen = chooseTokens(answers.length > 0 ? answers : shown, Math.max(width, 640));
  const entries = shown.filter((e) => chosen.has(e.token));

  const boxes = [...chosen.entries()].map(([token, text]) => {
    const xs = entries.filter((e) => e.token === token).map((e) => lineX.get(e.channel)!);
    const centre = xs.reduce((sum, x) => sum + x, 0) / xs.length;
    const title = `token ${token}: ${visibleToken(text)}`;
    return { token, centre, answer: answers.some((e) => e.token === token), title, ...boxText(visibleToken(text)) };
  });
  // The circuit can decide between two answers by moving one alone. The file does not name the other.
  if (new Set(answers.map((e) => e.token)).size === 1) {
    const title = "no entry in the channels that the circuit writes";
    const centre = boxes[0]!.centre + OTHER_APART;
    boxes.push({ token: OTHER, centre, answer: true, title, ...boxText("the other answer") });
  }
  boxes.sort((a, b) => a.centre - b.centre || a.token - b.token);
  const lefts = placeInOrder(
    boxes.map((b) => ({ desired: b.centre - b.width / 2, width: b.width + SPACE })),
    Number.NEGATIVE_INFINITY,
    Number.POSITIVE_INFINITY,
  );
  const tokens: TokenItem[] = [];
  const texts: TextItem[] = [];
  const centre = new Map<number, number>();
  for (const [i, box] of boxes.entries()) {
    const x = lefts[i]!;
    centre.set(box.token, x + box.width / 2);
    const { token, answer, title } = box;
    tokens.push({ kind, token, answer, x, y: 0, width: box.width, height: HEIGHT, title });
    texts.push({
      text: box.shown,
      role: "token",
      size: SIZE,
      x: x + PAD,
      y: 2,
      width: box.width - 2 * PAD,
      height: HEIGHT - 4,
    });
  }
  const last = tokens[tokens.length - 1];
  return {
    tokens,
    texts,
    entries,
    centre,
    height: tokens.length === 0 ? 0 : HEIGHT,
    left: tokens[0]?.x ?? 0,
    right: last === undefined ? 0 : last.x + last.width,
  };
}

function boxText(text: string): { shown: string; width: number } {
  const shown = truncate(drawable(text), CELLS);
  return { shown, width: textWidth(shown, SIZE) + 2 * PAD };
}

function chooseTokens(entries: readonly Entry[], width: number): Map<number, string> {
  const byChannel = new Map<number, Entry[]>();
  for (const entry of entries) byChannel.set(entry.channel, [...(byChannel.get(entry.channel) ?? []), entry]);
  const queues = [...byChannel.values()];
  const chosen = new Map<number, string>();
  let used = 0;
  for (let turn = 0; queues.some((q) => turn < q.length); turn++) {
    for (const queue of queues) {
      const entry = queue[turn];
      if (entry === undefined || chosen.has(entry.token)) continue;
      used += boxText(visibleToken(entry.tokenText)).width + SPACE;
      if (chosen.size >= MOST_TOKENS || (chosen.size > 0 && used > width)) return chosen;
      chosen.set(entry.token, entry.tokenText);
    }
  }
  return chosen;
}
