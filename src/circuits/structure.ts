/**
 * From a mask to the structural part of a circuit file: drops nodes without a path, then collects nodes, edges, links,
 * the relevant entries of embedding and unembedding, and all counts. Activations, importances and losses are measured
 * by others and added by the caller.
 */
import type { ModelConfig } from "../model/config.ts";
import { nodeId } from "../model/sites.ts";
import { circuitLinks, connectedNodes } from "./connect.ts";
import { circuitEdges, embedding, type Params, unembedding } from "./edges.ts";
import { type KeptNodes, keptMask, keptSites } from "./kept.ts";
import type { Circuit, CircuitNode, EmbeddingEntry, UnembeddingEntry } from "./schema.ts";
import { Wiring } from "./wiring.ts";

export interface StructureOptions {
  readonly tokenText: (token: number) => string;
  /** Tokens whose embedding entries are all kept, e.g. those in which the task's prompts differ. */
  readonly promptTokens?: ReadonlySet<number>;
  /** The task's candidate answers: all their unembedding entries are kept. */
  readonly answerTokens: ReadonlySet<number>;
  /** How many further entries of each channel are kept, by magnitude. Default 3. */
  readonly strongest?: number;
  /** Indices of edges that are not the circuit's, in the order of all the model's (`Wiring`). Default none. */
  readonly removed?: ReadonlySet<number>;
  /** Keep nodes without a path (for comparing with other tools' counts). Default false. */
  readonly keepDisconnected?: boolean;
}

export type CircuitStructure = Pick<
  Circuit,
  "edges" | "removedEdges" | "links" | "embedding" | "unembedding" | "counts"
> & {
  /** One byte for each node of the model, after dropping. */
  readonly kept: Uint8Array;
  /** Flat indices of dropped nodes, ascending. */
  readonly dropped: number[];
  /** In flat order. */
  readonly nodes: Pick<CircuitNode, "id" | "site" | "layer" | "channel" | "head">[];
};

/** The structure of the circuit of `keptNodes`; see `connectedNodes` for what is dropped and which parameters it reads. */
export function circuitStructure(
  config: ModelConfig,
  params: Params,
  keptNodes: KeptNodes,
  options: StructureOptions,
): CircuitStructure {
  const before = keptMask(config, keptNodes);
  const { kept, dropped } = options.keepDisconnected
    ? { kept: before, dropped: [] }
    : connectedNodes(config, params, before);
  const { edges, removedEdges, perMatrix } = withoutRemoved(config, params, kept, options.removed ?? new Set());
  const sites = keptSites(config, kept);
  const nodes = sites.nodes.map(({ layer, site, channel }) => {
    const head = site === "attn.q" || site === "attn.k" || site === "attn.v";
    return {
      id: nodeId({ layer, site, channel }),
      site,
      layer,
      channel,
      ...(head ? { head: Math.floor(channel / config.headWidth) } : {}),
    };
  });
  const channelsOf = (end: string): number[] => {
    const channels = sites.nodes.filter((n) => n.site.endsWith(end) && n.channel < config.width).map((n) => n.channel);
    return [...new Set(channels)].sort((a, b) => a - b);
  };
  const strongest = options.strongest ?? 3;
  const read = pickEntries(
    embedding(config, params),
    config,
    channelsOf("act_in"),
    options.promptTokens ?? new Set(),
    strongest,
  );
  const written = pickEntries(
    unembedding(config, params),
    config,
    channelsOf("resid_delta"),
    options.answerTokens,
    strongest,
  );
  const named = (e: Entry): EmbeddingEntry => ({
    token: e.token,
    tokenText: options.tokenText(e.token),
    channel: e.channel,
    weight: e.weight,
  });
  return {
    kept,
    dropped,
    nodes,
    edges,
    removedEdges,
    links: circuitLinks(config, kept),
    embedding: read.entries.map(named),
    unembedding: written.entries.map(
      (e): UnembeddingEntry => ({ ...named(e), answer: options.answerTokens.has(e.token) }),
    ),
    counts: {
      nodes: nodes.length,
      edges: edges.length,
      edgesPerMatrix: perMatrix,
      nodesBeforeDropping: nodes.length + dropped.length,
      edgesBeforeDropping: dropped.length === 0 ? edges.length : circuitEdges(config, params, before).edges.length,
      embeddingEntries: read.total,
      unembeddingEntries: written.total,
    },
  };
}

/** The circuit's edges, those of them that are removed, and the numbers of the rest by matrix. */
function withoutRemoved(config: ModelConfig, params: Params, kept: Uint8Array, removed: ReadonlySet<number>) {
  const { edges, perMatrix } = circuitEdges(config, params, kept);
  if (removed.size === 0) return { edges, removedEdges: [], perMatrix };
  // Both go through the edges in the same order.
  const indices = new Wiring(config, params).edgesOf(kept);
  const gone = edges.filter((_, i) => removed.has(indices[i]!));
  for (const { matrix } of gone) perMatrix[matrix]!--;
  return { edges: edges.filter((_, i) => !removed.has(indices[i]!)), removedEdges: gone, perMatrix };
}

interface Entry {
  readonly channel: number;
  readonly token: number;
  readonly weight: number;
}

/**
 * Nonzero entries of a (V, D) matrix in the given channels: how many there are, and those of the wanted tokens
 * followed by the `strongest` others, channel by channel, by magnitude.
 */
function pickEntries(
  matrix: Float32Array,
  config: ModelConfig,
  channels: readonly number[],
  wanted: ReadonlySet<number>,
  strongest: number,
): { total: number; entries: Entry[] } {
  let total = 0;
  const entries: Entry[] = [];
  for (const channel of channels) {
    const column: Entry[] = [];
    for (let token = 0; token < config.vocabSize; token++) {
      const weight = matrix[token * config.width + channel]!;
      if (weight !== 0) column.push({ channel, token, weight });
    }
    total += column.length;
    // Equal magnitudes: lowest token first, since sort is stable.
    column.sort((a, b) => Math.abs(b.weight) - Math.abs(a.weight));
    const others = column.filter((e) => !wanted.has(e.token)).slice(0, strongest);
    entries.push(...column.filter((e) => wanted.has(e.token)), ...others);
  }
  return { total, entries };
}
