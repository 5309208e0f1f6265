/** Names of nodes as users type them. */
import { describe, expect, it } from "vitest";
import { shortName } from "../../src/circuits/graph.ts";
import { circuitNode, nodeNamed } from "../../src/circuits/node-name.ts";
import { exampleCircuit, randomCircuit } from "./support.ts";

const circuit = exampleCircuit();

describe("names of nodes", () => {
  it("law: the id, the paper's name and an unambiguous short name of every node mean it", () => {
    for (const seed of [0, 1, 3, 7]) {
      const random = randomCircuit(seed, 60);
      const names = random.nodes.map((node) => shortName(random, node));
      let unique = 0;
      for (const [i, node] of random.nodes.entries()) {
        const { id, layer, site, head, channel } = node;
        expect(circuitNode(` ${id} `, random)).toBe(node);
        if (head !== undefined) {
          const name = `${layer}.${site}.head${head}.ch${channel - head * random.model.headWidth}`;
          expect(circuitNode(name, random)).toBe(node);
        }
        if (names.filter((name) => name === names[i]).length > 1) {
          expect(() => circuitNode(names[i]!, random)).toThrow(new RegExp(`${names[i]} is the name of \\d+ nodes`));
        } else {
          unique++;
          expect(circuitNode(names[i]!.toLowerCase(), random)).toBe(node);
        }
      }
      expect(unique).toBeGreaterThan(3);
    }
  });

  it("a position channel is known by the name that figures show", () => {
    const random = randomCircuit(3, 200);
    const { width } = random.model;
    const position = random.nodes.find((n) => n.channel >= width && n.site.endsWith("act_in"))!;
    const same = random.nodes.filter((n) => n.channel === position.channel && n.site.endsWith("act_in"));
    const named = () => circuitNode(`pos.${position.channel - width}`, random).id;
    if (same.length === 1) expect(named()).toBe(position.id);
    else expect(named).toThrow(/is the name of/);
  });

  it("ids of nodes outside of the circuit, and short ones where there is one layer", () => {
    expect(nodeNamed("0.mlp.post_act:0", circuit)).toBe("0.mlp.post_act:0");
    expect(nodeNamed("1.attn.q.head0.ch2", circuit)).toBe("1.attn.q:2");
    const { headWidth } = circuit.model;
    const shallow = { model: { ...circuit.model, layers: 1 }, nodes: [] };
    expect(nodeNamed("q.1.2", shallow)).toBe(`0.attn.q:${headWidth + 2}`);
    expect(() => nodeNamed("Q.1.2", { ...shallow, model: circuit.model })).toThrow(/"Q.1.2" is not a node/);
  });

  it.each([
    ["V.1.2", '"V.1.2" is not a node', /nearest in the circuit is V\.1\.1 \(1\.attn\.v:5\)/],
    ["1.attn.v:6", "1.attn.v:6 is not in the circuit", /nearest in the circuit is 1\.attn\.v:5;/],
    ["1.atn.v:5", '"1.atn.v:5" is not a node', /nearest site: attn\.v/],
    ["", '"" is not a node', /nearest in the circuit is/],
    ["1.attn.v.head9.ch0", "heads are 0 to", /nearest is head \d+, channel 0/],
  ])("%s is refused with the nearest", (name, message, hint) => {
    expect(() => circuitNode(name, circuit)).toThrow(message);
    try {
      circuitNode(name, circuit);
    } catch (error) {
      expect((error as { hint: string }).hint).toMatch(hint);
    }
  });

  it("an empty circuit has no nearest", () => {
    expect(() => circuitNode("5", { ...circuit, nodes: [] })).toThrow('"5" is not a node');
  });
});
