import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { circuitEdges } from "../../src/circuits/edges.ts";
import { keptMask, keptSites } from "../../src/circuits/kept.ts";
import { nodeId } from "../../src/model/sites.ts";
import { keptOf, plantedConfig, plantedKept, plantedMasks, plantedParams, randomKept, randomModel } from "./support.ts";

describe("edges of the planted model, against counts of an independent PyTorch reference", () => {
  for (const [name, expected] of Object.entries(plantedMasks)) {
    it(name, () => {
      const kept = plantedKept(name);
      const { edges, perMatrix } = circuitEdges(plantedConfig, plantedParams, kept);
      expect(kept.size).toBe(expected.nodes);
      expect(edges.length).toBe(expected.edges);
      if (expected.edgesPerMatrix !== null) expect(perMatrix).toEqual(expected.edgesPerMatrix);
    });
  }

  it("has the planted weights", () => {
    const { edges } = circuitEdges(plantedConfig, plantedParams, plantedKept("planted"));
    const weight = (source: string, target: string): number | undefined =>
      edges.find((e) => e.source === source && e.target === target)?.weight;
    expect(weight("0.mlp.act_in:9", "0.mlp.post_act:15")).toBeCloseTo(-0.7, 6);
    expect(weight("1.attn.act_in:12", "1.attn.k:5")).toBeCloseTo(3, 6);
    expect(weight("1.attn.v:5", "1.attn.resid_delta:8")).toBeCloseTo(3, 6);
  });
});

it("one neuron that reads one channel and writes one channel is 3 nodes and 2 edges", () => {
  const kept = keptOf(plantedConfig, ["0.mlp.act_in:0", "0.mlp.post_act:11", "0.mlp.resid_delta:12"]);
  expect(circuitEdges(plantedConfig, plantedParams, kept).edges).toHaveLength(2);
});

it("an empty mask has no edges, and still names every matrix", () => {
  const { edges, perMatrix } = circuitEdges(plantedConfig, plantedParams, new Set());
  expect(edges).toEqual([]);
  expect(Object.keys(perMatrix)).toHaveLength(4 * plantedConfig.layers);
});

it("takes a mask or a set, and refuses a mask of the wrong length", () => {
  const kept = plantedKept("random-0");
  const fromSet = circuitEdges(plantedConfig, plantedParams, kept);
  const fromMask = circuitEdges(plantedConfig, plantedParams, keptMask(plantedConfig, kept));
  expect(fromMask).toEqual(fromSet);
  expect(() => circuitEdges(plantedConfig, plantedParams, new Uint8Array(3))).toThrow(/expected a mask of 224 nodes/);
});

it("law: edges join kept nodes only, and splitting the mask loses exactly the edges across", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 1e6 }), fc.integer({ min: 0, max: 300 }), (seed, count) => {
      const { config, params } = randomModel(seed % 5, { positionChannels: 3, positions: "learned-channels" });
      const kept = randomKept(config, seed, count);
      const ids = new Set<string>(keptSites(config, kept).nodes.map(nodeId));
      const { edges, perMatrix } = circuitEdges(config, params, kept);
      expect(edges.every((e) => ids.has(e.source) && ids.has(e.target) && e.weight !== 0)).toBe(true);
      expect(Object.values(perMatrix).reduce((a, b) => a + b, 0)).toBe(edges.length);
      const all = circuitEdges(
        config,
        params,
        new Set(Array.from({ length: keptMask(config, kept).length }, (_, i) => i)),
      );
      expect(all.edges.filter((e) => ids.has(e.source) && ids.has(e.target))).toEqual(edges);
    }),
    { numRuns: 30 },
  );
});
