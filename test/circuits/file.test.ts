import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { parseCircuit, readCircuit, roundFloat, serializeCircuit } from "../../src/circuits/file.ts";
import type { Circuit } from "../../src/circuits/schema.ts";
import { SparseError } from "../../src/util/errors.ts";
import { circuits, emptyCircuit, exampleCircuit } from "./support.ts";

function refusal(run: () => unknown): SparseError {
  try {
    run();
  } catch (error) {
    if (error instanceof SparseError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

/** JSON of no known shape. */
// biome-ignore lint/suspicious/noExplicitAny: broken on purpose
type Loose = Record<string, any>;

/** The example as JSON, changed. */
function changed(change: (json: Loose) => void): string {
  const json = JSON.parse(serializeCircuit(exampleCircuit()));
  change(json);
  return JSON.stringify(json);
}

describe("round trip", () => {
  it("law: parsing what was serialised gives the same circuit, and the same bytes again", () => {
    fc.assert(
      fc.property(circuits(80), (circuit) => {
        const text = serializeCircuit(circuit);
        const back = parseCircuit(text, "memory");
        expect(serializeCircuit(back)).toBe(text);
        expect(back.nodes.map((n) => n.id)).toEqual(circuit.nodes.map((n) => n.id));
        expect(back.nodes.map((n) => n.label)).toEqual(circuit.nodes.map((n) => n.label));
        for (const [i, edge] of circuit.edges.entries()) {
          expect(Math.fround(back.edges[i]!.weight)).toBeCloseTo(edge.weight, 5);
        }
      }),
      { numRuns: 30 },
    );
  });

  it("bytes depend on neither the order of keys nor on time", () => {
    const circuit = exampleCircuit();
    const shuffled = Object.fromEntries(Object.entries(circuit).reverse()) as unknown as Circuit;
    const perMatrix = Object.fromEntries(Object.entries(circuit.counts.edgesPerMatrix).reverse());
    shuffled.counts = { ...circuit.counts, edgesPerMatrix: perMatrix };
    expect(serializeCircuit(shuffled)).toBe(serializeCircuit(circuit));
    expect(serializeCircuit(exampleCircuit())).toBe(serializeCircuit(circuit));
  });

  it("the empty circuit", () => {
    expect(parseCircuit(serializeCircuit(emptyCircuit()), "memory")).toEqual(emptyCircuit());
  });

  it("floats have 7 significant digits, integers all of theirs", () => {
    expect(roundFloat(0.6000000238418579)).toBe(0.6);
    expect(roundFloat(-1234.56789)).toBe(-1234.568);
    expect(roundFloat(123456789012)).toBe(123456789012);
    expect(Object.is(roundFloat(-0), 0)).toBe(true);
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (x) => {
        expect(Math.abs(roundFloat(x) - x)).toBeLessThanOrEqual(Math.abs(x) * 5.1e-7);
        expect(roundFloat(roundFloat(x))).toBe(roundFloat(x));
      }),
    );
  });

  it("keeps what checks found and what was edited", () => {
    const losses = { train: 0.1, val: null, test: 0.12 };
    const circuit: Circuit = {
      ...exampleCircuit(),
      edits: [{ action: "scale", node: "0.mlp.post_act:3", factor: 1.3, nodes: 12, edges: 9, taskLoss: losses }],
      verification: {
        form: "short",
        seed: 0,
        pairs: 64,
        summary: "sufficient",
        checks: [
          {
            name: "sufficiency",
            verdict: "pass",
            brief: "",
            reason: "0.02",
            figures: [{ name: "task loss", value: null }],
          },
        ],
      },
    };
    const read = parseCircuit(serializeCircuit(circuit), "memory");
    expect(read.edits).toEqual(circuit.edits);
    expect(read.verification).toEqual(circuit.verification);
  });

  it("a NaN is a defect of the caller, not a file", () => {
    const circuit = exampleCircuit();
    circuit.nodes[3]!.meanActivation = Number.NaN;
    expect(() => serializeCircuit(circuit)).toThrow(/nodes\[3\]\.meanActivation/);
  });
});

describe("refusals", () => {
  const cases: [string, string, string, RegExp][] = [
    ["an empty file", "", "circuit-json", /it is empty/],
    ["a truncated file", serializeCircuit(exampleCircuit()).slice(0, 900), "circuit-json", /cut short/],
    ["another JSON", '{"a": 1}', "circuit-format", /expected format "sparse-circuits\/circuit" but received none/],
    ["an array", "[]", "circuit-format", /received none/],
    ["null", "null", "circuit-format", /received none/],
    ["a newer version", changed((j) => Object.assign(j, { version: 3 })), "circuit-version", /version 3/],
    ["an older version", changed((j) => Object.assign(j, { version: 1 })), "circuit-version", /version 1/],
    ["a version that is no number", changed((j) => Object.assign(j, { version: "1" })), "circuit-field", /version/],
    ["an unknown key", changed((j) => Object.assign(j, { colour: 1 })), "circuit-field", /colour/],
    [
      "a field of the wrong type",
      changed((j) => Object.assign(j.edges[2], { weight: "x" })),
      "circuit-field",
      /edges\[2\]\.weight/,
    ],
    ["a missing field", changed((j) => delete j.model.run), "circuit-field", /model\.run/],
    [
      "an edge to nowhere",
      changed((j) => Object.assign(j.edges[0], { target: "0.mlp.post_act:3" })),
      "circuit-field",
      /edges\[0\]\.target: "0.mlp.post_act:3" is not a node/,
    ],
    [
      "an id that does not fit",
      changed((j) => Object.assign(j.nodes[1], { channel: 3 })),
      "circuit-field",
      /nodes\[1\]\.id: expected "0.mlp.act_in:3"/,
    ],
    [
      "a node twice",
      changed((j) => Object.assign(j.nodes[1], j.nodes[0])),
      "circuit-field",
      /nodes\[1\]\.id: "0.mlp.act_in:0" occurs twice/,
    ],
    [
      "a wrong count",
      changed((j) => Object.assign(j.counts, { edges: 8 })),
      "circuit-field",
      /counts\.edges: says 8 but there are 9/,
    ],
  ];
  for (const [name, text, code, message] of cases) {
    it(name, () => {
      const error = refusal(() => parseCircuit(text, "c.json"));
      expect(error.code).toBe(code);
      expect(error.message).toMatch(message);
      expect(error.message).toContain("c.json");
      expect(error.hint).toBeTruthy();
      expect(error.exitCode).toBe(2);
    });
  }

  it("law: any truncation of a file is refused as bad input", () => {
    const text = serializeCircuit(exampleCircuit());
    fc.assert(
      fc.property(fc.integer({ min: 0, max: text.length - 3 }), (end) => {
        expect(refusal(() => parseCircuit(text.slice(0, end), "c.json")).code).toBe("circuit-json");
      }),
    );
  });
});

describe("files", () => {
  const folder = mkdtempSync(join(tmpdir(), "circuit-file-"));
  afterAll(() => rmSync(folder, { recursive: true }));

  it("reads what was written", () => {
    const path = join(folder, "circuit.json");
    writeFileSync(path, serializeCircuit(exampleCircuit()));
    expect(readCircuit(path).edges).toHaveLength(9);
  });

  it("a missing file says where circuits are", () => {
    const error = refusal(() => readCircuit(join(folder, "none.json")));
    expect(error.code).toBe("circuit-missing");
    expect(error.hint).toContain("runs/");
  });
});
