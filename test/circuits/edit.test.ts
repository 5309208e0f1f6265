import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { applyEdits, type Edit } from "../../src/circuits/edit.ts";
import { keptSites } from "../../src/circuits/kept.ts";
import type { RestoredCircuit } from "../../src/circuits/restore.ts";
import { Wiring } from "../../src/circuits/wiring.ts";
import { nodeId, nodeIndexOf } from "../../src/model/sites.ts";
import { Rng } from "../../src/util/rng.ts";
import { checkProperty } from "../support/property.ts";
import { refused } from "../support/refused.ts";
import { plantedConfig, plantedKept, plantedParams, randomKept, randomModel } from "./support.ts";

const remove = (node: string): Edit => ({ action: "remove", node });
const add = (node: string): Edit => ({ action: "add", node });
const scale = (node: string, factor: number): Edit => ({ action: "scale", node, factor });

const connected = (wiring: Wiring, kept: Set<number>): RestoredCircuit => ({
  kept: wiring.connected(kept),
  removed: new Set(),
  scales: new Map(),
});
const ids = (wiring: Wiring, { kept }: RestoredCircuit): string[] => keptSites(wiring.config, kept).nodes.map(nodeId);

describe("of the planted circuit", () => {
  const wiring = new Wiring(plantedConfig, plantedParams);
  const start = connected(wiring, plantedKept("planted"));
  const edit = (...edits: Edit[]) => applyEdits(start, edits, wiring);
  const last = (...edits: Edit[]): RestoredCircuit => edit(...edits).at(-1)!.circuit;
  const index = nodeIndexOf(plantedConfig);

  it("drops what a removal leaves without a path, and the steps name it", () => {
    // Layer 1's pattern is made of what neuron 11 writes.
    const steps = edit(remove("0.mlp.post_act:11"));
    expect(steps.map((step) => step.edit)).toEqual(
      ["0.mlp.post_act:11", "0.mlp.resid_delta:12", "1.attn.act_in:12", "1.attn.k:5"].map(remove),
    );
    expect(new Set(steps.map((step) => step.circuit)).size).toBe(1);
    expect(ids(wiring, start)).toHaveLength(ids(wiring, steps[0]!.circuit).length + 4);
  });

  it("gives the same circuit when what was removed and dropped is added, in any order", () => {
    const gone = edit(remove("0.mlp.post_act:11"));
    const back = gone.map((step) => add(step.edit.node));
    for (const edits of [back, back.toReversed()]) {
      const steps = applyEdits(gone[0]!.circuit, edits, wiring);
      expect(steps).toHaveLength(4);
      expect(steps.at(-1)!.circuit).toEqual(start);
    }
  });

  it("scales against the model, and a factor of 1 undoes it", () => {
    const node = "0.mlp.post_act:15";
    const scaled = last(scale(node, 1.3));
    expect(scaled).toEqual({ ...start, scales: new Map([[index(node), 1.3]]) });
    expect(
      applyEdits(scaled, [scale(node, 2)], wiring)
        .at(-1)!
        .circuit.scales.get(index(node)!),
    ).toBe(2);
    expect(applyEdits(scaled, [scale(node, 1)], wiring).at(-1)!.circuit).toEqual(start);
    expect(refused(() => applyEdits(scaled, [scale(node, 1.3)], wiring)).code).toBe("edit-nothing");
    const both = last(scale(node, 1.3), scale("1.attn.k:5", 0));
    const rest = applyEdits(both, [remove("0.mlp.post_act:11")], wiring)[0]!.circuit;
    expect([...rest.scales.keys()], "that of a dropped node goes").toEqual([index(node)]);
  });

  it("brings all edges of an added node, and none of those that were removed", () => {
    const [edge] = wiring.edgesOf(start.kept);
    const target = ids(wiring, start).find((id) => index(id) === wiring.targets[edge!])!;
    const fewer: RestoredCircuit = { ...start, removed: new Set([edge!]) };
    const other = "1.attn.k:5";
    expect([...applyEdits(fewer, [remove(other)], wiring)[0]!.circuit.removed]).toEqual([edge]);
    const gone = applyEdits(fewer, [remove(target)], wiring);
    expect(gone[0]!.circuit.removed.size).toBe(0);
    const back = applyEdits(
      gone[0]!.circuit,
      gone.map((step) => add(step.edit.node)),
      wiring,
    );
    expect(back.at(-1)!.circuit).toEqual(start);
  });

  it.each<[string, Edit[], RegExp]>([
    ["node-absent", [remove("0.mlp.post_act:3")], /0\.mlp\.post_act:3 is not in the circuit/],
    ["node-absent", [scale("0.mlp.post_act:3", 2), add("0.mlp.post_act:3")], /cannot be scaled/],
    ["node-present", [add("0.mlp.post_act:15")], /is in the circuit/],
    ["node-twice", [remove("0.mlp.post_act:15"), add("0.mlp.post_act:15")], /is removed/],
    ["node-twice", [scale("0.mlp.post_act:15", 2), remove("0.mlp.post_act:15")], /is removed/],
    ["node-twice", [scale("0.mlp.post_act:15", 2), scale("0.mlp.post_act:15", 3)], /is scaled/],
    ["edit-nothing", [scale("0.mlp.post_act:15", 1)], /0\.mlp\.post_act:15 has a factor of 1 already/],
    ["node-id", [add("0.mlp.post_akt:1")], /0\.mlp\.post_akt:1/],
    ["node-unknown", [add("0.mlp.post_act:9999")], /channels of mlp\.post_act 0 to \d+/],
    ["node-unknown", [add("9.mlp.post_act:1")], /layers are 0 to 1/],
    [
      "circuit-empty",
      ["0.mlp.resid_delta:7", "0.mlp.resid_delta:12", "1.attn.resid_delta:8"].map(remove),
      /nothing would be left/,
    ],
    ["node-path", [remove("0.mlp.resid_delta:12"), scale("1.attn.k:5", 2)], /1\.attn\.k:5 would have no path/],
  ])("refuses: %s %j", (code, edits, message) => {
    const error = refused(() => edit(...edits));
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
  });

  it("names the nearest node and site", () => {
    expect(refused(() => edit(add("9.mlp.post_act:1"))).hint).toContain("1.mlp.post_act:1.");
    expect(refused(() => edit(add("0.mlp.post_akt:1"))).hint).toContain("mlp.post_act");
  });
});

describe("of random circuits", () => {
  const drawn = fc.record({ seed: fc.nat(1e6), nodes: fc.integer({ min: 20, max: 120 }), sink: fc.boolean() });
  const open = ({ seed, nodes, sink }: { seed: number; nodes: number; sink: boolean }) => {
    const { config, params } = randomModel(seed, { sink }, 0.2);
    const wiring = new Wiring(config, params);
    return { wiring, start: connected(wiring, randomKept(config, seed, nodes)), rng: Rng.of("edits", seed) };
  };

  it("law: removals leave only nodes with a path, and the steps name every node that goes", () => {
    checkProperty(drawn, 60, (given) => {
      const { wiring, start, rng } = open(given);
      const there = ids(wiring, start);
      const chosen = rng.sample(there, Math.min(2, there.length));
      if (chosen.length === 0) return;
      let steps: ReturnType<typeof applyEdits>;
      try {
        steps = applyEdits(start, chosen.map(remove), wiring);
      } catch (error) {
        expect(
          refused(() => {
            throw error;
          }).code,
        ).toBe("circuit-empty");
        return;
      }
      const { circuit } = steps.at(-1)!;
      expect(circuit.kept).toEqual(wiring.connected(circuit.kept));
      const named = new Set(steps.map((step) => step.edit.node));
      expect(there.filter((id) => !named.has(id))).toEqual(ids(wiring, circuit));
    });
  });

  it("law: an added node is in the circuit, or one neighbour of each side that the error names gives it its path", () => {
    let helped = 0;
    checkProperty(drawn, 60, (given) => {
      const { wiring, start, rng } = open(given);
      const absent = ids(wiring, { ...start, kept: start.kept.map((k) => 1 - k) });
      const node = rng.pick(absent);
      const trial = (...nodes: string[]) => applyEdits(start, nodes.map(add), wiring);
      try {
        expect(ids(wiring, trial(node).at(-1)!.circuit)).toContain(node);
      } catch (cause) {
        const error = refused(() => {
          throw cause;
        });
        expect(error.code).toBe("node-path");
        const sides = error.hint!.split(";").map((side) => side.match(/\d+\.(attn|mlp)\.[a-z_]+:\d+/g));
        if (sides.some((side) => side === null)) return;
        helped++;
        for (const first of sides[0]!) {
          const nodes = [first, ...sides.slice(1).map((side) => rng.pick(side!))];
          expect(ids(wiring, trial(node, ...nodes).at(-1)!.circuit)).toEqual(expect.arrayContaining([node, ...nodes]));
        }
      }
    });
    expect(helped).toBeGreaterThan(10);
  });
});
