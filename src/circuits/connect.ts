/**
 * Which kept nodes lie on a path from the input to the output within the circuit, and the links between nodes that are
 * not weights.
 *
 * A kept node is on a path if it gets input and reaches the output, where, within the kept nodes:
 *
 * Input. A residual read `act_in[c]` gets input if the embedding (or an added positional table) has a nonzero entry in
 * channel c, if an earlier kept write `resid_delta[c]` gets input, or if c is a position channel. Any other node gets
 * input if an edge comes from a node that does. Biases and the constant means of ablated nodes are not input. A value
 * channel also gets input through its head's attention pattern (a kept q or k of the head that gets input), but only
 * in a model with sinks: without one the pattern sums to 1, so that a constant value passes through as a constant.
 *
 * Output. A write `resid_delta[c]` reaches the output if the unembedding has a nonzero entry in channel c, or if a
 * later kept read `act_in[c]` reaches it. A q or k channel reaches it if a v channel of the same head is kept and
 * reaches it. Any other node reaches it if an edge leads to a node that does.
 *
 * Norms, AbsTopK and the bigram table make no paths: they join everything with everything. Dropping repeats until
 * nothing changes, since a head that loses its last value channel takes its queries and keys along.
 *
 * Dropping is not free of effect: a node without input is constant, but not always equal to the mean it is replaced
 * with, so a task loss must be measured again on what is left.
 */
import { attentionWidth, type ModelConfig } from "../model/config.ts";
import { nodeId, type Site } from "../model/sites.ts";
import type { Params } from "./edges.ts";
import { type KeptNodes, type KeptSites, keptMask, keptSites } from "./kept.ts";
import type { CircuitLink } from "./schema.ts";
import { Wiring } from "./wiring.ts";

const SUBLAYERS = ["attn", "mlp"] as const;

export interface Connected {
  /** One byte for each node of the model, 1 = kept and on a path. */
  readonly kept: Uint8Array;
  /** Flat indices of nodes that were kept but are on no path, ascending. */
  readonly dropped: number[];
}

/**
 * Drops kept nodes that are on no path from input to output, as defined above. Idempotent.
 * @param params the four matrices of each block, `transformer.wte.weight` (V, D), and `lm_head.weight` (V, D) unless
 *   tied; `transformer.wpe.weight` (T, D) counts if positions are added
 */
export function connectedNodes(config: ModelConfig, params: Params, keptNodes: KeptNodes): Connected {
  const before = keptMask(config, keptNodes);
  const kept = new Wiring(config, params).connected(before);
  const dropped: number[] = [];
  for (let n = 0; n < before.length; n++) if (before[n] && !kept[n]) dropped.push(n);
  return { kept, dropped };
}

/**
 * Links of a circuit: each residual read with the earlier kept writes of its channel; q with k of one head and channel;
 * q and k channels with the v channels of their head.
 */
export function circuitLinks(config: ModelConfig, keptNodes: KeptNodes): CircuitLink[] {
  const kept = keptSites(config, keptNodes);
  const links: CircuitLink[] = [];
  const ids = new Map<number, string>();
  for (const node of kept.nodes) ids.set(kept.flat(node.layer, node.site, node.channel), nodeId(node));
  forEachResidual(config, kept, (write, read) => {
    links.push({ kind: "residual", source: ids.get(write)!, target: ids.get(read)! });
  });
  forEachHead(config, kept, (layer, q, k, v) => {
    const id = (site: Site, channel: number): string => nodeId({ layer, site, channel });
    const keys = new Set(k);
    for (const c of q) {
      if (keys.has(c)) links.push({ kind: "query-key", source: id("attn.q", c), target: id("attn.k", c) });
    }
    for (const value of v) {
      for (const c of q) links.push({ kind: "value", source: id("attn.q", c), target: id("attn.v", value) });
      for (const c of k) links.push({ kind: "value", source: id("attn.k", c), target: id("attn.v", value) });
    }
  });
  return links;
}

/** Calls `visit(write, read)` with flat indices: each kept read of a residual channel with each earlier kept write. */
function forEachResidual(config: ModelConfig, kept: KeptSites, visit: (write: number, read: number) => void): void {
  const writes = new Map<number, number[]>();
  for (let layer = 0; layer < config.layers; layer++) {
    for (const part of SUBLAYERS) {
      for (const c of kept.channels(layer, `${part}.act_in`)) {
        for (const write of writes.get(c) ?? []) visit(write, kept.flat(layer, `${part}.act_in`, c));
      }
      for (const c of kept.channels(layer, `${part}.resid_delta`)) {
        const list = writes.get(c) ?? [];
        list.push(kept.flat(layer, `${part}.resid_delta`, c));
        writes.set(c, list);
      }
    }
  }
}

/** Calls `visit` with the kept channels of each head. */
function forEachHead(
  config: ModelConfig,
  kept: KeptSites,
  visit: (layer: number, q: number[], k: number[], v: number[]) => void,
): void {
  for (let layer = 0; layer < config.layers; layer++) {
    for (let start = 0; start < attentionWidth(config); start += config.headWidth) {
      const inHead = (site: Site): number[] =>
        kept.channels(layer, site).filter((c) => c >= start && c < start + config.headWidth);
      visit(layer, inHead("attn.q"), inHead("attn.k"), inHead("attn.v"));
    }
  }
}
