/**
 * Removing edges from a circuit whose nodes are decided: a removed edge carries only what its source would send if it were
 * ablated. (Setting its weight to zero instead would also change the bias that the ablation values add up to.)
 */
import { holdsWithin, type Size } from "./candidate.ts";
import type { Evaluator, RemovedEdges } from "./evaluator.ts";
import { countKept } from "./kept.ts";

export interface EdgeProblem {
  readonly target: number;
  readonly search: Evaluator;
  readonly verify: Evaluator;
  /** Indices of the edges between kept nodes. */
  readonly edgesOf: (kept: Uint8Array, removed: RemovedEdges) => number[];
  /** The nodes that still have a path. */
  readonly connected: (kept: Uint8Array, removed: RemovedEdges) => Uint8Array;
  readonly halted: () => Promise<boolean>;
}

export interface FewerEdges extends Size {
  readonly kept: Uint8Array;
  readonly removed: RemovedEdges;
}

/** Removes edges, and the nodes they leave without a path, until no single edge can go without missing the target. */
export async function removeEdges(start: Uint8Array, problem: EdgeProblem): Promise<FewerEdges> {
  const { target, search, verify, edgesOf, connected, halted } = problem;
  let kept = start;
  let removed: RemovedEdges = new Set();
  const holds = (nodes: Uint8Array, edges: RemovedEdges): boolean => {
    return search.score(nodes, edges).loss <= target && holdsWithin(verify.score(nodes, edges), target);
  };
  for (let gone = true; gone && !(await halted()); ) {
    gone = false;
    const losses = edgesOf(kept, removed).map((edge) => {
      const without = new Set(removed).add(edge);
      return { edge, loss: search.score(connected(kept, without), without).loss };
    });
    for (const { edge, loss } of losses.sort((a, b) => a.loss - b.loss || a.edge - b.edge)) {
      if (loss > target) break;
      const trial = new Set(removed).add(edge);
      const rest = connected(kept, trial);
      if (!holds(rest, trial)) continue;
      [kept, removed, gone] = [rest, trial, true];
    }
  }
  // Edges of nodes that have gone need no mention.
  const edges = new Set(edgesOf(kept, new Set()));
  const mentioned = new Set([...removed].filter((edge) => edges.has(edge)));
  return { kept, removed: mentioned, nodes: countKept(kept), edges: edges.size - mentioned.size };
}
