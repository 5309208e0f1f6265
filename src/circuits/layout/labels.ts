/** Placing the weights along edges so that no text covers another text or a node. */
import { type Box, type EdgeItem, overlaps, type Point, type TextItem } from "./scene.ts";
import { formatWeight, textWidth } from "./text.ts";

const SIZE = 9;
const HEIGHT = 11;
/** In larger figures only the heaviest weights are labelled: more numbers than that are noise. */
const MOST_LABELS = 500;
/** Fractions of the way along an edge, preferred first. */
const PLACES = [0.5, 0.42, 0.58, 0.34, 0.66, 0.26, 0.74, 0.19, 0.81, 0.13, 0.87];

export interface PlacedLabels {
  readonly texts: TextItem[];
  readonly omitted: number;
}

/**
 * A label for each weighted edge that has room for one. Among free places, one that few other edges cross is taken,
 * so that a number is not read as another edge's. Edges with the least room choose first.
 */
export function placeLabels(edges: readonly EdgeItem[], obstacles: readonly Box[]): PlacedLabels {
  const texts: TextItem[] = [];
  const weighted = edges.filter((e) => e.weight !== undefined);
  const segments = weighted.map((e) => [e.points[0]!, e.points[1]!] as const);
  const byLength = weighted.map((_, i) => i).sort((a, b) => length(segments[a]!) - length(segments[b]!) || a - b);
  const heavy = heaviest(weighted);
  let omitted = weighted.length - heavy.size;
  for (const i of byLength) {
    if (!heavy.has(i)) continue;
    const [from, to] = segments[i]!;
    // Only what lies at the same height can be in the way.
    const [low, high] = [Math.min(from.y, to.y) - HEIGHT, Math.max(from.y, to.y) + HEIGHT];
    const near = (box: Box): boolean => box.y < high && box.y + box.height > low;
    const boxes = [...obstacles.filter(near), ...texts.filter(near)];
    const others = segments.filter(([a, b], j) => j !== i && Math.min(a.y, b.y) < high && Math.max(a.y, b.y) > low);
    const weight = weighted[i]!.weight!;
    const text = formatWeight(weight);
    const width = textWidth(text, SIZE) + 2;
    let best: { box: Box; cost: number } | undefined;
    for (const t of PLACES) {
      const centre = { x: from.x + (to.x - from.x) * t, y: from.y + (to.y - from.y) * t };
      const box = { x: centre.x - width / 2, y: centre.y - HEIGHT / 2, width, height: HEIGHT };
      if (boxes.some((o) => overlaps(o, box, 1))) continue;
      const cost = Math.abs(t - 0.5) + others.reduce((sum, segment) => sum + (crosses(segment, box) ? 1 : 0), 0);
      if (best === undefined || cost < best.cost) best = { box, cost };
    }
    if (best === undefined) omitted++;
    else texts.push({ ...best.box, text, size: SIZE, role: "weight", sign: weight < 0 ? -1 : 1 });
  }
  return { texts, omitted };
}

/** Indices of the edges that get a label at all. */
function heaviest(edges: readonly EdgeItem[]): Set<number> {
  const order = edges
    .map((_, i) => i)
    .sort((a, b) => Math.abs(edges[b]!.weight!) - Math.abs(edges[a]!.weight!) || a - b);
  return new Set(order.slice(0, MOST_LABELS));
}

function length([a, b]: readonly [Point, Point]): number {
  return Math.hypot(a.x - b.x, a.y - b.y);
}

/** Whether a segment passes through a box (Liang-Barsky clipping). */
export function crosses([a, b]: readonly [Point, Point], box: Box): boolean {
  let [enter, leave] = [0, 1];
  for (const [start, delta, low, high] of [
    [a.x, b.x - a.x, box.x, box.x + box.width],
    [a.y, b.y - a.y, box.y, box.y + box.height],
  ] as const) {
    if (delta === 0) {
      if (start < low || start > high) return false;
      continue;
    }
    const [t1, t2] = [(low - start) / delta, (high - start) / delta];
    enter = Math.max(enter, Math.min(t1, t2));
    leave = Math.min(leave, Math.max(t1, t2));
    if (enter > leave) return false;
  }
  return true;
}
