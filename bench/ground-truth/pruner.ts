/** This tool's search as a method of the benchmark, with the defaults of `circuit extract`. */
import { type Extraction, Extractor } from "../../src/prune/extract.ts";
import { countKept, maskOf } from "../../src/prune/kept.ts";
import { ablationOf, type Finding, type Problem } from "./problem.ts";

const DEFAULTS = { gateRuns: 1, kicks: 120, tiedQk: false, pruneEdges: false, calibrated: false, curve: false };

export async function prune(problem: Problem, options: Partial<typeof DEFAULTS> = {}): Promise<Finding | undefined> {
  const { truth, model, target, seed } = problem;
  const { wiring, pairs } = truth;
  const extractor = new Extractor(model, ablationOf(problem), pairs, {
    size: (kept) => ({ nodes: countKept(kept), edges: wiring.countEdges(kept) }),
    connected: (kept, removed) => wiring.connected(kept, removed),
    edgesOf: (kept, removed) => wiring.edgesOf(kept, removed),
    edges: wiring,
  });
  const { search } = await extractor.run({ ...DEFAULTS, ...options, target, seed });
  if (!search.best) return undefined;
  return { kept: maskOf(search.best.kept, wiring.nodes), scores: persistence(search, wiring.nodes) };
}

/**
 * How much the search holds on to a node: the share of the circuits it met that have it, and 1 more for the nodes of the
 * result. A node that left every circuit has 0.
 */
function persistence({ best, candidates }: Extraction["search"], nodes: number): Float64Array {
  const scores = new Float64Array(nodes);
  for (const { kept } of candidates) for (const n of kept) scores[n]! += 1 / candidates.length;
  for (const n of best?.kept ?? []) scores[n]! += 1;
  return scores;
}
