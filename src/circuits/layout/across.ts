/** The columns of an unrolled figure from left to right, with folded tokens between them and room for the answers. */
import type { NodeX } from "./sideways.ts";
import type { TokenColumn } from "./unrolled-columns.ts";

const MARGIN = 20;
/** Left of everything: names of rows. Right: names of sublayers. */
const ROW_NAME_WIDTH = 62;
const LAYER_NAME_WIDTH = 50;
const COLUMN_GAP = 20;
const FOLD_WIDTH = 26;
const FOLD_GAP = 12;

export interface Across {
  /** Of the canvas. */
  readonly width: number;
  /** Left edge of the column of a position. */
  readonly left: (position: number) => number;
  readonly nodeX: NodeX;
  /** x of the line of a channel in a column. */
  readonly lineX: (position: number, channel: number) => number;
  /** Runs of tokens without a column, inclusive. */
  readonly folds: readonly { readonly x: number; readonly width: number; readonly from: number; readonly to: number }[];
  /** Left edge of the answers, which stand under the last column. */
  readonly answers: number;
}

export function placeAcross(columns: readonly TokenColumn[], answersWidth: number, captionWidth: number): Across {
  const lefts = new Map<number, number>();
  const folds: { x: number; from: number; to: number }[] = [];
  let [x, next] = [0, 0];
  for (const { position, width } of columns) {
    if (position > next) {
      folds.push({ x, from: next, to: position - 1 });
      x += FOLD_WIDTH + FOLD_GAP;
    }
    lefts.set(position, x);
    x += width + COLUMN_GAP;
    next = position + 1;
  }
  const last = columns[columns.length - 1]!;
  const answers = lefts.get(last.position)! + (last.width - answersWidth) / 2;
  const from = Math.min(0, answers);
  const to = Math.max(x - COLUMN_GAP, answers + answersWidth);
  const inner = ROW_NAME_WIDTH + (to - from) + LAYER_NAME_WIDTH;
  const width = Math.ceil(Math.max(inner, captionWidth) + 2 * MARGIN);
  // In the middle under wide captions.
  const shift = MARGIN + ROW_NAME_WIDTH - from + (width - 2 * MARGIN - inner) / 2;
  const byPosition = new Map(columns.map((c) => [c.position, c]));
  const left = (position: number): number => lefts.get(position)! + shift;
  // A column under a wide token is in its middle.
  const inside = (position: number): number => {
    const column = byPosition.get(position)!;
    return left(position) + (column.width - column.columns.width) / 2;
  };
  return {
    width,
    left,
    nodeX: (position, id) => inside(position) + byPosition.get(position)!.columns.nodeX.get(id)!,
    lineX: (position, channel) => inside(position) + byPosition.get(position)!.columns.lineX.get(channel)!,
    folds: folds.map((fold) => ({ ...fold, x: fold.x + shift, width: FOLD_WIDTH })),
    answers: answers + shift,
  };
}
