/** This tool's search as a method of the benchmark. */

import { Extractor } from "../../src/prune/extract.ts";
import { maskOf } from "../../src/prune/kept.ts";
import type { SearchResult } from "../../src/prune/search-problem.ts";
import type { Finding, Problem } from "./methods.ts";

const KICKS = 60;

export async function prune({ truth, model, means, target, seed }: Problem): Promise<Finding | undefined> {
  const { wiring, pairs } = truth;
  const extractor = new Extractor(model, means, pairs, {
    size: (kept) => ({ nodes: kept.reduce((sum, k) => sum + k, 0), edges: wiring.countEdges(kept) }),
    connected: (kept) => wiring.connected(kept),
  });
  const { search } = await extractor.run({ target, seed, ranking: "attribution", kicks: KICKS, calibrated: false });
  if (!search.best) return undefined;
  return { kept: maskOf(search.best.kept, wiring.nodes), scores: persistence(search, wiring.nodes) };
}

/**
 * How much the search holds on to a node: the share of the circuits it met that have it, and 1 more for the nodes of the
 * result. A node that left every circuit has 0.
 */
function persistence({ best, candidates }: SearchResult, nodes: number): Float64Array {
  const scores = new Float64Array(nodes);
  for (const { kept } of candidates) for (const n of kept) scores[n]! += 1 / candidates.length;
  for (const n of best?.kept ?? []) scores[n]! += 1;
  return scores;
}
