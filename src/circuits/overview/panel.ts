/**
 * The lower part of the overview: a matrix of how much each two circuits share (Jaccard index, nodes below the diagonal, weights
 * above), how many nodes and weights are in exactly one, two, ... circuits beside what chance would give, and the summary. Nothing
 * where there are not two circuits.
 */
import type { Item, Mark, TextMark } from "../../drawing/drawing.ts";
import { drawable } from "../../drawing/font.ts";
import { count } from "../../util/text.ts";
import { oneLine, textWidth, truncate } from "../layout/text.ts";
import type { CircuitColors } from "./colors.ts";
import { textIn } from "./marks.ts";
import type { Network } from "./network.ts";
import { type Overlap, type PairOverlap, setsInUse } from "./overlap.ts";
import { score } from "./words.ts";

const CELL = { width: 23, height: 16 };
const NAME_CELLS = 27;
const BAR = 80;
/** From one kind's bars to the next. */
const BARS_GAP = 100;
const LINE = 15;
/** More columns than fit: the table has them all. */
const MOST_CIRCUITS = 24;
/** Family-wise error rate of "more than chance", over all pairs of a kind (Bonferroni). */
const LEVEL = 0.05;

interface Ink {
  readonly ink: string;
  readonly side: string;
  readonly paper: string;
  readonly boundary: string;
}

export function overlapPanel(
  { names, nodes, edges }: Network,
  colors: CircuitColors,
  ink: Ink,
  { x: left, y: top, width }: { readonly x: number; readonly y: number; readonly width: number },
): { readonly items: Item[]; readonly bottom: number } {
  if (names.length < 2) return { items: [], bottom: top - 30 };
  const items: Item[] = [];
  const add = (...marks: Mark[]): void => void items.push({ marks });
  const text = textIn(ink.ink, 9);
  let y = top;
  let x = left;

  if (names.length <= MOST_CIRCUITS) {
    const note = "weights above the diagonal, nodes below; bold: more than chance";
    add(text("Shared by two circuits: Jaccard index in %", x, y, { size: 10, face: "bold" }));
    add(text(note, x, y + 13, { color: ink.side }));
    const shownName = (i: number): string => `${i + 1} ${truncate(names[i]!, NAME_CELLS)}`;
    const column = x + Math.max(...names.map((_, i) => textWidth(drawable(oneLine(shownName(i))), 9))) + 6;
    const row = y + 38;
    const most = Math.max(0.05, ...[...nodes.pairs, ...edges.pairs].map(({ jaccard }) => jaccard ?? 0));
    for (const i of names.keys()) {
      add(text(shownName(i), x, row + i * CELL.height + 11.5));
      add(text(String(i + 1), column + (i + 0.5) * CELL.width, row - 4, { anchor: "middle" }));
      const box = {
        x: column + i * CELL.width,
        y: row + i * CELL.height,
        width: CELL.width - 1,
        height: CELL.height - 1,
      };
      add({ type: "rect", box, fill: { color: colors.label(i) } });
    }
    for (const [overlap, below] of [
      [nodes, true],
      [edges, false],
    ] as const) {
      for (const pair of overlap.pairs) {
        const [r, c] = below ? [pair.b, pair.a] : [pair.a, pair.b];
        add(...cell(pair, overlap.pairs.length, most, ink, column + c * CELL.width, row + r * CELL.height, text));
      }
    }
    y = row + names.length * CELL.height;
    x = Math.max(column + names.length * CELL.width, x + textWidth(note, 9)) + 40;
  }

  // Each block beside the last where there is room, else below it.
  let at = top;
  if (x + BARS > left + width) [x, at] = [left, y + 34];
  add(text("In exactly so many circuits", x, at, { size: 10, face: "bold" }));
  add(text("bar: found; line: mean by chance", x, at + 13, { color: ink.side }));
  const rows = setsInUse(nodes, edges).filter((k) => k > 0);
  for (const [i, [kind, { usedBy }]] of kindsOf({ nodes, edges }).entries()) {
    const start = x + 36 + i * (BAR + BARS_GAP);
    const most = Math.max(1, ...usedBy.slice(1).flatMap((u) => [u.count, u.expected]));
    const length = (n: number): number => (BAR * n) / most;
    add(text(kind, start, at + 34, { color: ink.side }));
    for (const [row, { sets, count: found, expected }] of rows.map((k) => usedBy[k]!).entries()) {
      const y = at + 39 + row * LINE;
      if (i === 0) add(text(String(sets), x + 4, y + 10));
      const box = { x: start, y: y + 2, width: Math.max(0.5, length(found)), height: LINE - 5 };
      const line = [y, y + LINE - 1].map((end) => ({ x: start + length(expected), y: end }));
      add({ type: "rect", box, fill: { color: ink.boundary } });
      add({ type: "line", points: line, stroke: { color: ink.ink, width: 1 } });
      add(
        text(`${count(found)} (${expected < 9.95 ? expected.toFixed(1) : count(expected)})`, start + BAR + 6, y + 10),
      );
    }
  }
  const under = at + 39 + rows.length * LINE;
  const beside = x + BARS + 24;
  const block = textWidth("nodes 0.123 (0.123), weights 0.123 (0.123)", 9);
  if (beside + block <= left + width) x = beside;
  else at = under + 24;
  add(text("Over all circuits", x, at, { size: 10, face: "bold" }));
  at += 22;
  for (const [name, of] of SUMMARY) {
    const values = kindsOf({ nodes, edges }).map(([kind, overlap]) => {
      const [found, expected] = of(overlap);
      return `${kind} ${score(found)} (${score(expected)})`;
    });
    add(text(name, x, at, { face: "bold" }), text(values.join(", "), x, at + 13));
    at += 32;
  }
  for (const line of CHANCE) {
    add(text(line, x, at, { color: ink.side }));
    at += 12;
  }
  return { items, bottom: Math.max(y, under, at - 8) };
}

/** Width of the bars, their numbers and titles. */
const BARS = 36 + 2 * BAR + BARS_GAP + 75;

const CHANCE = [
  "in brackets by chance: circuits of as",
  "many nodes at each site, and weights",
  "into it, drawn independently",
];

const kindsOf = ({ nodes, edges }: Pick<Network, "nodes" | "edges">): (readonly [string, Overlap])[] => [
  ["nodes", nodes],
  ["weights", edges],
];

const SUMMARY: readonly (readonly [string, (overlap: Overlap) => [number | null, number | null]])[] = [
  ["Mean Jaccard index of two circuits", (o) => [o.meanJaccard, o.expectedJaccard]],
  ["Disentanglement (1 apart, 0 alike)", (o) => [o.disentanglement, o.expectedDisentanglement]],
];

/** A square as dark as the overlap, with the number. */
function cell(
  { jaccard, atLeast }: PairOverlap,
  pairs: number,
  most: number,
  ink: Ink,
  x: number,
  y: number,
  text: (shown: string, x: number, y: number, more: Partial<TextMark>) => TextMark,
): Mark[] {
  const strength = (jaccard ?? 0) / most;
  const percent = 100 * (jaccard ?? 0);
  const shown = percent === 0 ? "" : percent < 0.5 ? "<1" : percent.toFixed(0);
  const box = { x, y, width: CELL.width - 1, height: CELL.height - 1 };
  return [
    { type: "rect", box, fill: { color: ink.ink, opacity: Math.round(100 * (0.04 + 0.8 * strength)) / 100 } },
    ...(shown === ""
      ? []
      : [
          text(shown, x + (CELL.width - 1) / 2, y + 11, {
            anchor: "middle",
            face: atLeast < LEVEL / pairs ? "bold" : "regular",
            color: strength > 0.55 ? ink.paper : ink.ink,
          }),
        ]),
  ];
}
