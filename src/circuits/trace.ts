/**
 * A circuit on one prompt: what its nodes carry at each token, where its heads look, what it answers; and the part of
 * that which reaches the answer, unrolled over tokens. Numbers are given by who computes the model; nothing is computed
 * of it here.
 */
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
  /** A source is left out if it brings less than this share of what the strongest brings. */
  readonly share: number;
  /** Most tokens; those met first remain, layer by layer from the answer, strongest first. */
  readonly most: number;
}

/** Everything. */
export const WHOLE: UnrollOptions = { share: 0, most: Number.POSITIVE_INFINITY };
/** What a figure shows, the first of these that it has room for. */
export const READABLE: readonly UnrollOptions[] = [
  { share: 0.1, most: 24 },
  { share: 0.1, most: 12 },
  { share: 0.2, most: 8 },
  { share: 0.3, most: 5 },
  { share: 0.5, most: 3 },
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
export function unroll(circuit: Circuit, trace: Trace, { share, most }: UnrollOptions): Unrolled {
  const last = trace.tokens.length - 1;
  const byId = new Map(circuit.nodes.map((n) => [n.id, n]));
  const into = new Map<string, string[]>();
  const add = (target: string, source: string): void => void into.set(target, [...(into.get(target) ?? []), source]);
  for (const { source, target } of circuit.edges) add(target, source);
  const residual = circuit.links.filter((l) => l.kind === "residual");
  for (const { source, target } of residual) add(target, source);
  const patterns = circuit.nodes.filter(({ site }) => site === "attn.q" || site === "attn.k");

  const reached = new Map<number, Set<string>>([[last, new Set(answering(circuit, trace))]]);
  const gatherings = new Map<string, Gathering>();
  const reach = (position: number, id: string): void => {
    const ids = reached.get(position) ?? new Set();
    reached.set(position, ids.add(id));
  };
  const gather = (value: CircuitNode, query: number): void => {
    const own = patterns.filter((n) => headKey(n) === headKey(value));
    for (const { id, site } of own) if (site === "attn.q") reach(query, id);
    // With a sink the last weight is its.
    const weights = trace.attention.get(headKey(value))![query]!.slice(0, query + 1);
    const looked = own.length > 0 ? LOOKED : Number.POSITIVE_INFINITY;
    const sources = strongest(trace, value.id, weights, { share, looked }).flatMap((position) => {
      if (!reached.has(position) && reached.size >= most) return [];
      reach(position, value.id);
      for (const { id, site } of own) if (site === "attn.k") reach(position, id);
      return [{ position, attention: weights[position]! }];
    });
    sources.sort((a, b) => a.position - b.position);
    const rest = weights.reduce((sum, w) => sum + w, 0) - sources.reduce((sum, s) => sum + s.attention, 0);
    gatherings.set(`${value.id}@${query}`, { value, query, sources, rest: Math.max(0, rest) });
  };
  // Flat order is an order of computation: whatever a node is made of comes before it.
  for (const node of [...circuit.nodes].reverse()) {
    for (const [position, ids] of [...reached]) {
      if (!ids.has(node.id)) continue;
      for (const source of into.get(node.id) ?? []) {
        const value = byId.get(source)!;
        if (value.site !== "attn.v") reach(position, source);
        else if (!gatherings.has(`${source}@${position}`)) gather(value, position);
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

/** Writes that the answers are read from; those that nothing else reads change them through the norm at least. */
function answering({ nodes, links }: Circuit, { answers }: Trace): string[] {
  const read = new Set(links.filter((l) => l.kind === "residual").map((l) => l.source));
  return nodes
    .filter(({ site }) => site.endsWith("resid_delta"))
    .filter(({ id, channel }) => !read.has(id) || answers.some(({ unembedding }) => unembedding[channel] !== 0))
    .map(({ id }) => id);
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
