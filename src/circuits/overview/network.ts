/**
 * A whole model as a network, its nodes and nonzero weights, with the circuits of its tasks in it: what the overview draws and
 * counts. A node is there if it has a nonzero weight, or is in a circuit.
 */
import type { ModelConfig } from "../../model/config.ts";
import { nodeId, nodeIndexOf, type Site, siteSpecs } from "../../model/sites.ts";
import { inputError } from "../../util/errors.ts";
import type { Params } from "../edges.ts";
import type { Circuit } from "../schema.ts";
import { Wiring } from "../wiring.ts";
import { type Overlap, overlapOf } from "./overlap.ts";

/** More weights than this are thinned out: a figure of them is a black disc, and its layout takes minutes. */
export const MOST_WEIGHTS = 15_000;
/** Of circuits: more than this cover all else. */
const MOST_IN_CIRCUITS = 3000;
/** More than this are not even counted: seconds, and a gigabyte. */
const MOST_COUNTED = 8_000_000;

export interface NetworkNode {
  readonly id: string;
  readonly layer: number;
  readonly site: Site;
  readonly channel: number;
  /** Circuits that it is in. */
  readonly circuits: readonly number[];
}

interface NetworkEdge {
  /** Indices of shown nodes. */
  readonly source: number;
  readonly target: number;
  readonly weight: number;
  /** Share of the weights into the same site that are no heavier, 0 to 1. */
  readonly rank: number;
  readonly circuits: readonly number[];
}

export interface Network {
  readonly config: ModelConfig;
  /** Names of the circuits, by index. */
  readonly names: readonly string[];
  readonly nodes: Overlap;
  readonly edges: Overlap;
  /** What is drawn: everything, or the heaviest weights and their nodes where there are too many. */
  readonly shown: { readonly nodes: readonly NetworkNode[]; readonly edges: readonly NetworkEdge[] };
}

/** @throws input error `overview-size` for too large a model, `circuit-edge` for a circuit of other weights. */
export function networkOf(
  config: ModelConfig,
  params: Params,
  circuits: readonly { readonly name: string; readonly circuit: Circuit }[],
): Network {
  refuseHuge(params);
  const wiring = new Wiring(config, params);
  const { sources, targets, weights } = wiring;
  const specs = siteSpecs(config);
  const siteOf = Int32Array.from(specs.flatMap(({ width }, s) => new Array<number>(width).fill(s)));
  const indexOf = nodeIndexOf(config);
  const nodeSets = circuits.map(({ circuit }) => new Set(circuit.nodes.map(({ id }) => indexOf(id)!)));
  const edgeSets = edgeSetsOf(circuits, wiring, indexOf);

  const present = new Set(nodeSets.flatMap((set) => [...set]));
  const edgeSites = targets.map((target) => siteOf[target]!);
  const siteSizes = specs.map(() => 0);
  const edgeSizes = specs.map(() => 0);
  for (const [e, site] of edgeSites.entries()) {
    present.add(sources[e]!).add(targets[e]!);
    edgeSizes[site]!++;
  }
  for (const node of present) siteSizes[siteOf[node]!]!++;

  const rank = ranks(weights, edgeSites, edgeSizes);
  const chosen = chooseEdges(rank, edgeSets);
  const drawn = new Set<number>(nodeSets.flatMap((set) => [...set]));
  for (const e of chosen) drawn.add(sources[e]!).add(targets[e]!);
  const order = [...drawn].sort((a, b) => a - b);
  const place = new Map(order.map((node, i) => [node, i]));
  const memberships = (sets: readonly ReadonlySet<number>[], element: number): number[] =>
    sets.flatMap((set, i) => (set.has(element) ? [i] : []));
  return {
    config,
    names: circuits.map(({ name }) => name),
    nodes: overlapOf(nodeSets, { sizes: siteSizes, of: (node) => siteOf[node]! }),
    edges: overlapOf(edgeSets, { sizes: edgeSizes, of: (edge) => edgeSites[edge]! }),
    shown: {
      nodes: order.map((node) => {
        const { layer, site, offset } = specs[siteOf[node]!]!;
        const ref = { layer, site, channel: node - offset };
        return { id: nodeId(ref), ...ref, circuits: memberships(nodeSets, node) };
      }),
      edges: chosen.map((e) => ({
        source: place.get(sources[e]!)!,
        target: place.get(targets[e]!)!,
        weight: weights[e]!,
        rank: rank[e]!,
        circuits: memberships(edgeSets, e),
      })),
    },
  };
}

function refuseHuge(params: Params): void {
  let nonzero = 0;
  for (const [name, values] of params) {
    if (!/\.(c_attn|c_proj|c_fc)\.weight$/.test(name)) continue;
    for (let i = 0; i < values.length; i++) if (values[i] !== 0) nonzero++;
  }
  if (nonzero <= MOST_COUNTED) return;
  throw inputError(
    "overview-size",
    `the model's blocks have ${nonzero} nonzero weights; an overview is of at most ${MOST_COUNTED}`,
    "Draw single circuits with `circuit export`.",
  );
}

/** Indices in the wiring of each circuit's edges. */
function edgeSetsOf(
  circuits: readonly { readonly name: string; readonly circuit: Circuit }[],
  { nodes, sources, targets }: Wiring,
  indexOf: (id: string) => number | undefined,
): Set<number>[] {
  const key = (source: number, target: number): number => source * nodes + target;
  const wanted = new Map<number, number>();
  for (const { circuit } of circuits) {
    for (const { source, target } of circuit.edges) wanted.set(key(indexOf(source)!, indexOf(target)!), -1);
  }
  for (let e = 0; e < sources.length; e++) {
    const ends = key(sources[e]!, targets[e]!);
    if (wanted.has(ends)) wanted.set(ends, e);
  }
  return circuits.map(({ name, circuit }) => {
    const edges = circuit.edges.map(({ source, target }) => wanted.get(key(indexOf(source)!, indexOf(target)!))!);
    const strange = circuit.edges[edges.indexOf(-1)];
    if (strange === undefined) return new Set(edges);
    throw inputError(
      "circuit-edge",
      `the circuit of ${name} has an edge that the model lacks: ${strange.source} to ${strange.target}`,
      "Extract the circuit again from this model.",
    );
  });
}

/** Share of the weights of the same group that are no heavier, for each weight. */
function ranks(weights: Float32Array, groups: Int32Array, sizes: readonly number[]): Float64Array {
  const sorted = sizes.map((size) => new Float32Array(size));
  const filled = sizes.map(() => 0);
  for (const [e, group] of groups.entries()) sorted[group]![filled[group]!++] = Math.abs(weights[e]!);
  for (const group of sorted) group.sort();
  return Float64Array.from(weights, (weight, e) => {
    const group = sorted[groups[e]!]!;
    let [low, high] = [0, group.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (group[middle]! <= Math.abs(weight)) low = middle + 1;
      else high = middle;
    }
    return low / group.length;
  });
}

/** Indices of the edges to be drawn, ascending: all, or the heaviest of circuits and of others. */
function chooseEdges(rank: Float64Array, circuits: readonly ReadonlySet<number>[]): number[] {
  const heaviest = (edges: readonly number[], most: number): number[] =>
    edges.length <= most ? [...edges] : [...edges].sort((a, b) => rank[b]! - rank[a]! || a - b).slice(0, most);
  const used = new Set(circuits.flatMap((set) => [...set]));
  const kept = heaviest([...used], MOST_IN_CIRCUITS);
  // A bound that leaves enough, so that not millions are sorted.
  const bound = 1 - (2 * MOST_WEIGHTS + used.size) / rank.length;
  const others: number[] = [];
  for (const [e, r] of rank.entries()) if (r > bound && !used.has(e)) others.push(e);
  return [...kept, ...heaviest(others, MOST_WEIGHTS - kept.length)].sort((a, b) => a - b);
}
