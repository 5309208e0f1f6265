/**
 * A circuit on one prompt: what its nodes carry at each token, where its heads look, what it answers; and the part of
 * that which reaches the answer, unrolled over tokens. Numbers are given by who computes the model; nothing is computed
 * of it here.
 */
import { nodeId } from "../model/sites.ts";
import type { Circuit, CircuitNode } from "./schema.ts";

interface TracedAnswer {
  readonly token: number;
  readonly text: string;
  /** Probability among the answers, in the circuit and in the full model. */
  readonly circuit: number;
  readonly full: number;
  /** Whether it is the right one, where that is known. */
  readonly right: boolean;
  /** (D) */
  readonly unembedding: Float32Array;
}

export interface Trace {
  /** For file names: letters, digits and hyphens. */
  readonly name: string;
  /** The prompt's; the last answers. */
  readonly tokens: readonly { readonly token: number; readonly text: string }[];
  /** What each node carries by position, by id; NaN where it is not computed since it has no part in the answer. */
  readonly values: ReadonlyMap<string, Float64Array>;
  /** What nodes carry when they are ablated: the circuit's, and the queries and keys that these are multiplied with. */
  readonly ablated: ReadonlyMap<string, number>;
  /** Of each head with a value in the circuit, by `<layer>.<head>`: from each position to itself and those before it. */
  readonly attention: ReadonlyMap<string, readonly (readonly number[])[]>;
  /** (D) by position. */
  readonly embedding: readonly Float32Array[];
  readonly answers: readonly TracedAnswer[];
}

/** What a value channel's attention brings to a token. */
export interface Gathering {
  readonly value: CircuitNode;
  /** Position of the token that attends. */
  readonly query: number;
  /** Where from, ascending, and how much attention that gets. */
  readonly sources: readonly { readonly position: number; readonly attention: number }[];
  /** Attention to the tokens that are left out. */
  readonly rest: number;
}

export interface Unrolled {
  /** Tokens that have a part in the answer, ascending; the last token is one. */
  readonly positions: readonly number[];
  /** Nodes that reach the answer from there, in flat order. */
  readonly nodes: ReadonlyMap<number, readonly CircuitNode[]>;
  readonly gatherings: readonly Gathering[];
}

export interface UnrollOptions {
  /** A token is left out of what a value gathers if it brings less than this share of what the strongest brings. */
  readonly share: number;
  /** Most tokens: the last, and those that bring most to it. */
  readonly most: number;
  /** Of the nodes that go to the same one, those are left out that bring less than this share of the strongest. */
  readonly weak: number;
}

/** Everything. */
export const WHOLE: UnrollOptions = { share: 0, most: Number.POSITIVE_INFINITY, weak: 0 };
/** What a figure shows, the first of these that it has room for: fewer tokens first, then fewer nodes. */
export const READABLE: readonly UnrollOptions[] = [
  { share: 0.1, most: 12, weak: 0 },
  { share: 0.2, most: 8, weak: 0 },
  { share: 0.3, most: 5, weak: 0 },
  ...[0, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.75, 1].flatMap((weak) => [3, 2].map((most) => ({ share: 0.5, most, weak }))),
];

/** A source that gets this much attention is kept whatever it brings, where the circuit has a part in the pattern. */
const LOOKED = 0.1;

/** The heads' name in `Trace.attention`. */
export function headKey(node: CircuitNode): string {
  return `${node.layer}.${node.head}`;
}

/** How far a node is from its ablated value at a token, of the farthest that it is on the prompt: 0 to 1. */
export function activity(trace: Trace, id: string, position: number): number {
  const far = deviations(trace, id);
  const most = far.reduce((a, b) => (b > a ? b : a), 0);
  return most === 0 ? 0 : far[position]! / most;
}

function deviations({ values, ablated }: Trace, id: string): Float64Array {
  return values.get(id)!.map((x) => Math.abs(x - ablated.get(id)!));
}

/** What reaches the answer, from the last token back through residual channels, weights and attention. */
export function unroll(circuit: Circuit, trace: Trace, options: UnrollOptions): Unrolled {
  const everywhere = reachBack(circuit, trace, options, () => true);
  if (everywhere.positions.length <= options.most) return everywhere;
  const flow = attentionFlow(trace, everywhere);
  const ranked = [...flow.keys()].sort((a, b) => flow.get(b)! - flow.get(a)! || b - a);
  const chosen = new Set(ranked.slice(0, options.most));
  return reachBack(circuit, trace, options, (position) => chosen.has(position));
}

/** How much of what the answers are made of comes from each token, by shares of what is gathered. */
function attentionFlow(trace: Trace, { positions, gatherings }: Unrolled): Map<number, number> {
  const last = trace.tokens.length - 1;
  const flow = new Map(positions.map((p) => [p, p === last ? gatherings.length + 1 : 0]));
  // Later layers first: what a token gathers counts as much as the token does.
  for (const { value, query, sources } of [...gatherings].reverse()) {
    const far = deviations(trace, value.id);
    const brought = sources.map(({ position, attention }) => attention * far[position]!);
    const total = brought.reduce((sum, b) => sum + b, 0);
    const weight = query === last ? 1 : Math.min(1, flow.get(query)!);
    for (const [i, { position }] of sources.entries()) {
      if (position !== last)
        flow.set(position, flow.get(position)! + (total === 0 ? 0 : (weight * brought[i]!) / total));
    }
  }
  return flow;
}

function reachBack(
  circuit: Circuit,
  trace: Trace,
  { share, weak }: UnrollOptions,
  allowed: (position: number) => boolean,
): Unrolled {
  const last = trace.tokens.length - 1;
  const byId = new Map(circuit.nodes.map((n) => [n.id, n]));
  const into = new Map<string, Incoming[]>();
  const residual = circuit.links.filter((l) => l.kind === "residual").map((l) => ({ ...l, weight: 1 }));
  for (const { source, target, weight } of [...circuit.edges, ...residual]) {
    into.set(target, [...(into.get(target) ?? []), { node: byId.get(source)!, weight }]);
  }
  const patterns = circuit.nodes.filter(({ site }) => site === "attn.q" || site === "attn.k");

  const reached = new Map<number, Set<string>>([[last, new Set()]]);
  const reach = (position: number, { id }: CircuitNode): void => {
    reached.set(position, (reached.get(position) ?? new Set()).add(id));
  };
  for (const { item } of strong(answering(circuit, trace), weak)) reach(last, item);
  const gatherings = new Map<string, Gathering>();
  const gather = (value: CircuitNode, query: number): void => {
    const own = patterns.filter((n) => headKey(n) === headKey(value));
    // With a sink the last weight is its.
    const weights = trace.attention.get(headKey(value))![query]!.slice(0, query + 1);
    const looked = own.length > 0 ? LOOKED : Number.POSITIVE_INFINITY;
    const sources = strongest(trace, value.id, weights, { share, looked }).flatMap((position) => {
      if (!allowed(position)) return [];
      reach(position, value);
      return [{ position, attention: weights[position]! }];
    });
    const scores = own.flatMap((node) => matched(trace, node, query, sources));
    for (const { item } of strong(scores, weak)) reach(item.position, item.node);
    sources.sort((a, b) => a.position - b.position);
    const rest = weights.reduce((sum, w) => sum + w, 0) - sources.reduce((sum, s) => sum + s.attention, 0);
    gatherings.set(`${value.id}@${query}`, { value, query, sources, rest: Math.max(0, rest) });
  };
  // Flat order is an order of computation: whatever a node is made of comes before it.
  for (const node of [...circuit.nodes].reverse()) {
    for (const [position, ids] of [...reached]) {
      if (!ids.has(node.id)) continue;
      const sources = (into.get(node.id) ?? []).map(({ node: source, weight }) => {
        return { item: source, strength: Math.abs(weight) * broughtTo(trace, source, position) };
      });
      for (const { item: source } of strong(sources, weak)) {
        if (source.site !== "attn.v") reach(position, source);
        else if (!gatherings.has(`${source.id}@${position}`)) gather(source, position);
      }
    }
  }
  const positions = [...reached.keys()].sort((a, b) => a - b);
  const order = new Map(circuit.nodes.map(({ id }, i) => [id, i]));
  return {
    positions,
    nodes: new Map(positions.map((p) => [p, circuit.nodes.filter(({ id }) => reached.get(p)!.has(id))])),
    gatherings: [...gatherings.values()].sort(
      (a, b) => order.get(a.value.id)! - order.get(b.value.id)! || a.query - b.query,
    ),
  };
}

interface Incoming {
  readonly node: CircuitNode;
  readonly weight: number;
}

interface Strength<T> {
  readonly item: T;
  readonly strength: number;
}

/** Those that are not below a share of the greatest strength. */
function strong<T>(items: readonly Strength<T>[], share: number): readonly Strength<T>[] {
  const least = share * items.reduce((most, { strength }) => Math.max(most, strength), 0);
  return items.filter(({ strength }) => !(strength < least));
}

/** How far a node's contribution at a token is from the ablated one; of a value what its attention gathers. */
function broughtTo(trace: Trace, node: CircuitNode, position: number): number {
  const far = deviations(trace, node.id);
  if (node.site !== "attn.v") return far[position]!;
  const weights = trace.attention.get(headKey(node))![position]!;
  return far.reduce((sum, x, p) => (p <= position ? sum + weights[p]! * x : sum), 0);
}

/** How much a query or key takes part in the scores of tokens, wherever it stands. */
function matched(
  trace: Trace,
  node: CircuitNode,
  query: number,
  sources: Gathering["sources"],
): Strength<{ readonly node: CircuitNode; readonly position: number }>[] {
  const partner = nodeId({ ...node, site: node.site === "attn.q" ? "attn.k" : "attn.q" });
  const carried = (id: string, p: number): number => trace.values.get(id)?.[p] ?? trace.ablated.get(id)!;
  const products = sources.map(({ position }) => {
    const [own, other] = node.site === "attn.q" ? [query, position] : [position, query];
    return { item: { node, position: own }, strength: Math.abs(carried(node.id, own) * carried(partner, other)) };
  });
  if (node.site === "attn.k") return products;
  const most = products.reduce((a, b) => Math.max(a, b.strength), 0);
  return [{ item: { node, position: query }, strength: most }];
}

/** Writes that the answers are read from; those that nothing else reads change them through the norm at least. */
function answering(circuit: Circuit, trace: Trace): Strength<CircuitNode>[] {
  const { nodes, links } = circuit;
  const { answers, tokens } = trace;
  const read = new Set(links.filter((l) => l.kind === "residual").map((l) => l.source));
  return nodes
    .filter(({ site }) => site.endsWith("resid_delta"))
    .filter(({ id, channel }) => !read.has(id) || answers.some(({ unembedding }) => unembedding[channel] !== 0))
    .map((node) => {
      const entries = answers.map(({ unembedding }) => unembedding[node.channel]!);
      const apart = Math.max(...entries) - Math.min(...entries);
      return { item: node, strength: apart * broughtTo(trace, node, tokens.length - 1) };
    });
}

/**
 * Positions that bring a share of what the strongest brings, or are looked at, strongest first; by attention where none
 * brings anything.
 */
function strongest(
  trace: Trace,
  value: string,
  weights: readonly number[],
  { share, looked }: { share: number; looked: number },
): number[] {
  const far = deviations(trace, value);
  const brought = weights.map((w, p) => w * far[p]!);
  const strength = brought.some((b) => b > 0) ? brought : weights;
  const least = share * Math.max(...strength);
  const ranked = weights.map((_, p) => p).filter((p) => strength[p]! >= least || weights[p]! >= looked);
  return ranked.sort((a, b) => strength[b]! - strength[a]! || b - a);
}
