/**
 * What the evaluator has computed, so that it is computed once for each choice of kept nodes that it depends on.
 *
 * The states form a tree of residual streams: from one stream to the next by what the kept writes of a sublayer add to
 * it. Beside a stream are kept the columns that were computed from it, by the columns that each of them reads: a neuron
 * by its kept inputs, a head by its kept queries, keys and values. A search that removes one node after another from a
 * circuit computes only what reads that node.
 */
import type { Site } from "../../model/sites.ts";
import type { Column, Columns } from "./columns.ts";

/** Channels kept of each site of a layer, ascending. */
export type KeptLayer = Readonly<Record<Site, readonly number[]>>;

/** The residual stream before a sublayer. */
export interface Stream {
  /** 2 * layer before attention, 2 * layer + 1 before the MLP, 2 * layers at the end. */
  readonly at: number;
  /** Deviation from the all-ablated stream, by channel. */
  readonly columns: Columns;
  norms: Norms | undefined;
  /** Columns of the sublayer's sites, by site, channel and what they are computed from. */
  readonly columnsOf: Map<string, Column>;
  /** Whole sites where AbsTopK makes each channel depend on all. */
  readonly sites: Map<string, readonly Column[]>;
  readonly heads: Map<string, Head>;
  /** By the kept writes. */
  readonly next: Map<string, Stream>;
}

export interface Norms {
  readonly mean: Column;
  readonly inverse: Column;
}

export interface Head {
  readonly outputs: Columns;
  /** Sum of the attention; only with sinks. */
  readonly total: Column | undefined;
}

export function streamOf(at: number, columns: Columns): Stream {
  return {
    at,
    columns,
    norms: undefined,
    columnsOf: new Map(),
    sites: new Map(),
    heads: new Map(),
    next: new Map(),
  };
}

/** The child of a key, made if there is none. */
export function child<T>(children: Map<string, T>, key: string, make: () => T): T {
  let known = children.get(key);
  if (known === undefined) {
    known = make();
    children.set(key, known);
  }
  return known;
}
