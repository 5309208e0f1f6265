/** A model with a planted circuit: from every seed the search ends inside it, and no larger than it needs to be. */
import { describe, expect, it } from "vitest";
import { connectedNodes } from "../../src/circuits/connect.ts";
import { circuitEdges } from "../../src/circuits/edges.ts";
import { ReferenceEngine } from "../../src/engine/reference.ts";
import { Model } from "../../src/model/model.ts";
import { attributionOrders } from "../../src/prune/attribution.ts";
import { CircuitEvaluator } from "../../src/prune/evaluator.ts";
import { MaskedModel } from "../../src/prune/masked-model.ts";
import { Search } from "../../src/prune/search.ts";
import { pruningFixture } from "./pruning-fixture.ts";

const { stored, batch, fill, planted } = pruningFixture();
const nodes = fill.length;

const evaluator = new CircuitEvaluator(stored.config, stored.params, fill, batch);
const orders = await attributionOrders(
  new MaskedModel(new Model(new ReferenceEngine(), stored), fill),
  batch,
  [1, 5, 10],
);

function maskOf(kept: readonly number[]): Uint8Array {
  const mask = new Uint8Array(nodes);
  for (const n of kept) mask[n] = 1;
  return mask;
}

describe.each([
  { target: 0.15, mostNodes: 10, mostEdges: 7 },
  { target: 0.025, mostNodes: 11, mostEdges: 9 },
])("at task loss $target", ({ target, mostNodes, mostEdges }) => {
  it.each([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])("seed %d", async (seed) => {
    const { best } = await new Search(
      {
        target,
        search: evaluator,
        verify: evaluator,
        orders,
        connected: (kept) => connectedNodes(stored.config, stored.params, kept).kept,
        size: (kept) => ({
          nodes: kept.reduce((sum, m) => sum + m, 0),
          edges: circuitEdges(stored.config, stored.params, kept).edges.length,
        }),
      },
      { seed, kicks: 20, evaluations: 8000 },
    ).run();
    const kept = best!.kept;
    expect(kept.filter((n) => !planted[n])).toEqual([]);
    expect(best!.nodes).toBeLessThanOrEqual(mostNodes);
    expect(best!.edges).toBeLessThanOrEqual(mostEdges);
    expect(evaluator.score(maskOf(kept)).loss).toBeLessThanOrEqual(target);
    for (const n of kept) {
      expect(evaluator.score(maskOf(kept.filter((m) => m !== n))).loss, `without node ${n}`).toBeGreaterThan(target);
    }
  });
});
