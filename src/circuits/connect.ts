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
import { LM_HEAD, WPE, WTE } from "../model/names.ts";
import { nodeId, type Site } from "../model/sites.ts";
import { forEachEdge, matrixOf, type Params } from "./edges.ts";
import { type KeptNodes, type KeptSites, keptMask, keptSites } from "./kept.ts";
import type { CircuitLink } from "./schema.ts";

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
export function connectedNodes(config: ModelConfig, params: Params, kept: KeptNodes): Connected {
  const alive = keptMask(config, kept);
  const dropped: number[] = [];
  const wiring = wire(config, params, keptSites(config, alive));
  for (;;) {
    const onPath = pathMask(alive, wiring);
    const before = dropped.length;
    for (const { flat } of wiring.nodes) {
      if (alive[flat] === 0 || onPath[flat] === 1) continue;
      alive[flat] = 0;
      dropped.push(flat);
    }
    if (dropped.length === before) break;
  }
  return { kept: alive, dropped: dropped.sort((a, b) => a - b) };
}

interface Wired {
  readonly flat: number;
  readonly isInput: boolean;
  readonly isOutput: boolean;
  /** Flat indices of nodes whose input this node gets, and of nodes whose reach to the output it shares. */
  readonly from: number[];
  readonly to: number[];
}

interface Wiring {
  /** In flat order, which is an order of computation: everything in `from` comes earlier, in `to` later. */
  readonly nodes: readonly Wired[];
}

/** One pass forward, one backward. */
function pathMask(alive: Uint8Array, { nodes }: Wiring): Uint8Array {
  const fed = new Uint8Array(alive.length);
  for (const { flat, isInput, from } of nodes) {
    if (alive[flat] === 1 && (isInput || from.some((i) => fed[i] === 1))) fed[flat] = 1;
  }
  const reaches = new Uint8Array(alive.length);
  for (let i = nodes.length - 1; i >= 0; i--) {
    const { flat, isOutput, to } = nodes[i]!;
    if (fed[flat] === 1 && (isOutput || to.some((j) => reaches[j] === 1))) reaches[flat] = 1;
  }
  return reaches;
}

function wire(config: ModelConfig, params: Params, kept: KeptSites): Wiring {
  const readable = embeddedChannels(config, params);
  const visible = nonzeroColumns(unembedding(config, params), config.width);
  const isRead = (site: Site): boolean => site === "attn.act_in" || site === "mlp.act_in";
  const isWrite = (site: Site): boolean => site === "attn.resid_delta" || site === "mlp.resid_delta";
  const byFlat = new Map<number, Wired>();
  for (const { layer, site, channel } of kept.nodes) {
    const flat = kept.flat(layer, site, channel);
    byFlat.set(flat, {
      flat,
      isInput: isRead(site) && (channel >= config.width || readable[channel] === 1),
      isOutput: isWrite(site) && visible[channel] === 1,
      from: [],
      to: [],
    });
  }
  const join = (source: number, target: number): void => {
    byFlat.get(source)!.to.push(target);
    byFlat.get(target)!.from.push(source);
  };
  forEachEdge(config, params, kept, (e) => {
    join(kept.flat(e.layer, e.sourceSite, e.sourceChannel), kept.flat(e.layer, e.targetSite, e.targetChannel));
  });
  forEachResidual(config, kept, (write, read) => join(write, read));
  forEachHead(config, kept, (layer, q, k, v) => {
    const values = v.map((c) => kept.flat(layer, "attn.v", c));
    const pattern = [...q.map((c) => kept.flat(layer, "attn.q", c)), ...k.map((c) => kept.flat(layer, "attn.k", c))];
    for (const source of pattern) {
      for (const target of values) {
        byFlat.get(source)!.to.push(target);
        if (config.sink) byFlat.get(target)!.from.push(source);
      }
    }
  });
  return { nodes: [...byFlat.values()] };
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

/** (V, D) embedding. */
export function embedding(config: ModelConfig, params: Params): Float32Array {
  return matrixOf(params, WTE, config.vocabSize, config.width);
}

/** (V, D) unembedding; the embedding if the model is tied. */
export function unembedding(config: ModelConfig, params: Params): Float32Array {
  if (config.tiedUnembed) return embedding(config, params);
  return matrixOf(params, LM_HEAD, config.vocabSize, config.width);
}

/** Residual channels that tokens, or positions added to them, write to. */
function embeddedChannels(config: ModelConfig, params: Params): Uint8Array {
  const channels = nonzeroColumns(embedding(config, params), config.width);
  const positions = config.positions === "added" ? params.get(WPE) : undefined;
  if (positions !== undefined) {
    for (const [c, nonzero] of nonzeroColumns(positions, config.width).entries()) channels[c]! |= nonzero;
  }
  return channels;
}

function nonzeroColumns(matrix: Float32Array, columns: number): Uint8Array {
  const nonzero = new Uint8Array(columns);
  for (let i = 0; i < matrix.length; i++) if (matrix[i] !== 0) nonzero[i % columns] = 1;
  return nonzero;
}
