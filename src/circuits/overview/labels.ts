/**
 * Labels in the margins left and right of a picture, each joined to a point in it by a straight line: which stands on which
 * side, in which order, at which height (boundary labelling, Bekos et al. 2007).
 */

import { mean } from "../../util/statistics.ts";
import { placeInOrder } from "../layout/place.ts";
import type { Point } from "../layout/scene.ts";

export interface MarginLabel {
  readonly side: "left" | "right";
  /** Middle of the label. */
  readonly y: number;
  /** Where its line ends. */
  readonly anchor: Point;
}

/** Room for labels: their height each, and from where to where. */
export interface Margins {
  readonly height: number;
  readonly top: number;
  readonly bottom: number;
  /** Where lines begin. */
  readonly left: number;
  readonly right: number;
}

/**
 * A label for each list of points, in the order of the lists. The halves further left and right stand on that side; a line
 * ends at the outermost point of its list.
 */
export function marginLabels(lists: readonly (readonly Point[])[], margins: Margins): MarginLabel[] {
  const middles = lists.map((points) => mean(points.map(({ x }) => x)));
  const order = [...lists.keys()].sort((a, b) => middles[a]! - middles[b]! || a - b);
  const half = order.length === 1 && middles[0]! > (margins.left + margins.right) / 2 ? 0 : Math.ceil(order.length / 2);
  const labels = new Map<number, MarginLabel>();
  for (const [side, members] of [
    ["left", order.slice(0, half)],
    ["right", order.slice(half)],
  ] as const) {
    const outward = side === "left" ? 1 : -1;
    const anchors = members.map((i) => lists[i]!.reduce((a, b) => (outward * b.x < outward * a.x ? b : a)));
    const x = margins[side];
    for (const [i, y] of heights(anchors, x, margins).entries())
      labels.set(members[i]!, { side, y, anchor: anchors[i]! });
  }
  return lists.map((_, i) => labels.get(i)!);
}

/** Heights of the labels of one side: near those of the anchors, without overlap, lines uncrossed. */
function heights(anchors: readonly Point[], x: number, { height, top, bottom }: Margins): number[] {
  const order = [...anchors.keys()].sort((a, b) => anchors[a]!.y - anchors[b]!.y || a - b);
  const slots = placeInOrder(
    order.map((i) => ({ desired: anchors[i]!.y - height / 2, width: height })),
    top,
    bottom,
  ).map((y) => y + height / 2);
  // Two lines that cross are longer than the same two swapped: this ends.
  const length = (i: number, y: number): number => Math.hypot(anchors[i]!.x - x, anchors[i]!.y - y);
  for (let swapped = true; swapped; ) {
    swapped = false;
    for (let a = 0; a < order.length; a++) {
      for (let b = a + 1; b < order.length; b++) {
        const [i, j] = [order[a]!, order[b]!];
        const now = length(i, slots[a]!) + length(j, slots[b]!);
        if (length(i, slots[b]!) + length(j, slots[a]!) < now - 1e-6) {
          [order[a], order[b]] = [j, i];
          swapped = true;
        }
      }
    }
  }
  const result = new Array<number>(anchors.length);
  for (const [slot, i] of order.entries()) result[i] = slots[slot]!;
  return result;
}
