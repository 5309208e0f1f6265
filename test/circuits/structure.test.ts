import { expect, it } from "vitest";
import { circuitStructure } from "../../src/circuits/structure.ts";
import { exampleCircuit, plantedConfig, plantedKept, plantedMasks, plantedParams } from "./support.ts";

const options = { tokenText: (t: number) => `t${t}`, answerTokens: new Set([1, 2]) };

it("counts before and after dropping", () => {
  const full = circuitStructure(plantedConfig, plantedParams, plantedKept("full"), options);
  expect(full.counts.nodesBeforeDropping).toBe(plantedMasks.full!.nodes);
  expect(full.counts.edgesBeforeDropping).toBe(plantedMasks.full!.edges);
  expect(full.counts.nodes).toBe(full.nodes.length);
  expect(full.counts.nodes + full.dropped.length).toBe(224);
  expect(full.counts.edges).toBeLessThan(plantedMasks.full!.edges);
  const everything = circuitStructure(plantedConfig, plantedParams, plantedKept("full"), {
    ...options,
    keepDisconnected: true,
  });
  expect(everything.counts.edges).toBe(plantedMasks.full!.edges);
  expect(everything.dropped).toEqual([]);
});

it("token entries: all answers, then the strongest; totals count every nonzero entry of the channels", () => {
  const { embedding, unembedding, counts } = circuitStructure(plantedConfig, plantedParams, plantedKept("planted"), {
    ...options,
    promptTokens: new Set([2]),
    strongest: 0,
  });
  expect(counts.embeddingEntries).toBe(2);
  expect(embedding).toEqual([{ token: 2, tokenText: "t2", channel: 9, weight: 2 }]);
  // Channels 7, 8 and 12 have 3, 2 and 1 entries.
  expect(counts.unembeddingEntries).toBe(6);
  expect(unembedding.map((e) => [e.channel, e.token, e.weight, e.answer])).toEqual([
    [8, 1, 0.5, true],
    [8, 2, -0.5, true],
  ]);
  const more = circuitStructure(plantedConfig, plantedParams, plantedKept("planted"), { ...options, strongest: 2 });
  expect(more.unembedding.filter((e) => e.channel === 7).map((e) => e.token)).toEqual([7, 11]);
  expect(more.unembedding.filter((e) => e.answer)).toHaveLength(2);
});

it("heads are given for q, k and v only", () => {
  const heads = exampleCircuit().nodes.map((n) => [n.id, n.head]);
  expect(heads.filter(([, h]) => h !== undefined)).toEqual([
    ["1.attn.q:5", 1],
    ["1.attn.k:5", 1],
    ["1.attn.v:5", 1],
  ]);
});
