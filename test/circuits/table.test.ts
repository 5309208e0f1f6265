import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cellWidth } from "../../src/circuits/layout/text.ts";
import { circuitTable } from "../../src/circuits/table.ts";
import { circuits, emptyCircuit, exampleCircuit, LABELS, nasty } from "./support.ts";

describe("table", () => {
  it("law: no line is wider than asked; every node and edge has its line", () => {
    fc.assert(
      fc.property(circuits(80), fc.integer({ min: 40, max: 200 }), fc.constantFrom(...LABELS), (base, width, label) => {
        const circuit = nasty(base, label);
        const lines = circuitTable(circuit, { width });
        for (const line of lines) {
          expect(cellWidth(line)).toBeLessThanOrEqual(width);
          // biome-ignore lint/suspicious/noControlCharactersInRegex: a terminal would obey them
          expect(line).not.toMatch(/[\x00-\x1f]/);
        }
        expect(lines.length).toBeGreaterThan(circuit.nodes.length + circuit.edges.length);
      }),
      { numRuns: 20 },
    );
  });

  it("tells what the example's nodes read and write", () => {
    const text = circuitTable(exampleCircuit(), { width: 120 }).join("\n");
    expect(text).toMatch(/circuit +12 nodes, 9 edges/);
    expect(text).toMatch(/^ {2}15 .* 0 0\.70, 9 -0\.70 +7 1\.20 +\[double or single\], ", '$/m);
    expect(text).toMatch(/^ {2}7 .* from 0\.mlp +V\.1\.1 2\.00$/m);
    expect(text).toMatch(/^ {2}8 .* V\.1\.1 3\.00 +" 0\.50, ' -0\.50$/m);
    expect(text).toMatch(/0\.mlp\.act_in:9 +0\.mlp\.post_act:15 +-0\.7000/);
  });

  it("the empty circuit says so", () => {
    expect(circuitTable(emptyCircuit()).join("\n")).toContain("The circuit is empty");
  });
});
