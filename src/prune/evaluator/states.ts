/**
 * What the evaluator has computed, so that it is computed once for each choice of kept nodes before it.
 *
 * Nodes in flat order are in order of computation, so what is computed up to a place depends on the nodes kept up to
 * there alone. The states form a tree: a residual stream leads to reads (by the kept reads), reads to neurons or head
 * outputs (by the kept ones), these to the next stream (by the kept writes). A search that removes one node after
 * another from a circuit walks down known branches to the node and computes only what is behind it.
 */
import type { Site } from "../../model/sites.ts";
import type { Column, Columns, SiteColumns } from "./columns.ts";

/** Channels kept of each site of a layer, ascending. */
export type KeptLayer = Readonly<Record<Site, readonly number[]>>;

/** The residual stream before a sublayer. */
export interface Stream {
  /** 2 * layer before attention, 2 * layer + 1 before the MLP, 2 * layers at the end. */
  readonly at: number;
  /** Deviation from the all-ablated stream, by channel. */
  readonly columns: Columns;
  norms: Norms | undefined;
  /** What the sublayer reads, minus ablation values. */
  reads: SiteColumns | undefined;
  readonly next: Map<string, Read>;
  /** The stream after a sublayer that writes nothing. */
  unchanged: Stream | undefined;
}

export interface Norms {
  readonly mean: Column;
  readonly inverse: Column;
}

/** A sublayer with its reads chosen. */
export interface Read {
  /** Queries, keys and values, or neurons; values and neurons minus ablation values. */
  readonly sites: readonly SiteColumns[];
  readonly heads: Map<string, Head>;
  readonly next: Map<string, Middle>;
}

export interface Head {
  readonly outputs: Columns;
  /** Sum of the attention; only with sinks. */
  readonly total: Column | undefined;
}

/** A sublayer with its neurons or attention channels chosen. */
export interface Middle {
  /** What it writes, minus ablation values. */
  readonly writes: SiteColumns;
  readonly next: Map<string, Stream>;
}

export function streamOf(at: number, columns: Columns): Stream {
  return { at, columns, norms: undefined, reads: undefined, next: new Map(), unchanged: undefined };
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
