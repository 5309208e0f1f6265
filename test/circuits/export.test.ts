import fc from "fast-check";
import Graph, { type DirectedGraph } from "graphology";
import { parse } from "graphology-gexf";
import { parse as parseGraphml } from "graphology-graphml";
import { describe, expect, it } from "vitest";
import { circuitCsv } from "../../src/circuits/export/csv.ts";
import { circuitDot } from "../../src/circuits/export/dot.ts";
import { drawFigure } from "../../src/circuits/export/figure.ts";
import { circuitGexf } from "../../src/circuits/export/gexf.ts";
import { circuitGraphml } from "../../src/circuits/export/graphml.ts";
import { EXPORT_FORMATS, exportCircuit, exportFormat } from "../../src/circuits/export/index.ts";
import { roundFloat } from "../../src/circuits/file.ts";
import { circuitGraph } from "../../src/circuits/graph.ts";
import { oneLine } from "../../src/circuits/layout/text.ts";
import type { Circuit } from "../../src/circuits/schema.ts";
import { svgText } from "../../src/drawing/svg.ts";
import { escapeXml } from "../../src/drawing/xml.ts";
import { call, hasGraphviz, hasNetworkx } from "../support/programs.ts";
import { python } from "../support/python.ts";
import { parseXml } from "../support/xml.ts";
import { circuits, emptyCircuit, exampleCircuit, LABELS, nasty, randomCircuit } from "./support.ts";

// A file without edges is read as a graph of mixed type, which a DirectedGraph refuses to be. (The package's types do not
// fit its module's default export.)
const AnyGraph = Graph as unknown as typeof DirectedGraph;

const checkXml = (text: string): string[] => parseXml(text).map(({ name }) => name);
const circuitSvg = (circuit: Circuit): string => svgText(drawFigure(circuit));

describe("SVG", () => {
  it("law: well-formed, same bytes for the same circuit", () => {
    fc.assert(
      fc.property(circuits(100), (circuit) => {
        const text = circuitSvg(circuit);
        const names = checkXml(text);
        expect(circuitSvg(structuredClone(circuit))).toBe(text);
        expect(names.filter((n) => n === "script" || n === "image" || n === "foreignObject")).toEqual([]);
        expect(text).not.toMatch(/NaN|Infinity|undefined/);
      }),
      { numRuns: 15 },
    );
  });

  for (const label of LABELS) {
    it(`label ${JSON.stringify(label)} stays text`, () => {
      const text = circuitSvg(nasty(exampleCircuit(), label));
      expect(checkXml(text)).not.toContain("script");
    });
  }

  it("is self-contained and shows what the example needs", () => {
    const text = circuitSvg(exampleCircuit());
    expect(text).not.toMatch(/href="(?!#)|url\(|<style|@import|<text|font/);
    for (const part of [
      "single_double_quote",
      "12 nodes",
      "9 edges",
      "0.mlp",
      "1.attn",
      "K.1.1",
      "-0.70",
      "any quote",
    ]) {
      expect(text).toContain(part);
    }
    expect(text.match(/<circle/g)).toHaveLength(3); // two neurons and the legend
    // Every outline that is used is there, once.
    const defined = [...text.matchAll(/<path id="([^"]+)"/g)].map((m) => m[1]!);
    expect(new Set(defined).size).toBe(defined.length);
    expect(new Set([...text.matchAll(/xlink:href="#([^"]+)"/g)].map((m) => m[1]!))).toEqual(new Set(defined));
    for (const node of exampleCircuit().nodes) expect(text).toContain(`<g id="${node.id}">`);
    expect(text).toContain("task loss 0.021 on test");
  });

  it("colours positive red and negative blue", () => {
    const text = circuitSvg(exampleCircuit());
    const line = (title: string): string => text.split("\n").find((l) => l.includes(`<title>${title}`))!;
    expect(line("0.mlp.act_in:9 to 0.mlp.post_act:15")).toContain('stroke="#2456a6"');
    expect(line("0.mlp.act_in:9 to 0.mlp.post_act:11")).toContain('stroke="#c0342b"');
  });

  it("the empty circuit is a valid figure that says so", () => {
    const text = circuitSvg(emptyCircuit());
    checkXml(text);
    expect(text).toContain("The circuit is empty");
  });
});

it("law: escaped text holds no markup and reads back", () => {
  const decode = (s: string): string =>
    s
      .replaceAll("&lt;", "<")
      .replaceAll("&gt;", ">")
      .replaceAll("&quot;", '"')
      .replaceAll("&apos;", "'")
      .replaceAll("&amp;", "&");
  fc.assert(
    fc.property(fc.string({ unit: "grapheme-ascii" }), (text) => {
      expect(escapeXml(text)).not.toMatch(/[<>"']/);
      expect(decode(escapeXml(text))).toBe(text);
    }),
  );
});

describe("GEXF", () => {
  it("law: reads back with equal nodes, edges and attributes", () => {
    fc.assert(
      fc.property(circuits(60), (circuit) => {
        const text = circuitGexf(circuit);
        checkXml(text);
        expect(circuitGexf(structuredClone(circuit))).toBe(text);
        const graph = parse(AnyGraph, text);
        const expected = circuitGraph(circuit);
        expect([graph.order, graph.size]).toEqual([expected.order, expected.size]);
        expect(expected.order).toBe(circuit.nodes.length);
        expect(expected.size).toBe(circuit.edges.length + circuit.links.length);
        graph.forEachNode((id, a) => {
          const original = expected.getNodeAttributes(id);
          expect([a.site, a.layer, a.channel]).toEqual([original.site, original.layer, original.channel]);
          expect(Number.isFinite(a.x) && Number.isFinite(a.y)).toBe(true);
          expect(a.color).toBeTruthy();
        });
        for (const edge of circuit.edges) {
          const a = graph.getEdgeAttributes(edge.source, edge.target);
          expect(a.kind).toBe("weight");
          expect(a.weight).toBeCloseTo(edge.weight, 5);
        }
      }),
      { numRuns: 12 },
    );
  });

  it("without links has the counted edges alone", () => {
    const circuit = exampleCircuit();
    expect(parse(AnyGraph, circuitGexf(circuit, { links: false })).size).toBe(circuit.counts.edges);
    expect(parse(AnyGraph, circuitGexf(circuit)).size).toBe(circuit.counts.edges + 5);
  });

  it("the empty circuit", () => {
    expect(parse(AnyGraph, circuitGexf(emptyCircuit())).order).toBe(0);
  });

  for (const label of LABELS) {
    it(`label ${JSON.stringify(label)}`, () => {
      const text = circuitGexf(nasty(exampleCircuit(), label));
      checkXml(text);
      expect(parse(AnyGraph, text).order).toBe(12);
    });
  }
});

describe("GraphML", () => {
  it("law: graphology reads back equal nodes, edges and typed attributes", () => {
    fc.assert(
      fc.property(circuits(60), (circuit) => {
        const text = circuitGraphml(circuit);
        checkXml(text);
        expect(circuitGraphml(structuredClone(circuit))).toBe(text);
        const graph = parseGraphml(AnyGraph, text);
        const expected = circuitGraph(circuit);
        expect(graph.nodes()).toEqual(expected.nodes());
        expect(graph.size).toBe(circuit.edges.length + circuit.links.length);
        graph.forEachNode((id, a) => {
          const { layer, channel, head, site, importance } = expected.getNodeAttributes(id);
          expect([a.layer, a.channel, a.head, a.site]).toEqual([layer, channel, head, site]);
          expect(a.importance ?? null).toEqual(importance === null ? null : expect.closeTo(importance, 5));
          expect(Number.isFinite(a.x) && Number.isFinite(a.y)).toBe(true);
        });
        for (const { source, target, weight, matrix } of circuit.edges) {
          const a = graph.getEdgeAttributes(source, target);
          expect([a.kind, a.matrix]).toEqual(["weight", matrix]);
          expect(a.weight).toBeCloseTo(weight, 5);
        }
      }),
      { numRuns: 12 },
    );
  });

  it.skipIf(!hasNetworkx)("networkx reads it with types, whatever the labels", () => {
    const script = `
import json, sys, networkx
print(json.dumps([[len(g), g.number_of_edges(), g.graph["edges"], [d["label"] for _, d in g.nodes(data=True)],
  [type(d["layer"]).__name__ for _, d in g.nodes(data=True)],
  [d["weight"] for _, _, d in g.edges(data=True) if d["kind"] == "weight"]]
  for g in map(networkx.parse_graphml, json.load(sys.stdin))]))`;
    const given = [
      exampleCircuit(),
      randomCircuit(2, 60),
      emptyCircuit(),
      ...LABELS.map((l) => nasty(exampleCircuit(), l)),
    ];
    const read = JSON.parse(call(python!, ["-c", script], JSON.stringify(given.map(circuitGraphml)))) as unknown[][];
    for (const [i, circuit] of given.entries()) {
      const { nodes, edges, links } = circuit;
      const [order, size, stated, labels, types, weights] = read[i]!;
      expect([order, size, stated]).toEqual([nodes.length, edges.length + links.length, edges.length]);
      expect(labels).toEqual(circuitGraph(circuit).mapNodes((id, { label }) => oneLine(label || id)));
      expect(types).toEqual(nodes.map(() => "int"));
      expect(weights).toHaveLength(edges.length);
      expect([...(weights as number[])].sort()).toEqual(edges.map((e) => roundFloat(e.weight)).sort());
    }
  });
});

describe("DOT", () => {
  /** Statements outside of quoted strings. */
  const skeleton = (text: string): string => text.replace(/"(?:[^"\\]|\\.)*"/g, "_");

  it("has a line for each node, edge and link, and balanced braces whatever the labels", () => {
    for (const circuit of [
      exampleCircuit(),
      randomCircuit(2, 60, 0.4),
      ...LABELS.map((l) => nasty(exampleCircuit(), l)),
    ]) {
      const text = skeleton(circuitDot(circuit));
      expect(text).not.toContain('"');
      expect(text.match(/\{/g)!.length).toBe(text.match(/\}/g)!.length);
      expect(text.match(/^ +_ \[/gm) ?? []).toHaveLength(circuit.nodes.length);
      expect(text.match(/->/g) ?? []).toHaveLength(circuit.edges.length + circuit.links.length);
    }
  });

  it.skipIf(!hasGraphviz)("Graphviz draws every node and arrow, whatever the labels", () => {
    for (const circuit of [
      exampleCircuit(),
      randomCircuit(2, 40),
      emptyCircuit(),
      ...LABELS.map((l) => nasty(exampleCircuit(), l)),
    ]) {
      const lines = call("dot", ["-Tplain"], circuitDot(circuit)).split("\n");
      expect(lines.filter((l) => l.startsWith("node "))).toHaveLength(circuit.nodes.length);
      expect(lines.filter((l) => l.startsWith("edge "))).toHaveLength(circuit.edges.length + circuit.links.length);
    }
  });

  it("the empty circuit says so", () => {
    expect(circuitDot(emptyCircuit())).toContain("the circuit is empty");
  });
});

describe("CSV", () => {
  /** RFC 4180, strictly. */
  function read(text: string): string[][] {
    const rows: string[][] = [[]];
    const cell = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/gy;
    for (let m = cell.exec(text); m !== null; m = cell.exec(text)) {
      rows[rows.length - 1]!.push(m[1] === undefined ? m[2]! : m[1].replaceAll('""', '"'));
      if (m[3] === "\r\n") rows.push([]);
      if (cell.lastIndex === text.length) return rows.slice(0, -1);
    }
    throw new Error("not RFC 4180");
  }

  it("law: reads back with the same values", () => {
    fc.assert(
      fc.property(circuits(60), fc.constantFrom(...LABELS), (base, label) => {
        const circuit = nasty(base, label);
        const { nodes, edges, links, tokens } = circuitCsv(circuit);
        const rows = read(nodes);
        expect(rows).toHaveLength(circuit.nodes.length + 1);
        expect(new Set(rows.map((r) => r.length))).toEqual(new Set([9]));
        for (const [i, n] of circuit.nodes.entries()) {
          expect([rows[i + 1]![0], rows[i + 1]![7]]).toEqual([n.id, n.label]);
          expect(JSON.parse(rows[i + 1]![8]!)).toEqual(n.reads!.map((r) => [r.tokenText, r.value]));
        }
        expect(read(edges)).toHaveLength(circuit.counts.edges + 1);
        for (const [i, e] of circuit.edges.entries()) {
          expect(read(edges)[i + 1]!.slice(0, 2)).toEqual([e.source, e.target]);
          if (i > 3) break;
        }
        expect(read(links)).toHaveLength(circuit.links.length + 1);
        expect(read(tokens)).toHaveLength(circuit.embedding.length + circuit.unembedding.length + 1);
      }),
      { numRuns: 15 },
    );
  });

  it("the example's edges", () => {
    expect(read(circuitCsv(exampleCircuit()).edges)[4]).toEqual([
      "0.mlp.act_in:9",
      "0.mlp.post_act:15",
      "-0.7",
      "transformer.h.0.mlp.c_fc.weight",
    ]);
  });
});

describe("registry", () => {
  it("every format writes every circuit, each file with its own suffix, the same bytes again", async () => {
    const formats = EXPORT_FORMATS.filter((f) => f.prompt !== "only");
    for (const circuit of [exampleCircuit(), emptyCircuit()]) {
      const files = (await Promise.all(formats.map((f) => exportCircuit(circuit, f.name)))).flat();
      expect(new Set(files.map((f) => f.suffix)).size).toBe(files.length);
      expect(files.map((f) => f.suffix)).toEqual(expect.arrayContaining([".svg", ".pdf", ".png", ".tex", ".graphml"]));
      for (const { suffix, content } of files) {
        if (typeof content === "string") expect(content.endsWith("\n"), suffix).toBe(true);
      }
      const again = await Promise.all(formats.map((f) => exportCircuit(structuredClone(circuit), f.name)));
      expect(again.flat()).toEqual(files);
    }
  });

  it("an unknown format is refused with the nearest name", () => {
    expect(() => exportFormat("svgg")).toThrow(
      expect.objectContaining({ code: "export-format", exitCode: 2, hint: "Did you mean svg?" }),
    );
    expect(exportFormat("SVG").name).toBe("svg");
  });
});
