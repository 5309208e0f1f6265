/**
 * The free-form view: ForceAtlas2 over edges and links. It knows no layers, so start positions are laid out by them
 * (with a little seeded noise) and the result keeps a rough top to bottom. Same circuit, same positions.
 */
import forceAtlas2Module, { type ForceAtlas2Settings } from "graphology-layout-forceatlas2";
import type { AbstractGraph } from "graphology-types";
import { SITES } from "../model/sites.ts";
import { Rng } from "../util/rng.ts";
import { mean } from "../util/statistics.ts";
import { circuitGraph } from "./graph.ts";
import type { Circuit } from "./schema.ts";

export interface Point {
  readonly x: number;
  readonly y: number;
}

interface ForceAtlas2 {
  (
    graph: AbstractGraph,
    options: {
      iterations: number;
      settings: ForceAtlas2Settings;
      getEdgeWeight: "weight" | ((edge: string, attributes: { weight?: number }) => number);
    },
  ): Record<string, Point>;
  inferSettings(order: number): ForceAtlas2Settings;
}

// The package is CommonJS: Node gives its function as the default export and no names, while its types describe ES
// exports.
export const forceAtlas2 = forceAtlas2Module as unknown as ForceAtlas2;

const STEP = 40;

/** Position of each node by id, y downwards, centred on 0; nearest nodes are about 40 apart. */
export function forceLayout(circuit: Circuit, options: { iterations?: number } = {}): Map<string, Point> {
  const graph = circuitGraph(circuit);
  if (graph.order === 0) return new Map();
  const rng = Rng.of("force-layout");
  graph.forEachNode((id, { layer, site, channel }) => {
    graph.mergeNodeAttributes(id, {
      x: (channel % 8) * STEP + rng.normal() * STEP,
      y: (layer * SITES.length + SITES.indexOf(site)) * STEP,
    });
  });
  const positions = forceAtlas2(graph, {
    iterations: options.iterations ?? 400,
    settings: { ...forceAtlas2.inferSettings(graph.order), gravity: 0.5, scalingRatio: STEP, barnesHutOptimize: false },
    getEdgeWeight: (_, { weight }) => (weight === undefined ? 1 : Math.min(4, Math.abs(weight)) + 0.1),
  });
  const points = circuit.nodes.map(({ id }) => positions[id]!);
  const scale = STEP / medianSpacing(points);
  const [cx, cy] = [mean(points.map((p) => p.x)), mean(points.map((p) => p.y))];
  const round = (v: number): number => Math.round(v * scale * 1000) / 1000 || 0;
  return new Map(circuit.nodes.map(({ id }, i) => [id, { x: round(points[i]!.x - cx), y: round(points[i]!.y - cy) }]));
}

/** Median distance of a node to its nearest neighbour. */
function medianSpacing(points: readonly Point[]): number {
  if (points.length < 2) return STEP;
  const nearest = points.map((p, i) =>
    Math.min(...points.filter((_, j) => j !== i).map((q) => Math.hypot(p.x - q.x, p.y - q.y))),
  );
  return nearest.sort((a, b) => a - b)[nearest.length >> 1]! || STEP;
}
