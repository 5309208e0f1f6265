/** A search on a model's own wiring: how many edges a circuit has, and which of its nodes have a path. */

import type { Wiring } from "../circuits/wiring.ts";
import type { Model } from "../model/model.ts";
import { type Site, siteSpecs } from "../model/sites.ts";
import type { Ablation } from "../prune/ablation.ts";
import type { RemovedEdges } from "../prune/evaluator.ts";
import { Extractor, type Pairs } from "../prune/extract.ts";
import type { FaithfulOptions } from "../prune/faithful.ts";
import { countKept } from "../prune/kept.ts";
import { joined, standing } from "../prune/stays.ts";

export interface SearchSpace {
  /** Sites whose nodes are pruned. */
  readonly sites: readonly Site[];
  /** What makes a circuit faithful; undefined when the task alone is asked for. */
  readonly faithful?: FaithfulOptions | undefined;
}

export function extractorOf(
  model: Model,
  ablation: Ablation,
  pairs: Pairs,
  wiring: Wiring,
  { sites, faithful }: SearchSpace,
): Extractor {
  const stays = standing(siteSpecs(model.config), sites);
  const measures = {
    size: (kept: Uint8Array) => ({ nodes: countKept(kept), edges: wiring.countEdges(kept) }),
    connected: (kept: Uint8Array, removed?: RemovedEdges) => wiring.connected(joined(kept, stays), removed),
    edgesOf: wiring.edgesOf.bind(wiring),
    edges: wiring,
    stays,
  };
  return new Extractor(model, ablation, pairs, measures, faithful);
}
