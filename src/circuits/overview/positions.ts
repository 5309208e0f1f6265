/**
 * Where the nodes of a whole model stand: ForceAtlas2 (Jacomy et al. 2014) over its nonzero weights, heavier ones pulling
 * more. Weights alone would leave each sublayer an island, so nodes that are one thing in the computation are tied together
 * too, by points that are not drawn: reads and writes of a residual channel, a query and its key, the channels of a head. It
 * knows nothing of circuits: where a circuit holds together in the picture, it does so in the weights.
 */
import { UndirectedGraph } from "graphology";
import { Rng } from "../../util/rng.ts";
import { mean } from "../../util/statistics.ts";
import { forceAtlas2 } from "../forceLayout.ts";
import type { Point } from "../layout/scene.ts";
import type { Network, NetworkNode } from "./network.ts";

const ITERATIONS = 200;
/** Nodes times iterations: more nodes get fewer, so that no model takes minutes. */
const MOST_WORK = 1_000_000;
/** Pull of a tie; that of weights is 0 to 2. */
const TIE = 0.5;

/** Of each shown node, in a disc of radius 1 around 0; y downwards, as the computation goes. */
export function networkPositions({ config, shown: { nodes, edges } }: Network): Point[] {
  if (nodes.length === 0) return [];
  const rng = Rng.of("network-positions");
  const graph = new UndirectedGraph<Partial<Point>>();
  const depths = nodes.map(({ layer, site }) => 2 * layer + (site.startsWith("attn") ? 0 : 1));
  for (const [i, { channel }] of nodes.entries()) {
    // Channels at multiples of the golden ratio: the same channel at the same place, no two channels beside each other.
    graph.addNode(i, {
      x: 100 * ((channel * 0.618034) % 1) + rng.normal(),
      y: (50 * depths[i]!) / config.layers + rng.normal(),
    });
  }
  for (const { source, target, rank } of edges) graph.mergeEdge(source, target, { weight: 2 * rank });
  for (const [i, node] of nodes.entries()) {
    for (const tie of tiesOf(node, config.width, config.headWidth)) {
      const { x, y } = graph.getNodeAttributes(i);
      if (!graph.hasNode(tie)) graph.addNode(tie, { x: x!, y: y! });
      graph.mergeEdge(i, tie, { weight: TIE });
    }
  }
  const found = forceAtlas2(graph, {
    iterations: Math.max(30, Math.min(ITERATIONS, Math.round(MOST_WORK / graph.order))),
    getEdgeWeight: "weight",
    settings: {
      gravity: 0.5,
      strongGravityMode: true,
      scalingRatio: 20,
      slowDown: 10,
      barnesHutOptimize: true,
      barnesHutTheta: 1.2,
    },
  });
  return upright(
    nodes.map((_, i) => found[i]!),
    depths,
  );
}

/** Names of what a node is tied to. */
function tiesOf({ layer, site, channel }: NetworkNode, width: number, headWidth: number): string[] {
  if (site.endsWith("act_in") || site.endsWith("resid_delta")) return channel < width ? [`channel ${channel}`] : [];
  if (site === "mlp.post_act") return [];
  const head = `head ${layer} ${Math.floor(channel / headWidth)}`;
  return site === "attn.v" ? [head] : [head, `pattern ${layer} ${channel}`];
}

/** Turned so that depth grows downwards as far as it can, moved to the middle and scaled to radius 1. */
function upright(points: readonly Point[], depths: readonly number[]): Point[] {
  const [cx, cy, middle] = [mean(points.map((p) => p.x)), mean(points.map((p) => p.y)), mean(depths)];
  let [dx, dy] = [0, 0];
  for (const [i, { x, y }] of points.entries()) {
    dx += (x - cx) * (depths[i]! - middle);
    dy += (y - cy) * (depths[i]! - middle);
  }
  const length = Math.hypot(dx, dy);
  const [sin, cos] = length === 0 ? [0, 1] : [dx / length, dy / length];
  const turned = points.map(({ x, y }) => ({
    x: (x - cx) * cos - (y - cy) * sin,
    y: (x - cx) * sin + (y - cy) * cos,
  }));
  const radius = Math.max(...turned.map(({ x, y }) => Math.hypot(x, y))) || 1;
  const round = (v: number): number => Math.round((v / radius) * 1e5) / 1e5 || 0;
  return turned.map(({ x, y }) => ({ x: round(x), y: round(y) }));
}
