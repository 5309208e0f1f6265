/** A search on a model's own wiring: how many edges a circuit has, and which of its nodes have a path. */
import type { Wiring } from "../circuits/wiring.ts";
import type { Model } from "../model/model.ts";
import type { Ablation } from "../prune/ablation.ts";
import { Extractor, type Pairs } from "../prune/extract.ts";
import type { FaithfulOptions } from "../prune/faithful.ts";
import { countKept } from "../prune/kept.ts";

export function extractorOf(
  model: Model,
  ablation: Ablation,
  pairs: Pairs,
  wiring: Wiring,
  faithful?: FaithfulOptions,
): Extractor {
  const measures = {
    size: (kept: Uint8Array) => ({ nodes: countKept(kept), edges: wiring.countEdges(kept) }),
    connected: wiring.connected.bind(wiring),
    edgesOf: wiring.edgesOf.bind(wiring),
    edges: wiring,
  };
  return new Extractor(model, ablation, pairs, measures, faithful);
}
