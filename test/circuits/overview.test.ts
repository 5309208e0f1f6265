/** The overview of a whole model: its numbers against brute force, its picture as geometry, its files. */
import fc from "fast-check";
import Graph, { type DirectedGraph } from "graphology";
import { parse } from "graphology-gexf";
import { describe, expect, it } from "vitest";
import { PALETTE_NAMES } from "../../src/circuits/export/palette.ts";
import { COLORBLIND_COLORS, DEFAULT_COLORS } from "../../src/circuits/overview/colors.ts";
import { overviewCsv, overviewGexf, overviewJson } from "../../src/circuits/overview/files.ts";
import { marginLabels } from "../../src/circuits/overview/labels.ts";
import { MOST_WEIGHTS, type Network, networkOf } from "../../src/circuits/overview/network.ts";
import { disentanglement, overlapOf, type Strata } from "../../src/circuits/overview/overlap.ts";
import { networkPositions } from "../../src/circuits/overview/positions.ts";
import { networkView } from "../../src/circuits/overview/view.ts";
import type { Circuit } from "../../src/circuits/schema.ts";
import { circuitStructure } from "../../src/circuits/structure.ts";
import type { Drawing, Mark } from "../../src/drawing/drawing.ts";
import { pdfText } from "../../src/drawing/pdf.ts";
import { pngBytes } from "../../src/drawing/png.ts";
import { svgText } from "../../src/drawing/svg.ts";
import { tikzText } from "../../src/drawing/tikz.ts";
import { decodePng, likeness, renderPdf } from "../support/pixels.ts";
import { hasPoppler } from "../support/programs.ts";
import { useTempDir } from "../support/temp.ts";
import { parseXml } from "../support/xml.ts";
import { checkDrawing, textsOf } from "./drawings.ts";
import { exampleCircuit, LABELS, plantedConfig, plantedParams, randomKept, randomModel } from "./support.ts";

// The constructor, which its types say is a module.
const AnyGraph = Graph as unknown as typeof DirectedGraph;
const temp = useTempDir();

/** All sets with so many elements of each stratum. */
function allSets(strata: readonly (readonly number[])[], counts: readonly number[]): number[][] {
  const subsets = (items: readonly number[], k: number): number[][] =>
    k === 0 ? [[]] : items.flatMap((item, i) => subsets(items.slice(i + 1), k - 1).map((rest) => [item, ...rest]));
  return strata.reduce<number[][]>(
    (sets, items, s) => sets.flatMap((set) => subsets(items, counts[s]!).map((more) => [...set, ...more])),
    [[]],
  );
}

/** Two strata of up to 4 elements, and two or three sets in them. */
const smallCase = fc
  .tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 0, max: 3 }), fc.integer({ min: 2, max: 3 }))
  .chain(([n, m, sets]) =>
    fc.record({
      sizes: fc.constant([n, m]),
      sets: fc.array(fc.subarray(Array.from({ length: n + m }, (_, i) => i)), { minLength: sets, maxLength: sets }),
    }),
  );

describe("what circuits share", () => {
  it("law: every number by chance is the mean over all ways to draw the circuits", () => {
    fc.assert(
      fc.property(smallCase, ({ sizes, sets }) => {
        const strata: Strata = { sizes, of: (e) => (e < sizes[0]! ? 0 : 1) };
        const members = sizes.map((_, s) =>
          Array.from({ length: sizes[0]! + sizes[1]! }, (_, e) => e).filter((e) => strata.of(e) === s),
        );
        const draws = sets.map((set) =>
          allSets(
            members,
            sizes.map((_, s) => set.filter((e) => strata.of(e) === s).length),
          ),
        );
        const found = overlapOf(
          sets.map((set) => new Set(set)),
          strata,
        );
        // Pairs.
        for (const { a, b, shared, jaccard, expected, atLeast } of found.pairs) {
          const together = draws[a]!.flatMap((x) => draws[b]!.map((y) => x.filter((e) => y.includes(e)).length));
          const union = sets[a]!.length + sets[b]!.length;
          expect(shared).toBe(sets[a]!.filter((e) => sets[b]!.includes(e)).length);
          expect(atLeast).toBeCloseTo(together.filter((k) => k >= shared).length / together.length, 9);
          if (union === 0) expect([jaccard, expected]).toEqual([null, null]);
          else {
            expect(jaccard).toBeCloseTo(shared / (union - shared), 12);
            expect(expected).toBeCloseTo(together.reduce((s, k) => s + k / (union - k), 0) / together.length, 9);
          }
        }
        // In how many sets elements are: over all draws of all sets.
        const all = draws.reduce<number[][][]>((some, set) => some.flatMap((s) => set.map((x) => [...s, x])), [[]]);
        const usedBy = (drawn: readonly (readonly number[])[]): number[] => {
          const counts = new Array<number>(sets.length + 1).fill(0);
          for (const e of members.flat()) counts[drawn.filter((set) => set.includes(e)).length]!++;
          return counts;
        };
        expect(found.usedBy.map(({ count }) => count)).toEqual(usedBy(sets));
        const sums = all.map(usedBy).reduce((x, y) => x.map((v, k) => v + y[k]!));
        for (const [k, { expected }] of found.usedBy.entries()) expect(expected).toBeCloseTo(sums[k]! / all.length, 9);
        if (sets.some((set) => set.length > 0)) {
          const scores = all.map((drawn) => disentanglement(usedBy(drawn))!);
          const mean = scores.reduce((s, x) => s + x, 0) / scores.length;
          expect(found.expectedDisentanglement).toBeCloseTo(mean, 9);
        }
      }),
      { numRuns: 60 },
    );
  });

  it("disentanglement is that of Eastwood and Williams, by their formula on a matrix of importances", () => {
    const byMatrix = (matrix: readonly (readonly number[])[]): number => {
      const total = matrix.flat().reduce((s, x) => s + x, 0);
      const circuits = matrix[0]!.length;
      return matrix.reduce((sum, row) => {
        const own = row.reduce((s, x) => s + x, 0);
        if (own === 0) return sum;
        const entropy = -row.reduce(
          (s, x) => s + (x === 0 ? 0 : (x / own) * (Math.log(x / own) / Math.log(circuits))),
          0,
        );
        return sum + (own / total) * (1 - entropy);
      }, 0);
    };
    const row = fc.array(fc.constantFrom(0, 1), { minLength: 4, maxLength: 4 });
    fc.assert(
      fc.property(fc.array(row, { minLength: 1, maxLength: 12 }), (matrix) => {
        fc.pre(matrix.flat().includes(1));
        const usedBy = [0, 1, 2, 3, 4].map((k) => matrix.filter((r) => r.filter((x) => x === 1).length === k).length);
        expect(disentanglement(usedBy)).toBeCloseTo(byMatrix(matrix), 12);
      }),
    );
    expect([disentanglement([3, 5, 0]), disentanglement([3, 0, 5])]).toEqual([1, 0]);
    expect([disentanglement([3, 5]), disentanglement([3, 0, 0])]).toEqual([null, null]);
  });

  it("thousands of elements: chances add up to one, without overflow", () => {
    const set = (from: number) => new Set(Array.from({ length: 5000 }, (_, i) => from + i));
    const { pairs, usedBy } = overlapOf([set(0), set(3000)], { sizes: [200_000], of: () => 0 });
    expect(pairs[0]!.shared).toBe(2000);
    expect(pairs[0]!.atLeast).toBeLessThan(1e-6);
    expect(pairs[0]!.expected).toBeCloseTo(125 / 9875, 4);
    expect(usedBy.reduce((s, u) => s + u.expected, 0)).toBeCloseTo(200_000, 3);
  });
});

const model = randomModel(1, {}, 0.3);

/** Circuits of random nodes of a random model. */
function network(circuits: number, nodes = 30, over = model, name = (i: number) => `task_${i}`): Network {
  return networkOf(
    over.config,
    over.params,
    Array.from({ length: circuits }, (_, i) => ({ name: name(i), circuit: circuitOf(over, i, nodes) })),
  );
}

function circuitOf({ config, params }: typeof model, seed: number, nodes: number): Circuit {
  const {
    kept: _,
    dropped: __,
    ...structure
  } = circuitStructure(config, params, randomKept(config, seed, nodes), {
    tokenText: String,
    answerTokens: new Set(),
    keepDisconnected: true,
  });
  const measured = structure.nodes.map((node) => ({ ...node, meanActivation: 0, importance: null }));
  return { ...exampleCircuit(), ...structure, nodes: measured };
}

/** Somewhere in the disc: what does not depend on the layout needs not wait for it. */
const anywhere = ({ shown }: Network) =>
  shown.nodes.map((_, i) => {
    const [r, angle] = [Math.sqrt(i / shown.nodes.length), 2.4 * i];
    return { x: r * Math.cos(angle), y: r * Math.sin(angle) };
  });
const draw = (n: Network, palette: (typeof PALETTE_NAMES)[number] = "default"): Drawing =>
  networkView(n, anywhere(n), { title: "a run", palette });

describe("the network", () => {
  it("has the nodes and nonzero weights of the model, and what circuits have of them", () => {
    const { params } = model;
    const blocks = [...params].filter(([name]) => /c_(attn|proj|fc)\.weight/.test(name));
    const nonzero = blocks.reduce((sum, [, values]) => sum + values.filter((w) => w !== 0).length, 0);
    const circuits = [0, 1, 2].map((i) => circuitOf(model, i, 40));
    const { nodes, edges, shown } = network(3, 40);
    expect([edges.total, shown.edges.length]).toEqual([nonzero, nonzero]);
    expect(nodes.sizes).toEqual(circuits.map((c) => c.nodes.length));
    expect(edges.sizes).toEqual(circuits.map((c) => c.edges.length));
    for (const [i, { nodes, edges }] of circuits.entries()) {
      const ids = shown.nodes.filter((n) => n.circuits.includes(i)).map((n) => n.id);
      expect(ids.sort()).toEqual(nodes.map((n) => n.id).sort());
      const own = shown.edges.filter((e) => e.circuits.includes(i));
      const key = (e: (typeof own)[number]) => `${shown.nodes[e.source]!.id}>${shown.nodes[e.target]!.id} ${e.weight}`;
      expect(own.map(key).sort()).toEqual(edges.map((e) => `${e.source}>${e.target} ${e.weight}`).sort());
    }
  });

  it("too many weights: circuits and the heaviest of each site, the numbers of all", () => {
    const dense = randomModel(2, { layers: 1, width: 64, neurons: 256, heads: 4, headWidth: 16 }, 1);
    const { edges, shown } = network(2, 60, dense);
    expect(edges.total).toBe(4 * 64 * 64 + 2 * 64 * 256);
    expect(shown.edges).toHaveLength(MOST_WEIGHTS);
    for (const i of [0, 1]) expect(shown.edges.filter((e) => e.circuits.includes(i))).toHaveLength(edges.sizes[i]!);
    const others = shown.edges.filter((e) => e.circuits.length === 0);
    expect(Math.min(...others.map((e) => e.rank))).toBeGreaterThan(1 - (1.1 * MOST_WEIGHTS) / edges.total);
  });

  it("refuses a circuit with an edge that the model lacks", () => {
    const circuit = circuitOf(model, 0, 40);
    const [a, b] = [circuit.nodes[0]!.id, circuit.nodes.at(-1)!.id];
    const other = { ...circuit, edges: [...circuit.edges, { source: a, target: b, weight: 1, matrix: "" }] };
    const make = () => networkOf(model.config, model.params, [{ name: "x", circuit: other }]);
    expect(make).toThrow(`circuit of x has an edge that the model lacks: ${a} to ${b}`);
  });
});

describe("the picture", () => {
  it("law: no text covers another, nothing leaves the canvas, for 0 to 30 circuits, short names and long", () => {
    const long = (i: number) => `${LABELS[i % LABELS.length]!} ${"long_name_".repeat(i % 5)}${i}`;
    for (const circuits of [0, 1, 2, 20, 30]) {
      const n = network(circuits, 20, model, circuits % 3 === 2 ? long : undefined);
      for (const palette of circuits === 2 ? PALETTE_NAMES : (["default"] as const)) checkDrawing(draw(n, palette));
    }
  });

  it("each circuit is there in its colour, once for each node and weight; what is shared in all of its colours", () => {
    const n = network(3, 250);
    const drawing = draw(n);
    const items = (name: string) => drawing.groups.find((g) => g.name === name)!.items;
    for (const item of items("nodes")) {
      const { circuits } = n.shown.nodes.find((node) => node.id === item.id)!;
      const painted = item.marks.map((m) =>
        m.type === "circle" ? m.fill.color : (m as { stroke: { color: string } }).stroke.color,
      );
      expect(painted).toEqual(circuits.map((i) => DEFAULT_COLORS[i]));
    }
    expect(items("nodes")).toHaveLength(n.nodes.total - n.nodes.usedBy[0]!.count);
    // The lengths painted in a colour are those of its circuit's weights, shared ones by their part.
    const segments = items("edges").flatMap((i) => i.marks) as Extract<Mark, { type: "segments" }>[];
    const long = (s: readonly (readonly { x: number; y: number }[])[]) =>
      s.reduce((sum, [a, b]) => sum + Math.hypot(a!.x - b!.x, a!.y - b!.y), 0);
    const centres = new Map(
      items("nodes").map((item) => [item.id, item.marks[0] as Extract<Mark, { type: "circle" }>] as const),
    );
    const at = (i: number) => centres.get(n.shown.nodes[i]!.id)!;
    for (const i of [0, 1, 2]) {
      const painted = segments.filter((m) => m.stroke.color === DEFAULT_COLORS[i]).map((m) => long(m.segments));
      const wanted = n.shown.edges
        .filter((e) => e.circuits.includes(i))
        .map((e) => long([[at(e.source), at(e.target)]]) / e.circuits.length);
      const sum = (x: readonly number[]) => x.reduce((a, b) => a + b, 0);
      expect(sum(painted)).toBeCloseTo(sum(wanted), 6);
    }
    expect(n.edges.usedBy[2]!.count).toBeGreaterThan(0);
  });

  it("same model and circuits, same bytes; a file of a sensible size", () => {
    const [one, two] = [network(3), network(3)].map((n) => ({
      ...n,
      drawing: networkView(n, networkPositions(n), { title: "a run" }),
    }));
    for (const write of [svgText, pdfText, tikzText]) {
      const text = write(one!.drawing);
      expect(write(two!.drawing)).toBe(text);
      expect(text).not.toMatch(/NaN|Infinity|undefined/);
      expect(text.length).toBeLessThan(60 * one!.edges.total + 200_000);
    }
    parseXml(svgText(one!.drawing));
  });

  it.skipIf(!hasPoppler)("Poppler draws many lines and dots in the PDF as resvg in the SVG", async () => {
    const n = network(2);
    const { groups, ...drawing } = draw(n);
    // The network alone, on a smaller page.
    const half = { ...drawing, width: 800, height: 420, groups: groups.filter(({ name }) => name === "network") };
    const [pdf, svg] = [renderPdf(temp(), pdfText(half)), decodePng(await pngBytes(half))];
    expect(likeness(pdf, svg, 40, 40)).toBeGreaterThan(0.97);
  });

  it("nodes fill a disc, first layer above the last", () => {
    const n = network(0);
    const points = networkPositions(n);
    const radii = points.map(({ x, y }) => Math.hypot(x, y));
    expect(Math.max(...radii)).toBeCloseTo(1, 3);
    expect(radii.filter((r) => r > 0.3).length / radii.length).toBeGreaterThan(0.5);
    const height = (layer: number): number => {
      const ys = points.filter((_, i) => n.shown.nodes[i]!.layer === layer).map(({ y }) => y);
      return ys.reduce((a, b) => a + b, 0) / ys.length;
    };
    expect(height(0)).toBeLessThan(height(2));
  });

  it("an empty model and one without weights in a layer are drawn", () => {
    const params = new Map([...plantedParams].map(([name, values]) => [name, values.map(() => 0)]));
    const none = networkOf(plantedConfig, params, []);
    expect([none.nodes.total, none.edges.total]).toEqual([0, 0]);
    checkDrawing(draw(none));
    expect(textsOf(draw(none)).some(({ text }) => text.startsWith("0 nodes"))).toBe(true);
  });

  it("law: lines of labels in a margin do not cross, labels stand in their order without overlap", () => {
    const margins = { height: 30, top: 0, bottom: 900, left: 0, right: 1000 };
    const point = fc.record({
      x: fc.double({ min: 200, max: 800, noNaN: true }),
      y: fc.double({ min: 0, max: 900, noNaN: true }),
    });
    fc.assert(
      fc.property(fc.array(point, { minLength: 1, maxLength: 40 }), (points) => {
        const labels = marginLabels(
          points.map((p) => [p]),
          margins,
        );
        for (const side of ["left", "right"] as const) {
          const own = labels.filter((l) => l.side === side).sort((a, b) => a.y - b.y);
          const x = margins[side];
          const above = (l: (typeof own)[number], px: number) =>
            l.y + ((l.anchor.y - l.y) * (px - x)) / (l.anchor.x - x);
          for (const [i, a] of own.entries()) {
            expect(a.y - 15).toBeGreaterThanOrEqual(-1e-6);
            expect(a.y + 15).toBeLessThanOrEqual(900 + 1e-6);
            for (const b of own.slice(i + 1)) {
              expect(b.y - a.y).toBeGreaterThan(30 - 1e-6);
              const end = side === "left" ? Math.min(a.anchor.x, b.anchor.x) : Math.max(a.anchor.x, b.anchor.x);
              expect(above(b, end) - above(a, end)).toBeGreaterThan(-1e-6);
            }
          }
        }
      }),
    );
  });
});

/** OKLab (Ottosson 2020) of linear RGB, and dichromats' linear RGB (Machado et al. 2009, severity 1). */
const VIEWS: Record<string, number[][]> = {
  all: [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ],
  protan: [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
  ],
  deutan: [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.01182, 0.04294, 0.968881],
  ],
};
function oklab(hex: string, view = "all"): number[] {
  const times = (m: readonly (readonly number[])[], v: readonly number[]) =>
    m.map((row) => row.reduce((s, x, i) => s + x * v[i]!, 0));
  const linear = [1, 3, 5].map((i) => {
    const c = Number.parseInt(hex.slice(i, i + 2), 16) / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  const seen = times(VIEWS[view]!, linear).map((c) => Math.max(0, Math.min(1, c)));
  const cones = times(
    [
      [0.4122214708, 0.5363325363, 0.0514459929],
      [0.2119034982, 0.6806995451, 0.1073969566],
      [0.0883024619, 0.2817188376, 0.6299787005],
    ],
    seen,
  ).map(Math.cbrt);
  return times(
    [
      [0.2104542553, 0.793617785, -0.0040720468],
      [1.9779984951, -2.428592205, 0.4505937099],
      [0.0259040371, 0.7827717662, -0.808675766],
    ],
    cones,
  );
}

it("20 colours are told apart, the first of them best; the colour-blind ones by dichromats too", () => {
  const nearest = (colors: readonly string[], views: readonly string[]): number =>
    Math.min(
      ...views.flatMap((view) => {
        const labs = [...colors, "#ffffff"].map((hex) => oklab(hex, view));
        return labs.flatMap((a, i) => labs.slice(i + 1).map((b) => Math.hypot(...a.map((x, c) => x - b[c]!))));
      }),
    );
  expect(DEFAULT_COLORS).toHaveLength(20);
  expect(nearest(DEFAULT_COLORS, ["all"])).toBeGreaterThan(0.14);
  expect(nearest(DEFAULT_COLORS.slice(0, 4), ["all"])).toBeGreaterThan(0.24);
  expect(COLORBLIND_COLORS).toHaveLength(20);
  expect(nearest(COLORBLIND_COLORS, ["all", "protan", "deutan"])).toBeGreaterThan(0.1);
  expect(nearest(COLORBLIND_COLORS.slice(0, 4), ["all", "protan", "deutan"])).toBeGreaterThan(0.2);
});

it("print is without colour", () => {
  const svg = svgText(draw(network(3), "print"));
  const greys = [...svg.matchAll(/#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})"/g)];
  expect(greys.length).toBeGreaterThan(0);
  for (const [, r, g, b] of greys) expect([r, g]).toEqual([g, b]);
});

describe("files", () => {
  it("GEXF is read back by graphology: every node and weight, with position, colour and circuits", () => {
    const n = network(3, 40);
    const positions = anywhere(n);
    const graph = parse(AnyGraph, overviewGexf(n, positions, { title: "a run" }));
    expect([graph.order, graph.size]).toEqual([n.shown.nodes.length, n.shown.edges.length]);
    for (const [i, node] of n.shown.nodes.entries()) {
      const a = graph.getNodeAttributes(node.id);
      expect(a.x).toBeCloseTo(1000 * positions[i]!.x, 0);
      expect(a.y).toBeCloseTo(-1000 * positions[i]!.y, 0);
      expect(a.used).toBe(node.circuits.length);
      expect(a.circuits ?? "").toBe(node.circuits.map((c) => `task_${c}`).join(" "));
      expect(a.color).toBeDefined();
    }
  });

  it("JSON and tables have the same numbers; without circuits too", () => {
    for (const circuits of [0, 1, 3]) {
      const n = network(circuits);
      const json = overviewJson(n, "run");
      const rows = (text: string) =>
        text
          .trimEnd()
          .split("\r\n")
          .slice(1)
          .map((line) => line.split(","));
      const csv = overviewCsv(n);
      expect(rows(csv.circuits).map(([name, a, b]) => [name, Number(a), Number(b)])).toEqual(
        json.circuits.map((c) => [c.name, c.nodes, c.edges]),
      );
      const pairs = [...json.nodes.pairs, ...json.edges.pairs];
      expect(rows(csv.pairs).map((row) => [row[1], row[2], ...row.slice(3).map(Number)])).toEqual(
        pairs.map((p) => [p.a, p.b, p.shared, p.jaccard, p.expected, p.atLeast]),
      );
      expect(rows(csv["used-by"])).toHaveLength(2 * (circuits + 1));
      expect(JSON.stringify(json)).not.toContain("NaN");
    }
  });
});
