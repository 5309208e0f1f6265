import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { forceLayout } from "../../src/circuits/forceLayout.ts";
import { crosses } from "../../src/circuits/layout/labels.ts";
import { placeInOrder } from "../../src/circuits/layout/place.ts";
import { type Box, overlaps, type StructureLayout } from "../../src/circuits/layout/scene.ts";
import { cellWidth, oneLine, padCells, textWidth, truncate, visibleToken } from "../../src/circuits/layout/text.ts";
import { structureLayout } from "../../src/circuits/layout.ts";
import type { Circuit } from "../../src/circuits/schema.ts";
import { Rng } from "../../src/util/rng.ts";
import { circuits, emptyCircuit, exampleCircuit, randomCircuit } from "./support.ts";

/** Pairs of boxes that overlap by more than rounding. */
function collisions(boxes: readonly Box[]): [Box, Box][] {
  const sorted = [...boxes].sort((a, b) => a.x - b.x);
  const found: [Box, Box][] = [];
  for (const [i, a] of sorted.entries()) {
    for (let j = i + 1; j < sorted.length && sorted[j]!.x < a.x + a.width - 0.01; j++) {
      if (overlaps(a, sorted[j]!, -0.01)) found.push([a, sorted[j]!]);
    }
  }
  return found;
}

function checkGeometry(circuit: Circuit, layout: StructureLayout): void {
  // No text over text; no node or token over another; no text over a foreign node's shape.
  expect(collisions(layout.texts)).toEqual([]);
  expect(collisions([...layout.nodes.map((n) => n.box), ...layout.tokens])).toEqual([]);
  const wrong: string[] = [];
  const own = layout.texts.filter((t) => t.role !== "node" && t.role !== "side" && t.role !== "token");
  const shapes = [...layout.nodes.map((n) => n.box), ...layout.tokens];
  for (const text of own) {
    if (shapes.some((box) => overlaps(text, box, -0.01))) wrong.push(`${text.text} covers a node`);
  }
  // Boxes hold their text.
  for (const text of layout.texts) expect(text.width).toBeGreaterThanOrEqual(textWidth(text.text, text.size) - 0.01);
  // Nothing leaves the canvas.
  for (const box of [...layout.texts, ...layout.nodes.map((n) => n.box), ...layout.tokens]) {
    expect(Math.min(box.x, box.y)).toBeGreaterThanOrEqual(0);
    expect(box.x + box.width).toBeLessThanOrEqual(layout.width);
    expect(box.y + box.height).toBeLessThanOrEqual(layout.height);
  }
  for (const { x, y } of layout.edges.flatMap((e) => e.points)) {
    expect(x >= 0 && x <= layout.width && y >= 0 && y <= layout.height).toBe(true);
  }
  // One channel is one vertical line, through all of its nodes.
  const byId = new Map(circuit.nodes.map((n) => [n.id, n]));
  for (const item of layout.nodes) {
    const node = byId.get(item.id)!;
    if (item.shape !== "tick") continue;
    const line = layout.channels.find((c) => c.channel === node.channel)!;
    expect(item.x).toBe(line.x);
    expect(line.top).toBeLessThanOrEqual(item.y);
    expect(line.bottom).toBeGreaterThanOrEqual(item.y);
  }
  // A site is a row; later sites are lower.
  const rows = new Map<string, number>();
  let lowest = 0;
  for (const item of layout.nodes) {
    const { layer, site } = byId.get(item.id)!;
    const y = rows.get(`${layer}.${site}`);
    if (y === undefined) expect(item.y).toBeGreaterThan(lowest);
    else expect(item.y).toBe(y);
    rows.set(`${layer}.${site}`, item.y);
    lowest = item.y;
  }
  // No line passes through a neuron or attention channel that it does not belong to.
  for (const node of layout.nodes.filter((n) => n.shape !== "tick")) {
    const shape = {
      x: node.x - node.halfWidth + 0.5,
      y: node.y - node.halfHeight + 0.5,
      width: 2 * node.halfWidth - 1,
      height: 2 * node.halfHeight - 1,
    };
    for (const c of layout.channels) {
      const [from, to] = [
        { x: c.x, y: c.top },
        { x: c.x, y: c.bottom },
      ];
      if (crosses([from, to], shape)) wrong.push(`channel ${c.channel} passes through ${node.id}`);
    }
    for (const edge of layout.edges) {
      if (edge.kind !== "weight") continue;
      for (let i = 0; i + 1 < edge.points.length; i++) {
        if (crosses([edge.points[i]!, edge.points[i + 1]!], shape))
          wrong.push(`${edge.title} passes through ${node.id}`);
      }
    }
  }
  expect(wrong).toEqual([]);
}

/** Pairs of weights between the same rows that cross; with `rng`, after channels and rows changed places at random. */
function crossings(circuit: Circuit, { nodes, channels }: StructureLayout, rng?: Rng): number {
  const shuffle = <T>(items: readonly T[]): readonly T[] =>
    rng === undefined ? items : rng.sample(items, items.length);
  const lines = shuffle(channels.map((c) => c.x));
  const lineX = new Map(channels.map((c, i) => [c.channel, lines[i]!]));
  const channelOf = new Map(circuit.nodes.map((n) => [n.id, n.channel]));
  const places = new Map<string, { x: number; y: number }>();
  for (const y of new Set(nodes.map((n) => n.y))) {
    const row = nodes.filter((n) => n.y === y);
    const xs = shuffle(row.map((n) => n.x));
    for (const [i, n] of row.entries()) {
      places.set(n.id, { x: n.shape === "tick" ? lineX.get(channelOf.get(n.id)!)! : xs[i]!, y });
    }
  }
  const ends = circuit.edges.map((e) => [places.get(e.source)!, places.get(e.target)!] as const);
  let count = 0;
  for (const [i, [p, q]] of ends.entries()) {
    for (const [r, s] of ends.slice(i + 1)) {
      if (p.y === r.y && q.y === s.y && (p.x - r.x) * (q.x - s.x) < 0) count++;
    }
  }
  return count;
}

describe("structure view", () => {
  it("law: nothing overlaps, nothing leaves the canvas, channels are straight, for 1 to 300 nodes", () => {
    fc.assert(
      fc.property(circuits(300), (circuit) => checkGeometry(circuit, structureLayout(circuit))),
      { numRuns: 25 },
    );
  });

  for (const nodes of [5, 20, 60, 150, 300]) {
    it(`dense circuits of ${nodes} nodes`, () => {
      const circuit = randomCircuit(nodes, nodes, 0.7);
      checkGeometry(circuit, structureLayout(circuit));
    });
  }

  it("the example: every weight is labelled, both sublayers named, tokens at top and bottom", () => {
    const circuit = exampleCircuit();
    const layout = structureLayout(circuit);
    checkGeometry(circuit, layout);
    expect(layout.omittedLabels).toBe(0);
    const texts = (role: string): string[] => layout.texts.filter((t) => t.role === role).map((t) => t.text);
    expect(texts("weight").sort()).toEqual(
      ["0.60", "0.60", "0.70", "-0.70", "1.20", "1.00", "3.00", "2.00", "3.00", "2.00", "2.00", "0.50", "-0.50"].sort(),
    );
    expect(texts("layer")).toEqual(["0.mlp", "1.attn"]);
    expect(texts("node")).toEqual(expect.arrayContaining(["Q.1.1", "K.1.1", "V.1.1", "15", "11", "8"]));
    const top = Math.min(...layout.nodes.map((n) => n.box.y));
    const bottom = Math.max(...layout.nodes.map((n) => n.box.y + n.box.height));
    for (const token of layout.tokens) {
      if (token.kind === "input") expect(token.y + token.height).toBeLessThan(top);
      else expect(token.y).toBeGreaterThan(bottom);
    }
    expect(layout.tokens.map((t) => [t.kind, t.answer])).toEqual([
      ["input", false],
      ["input", false],
      ["output", true],
      ["output", true],
    ]);
  });

  it("small circuits have all their labels", () => {
    for (let seed = 0; seed < 12; seed++) {
      const layout = structureLayout(randomCircuit(seed, 24, 0.5));
      const weighted = layout.edges.filter((e) => e.weight !== undefined).length;
      if (weighted <= 40) expect(layout.omittedLabels, `seed ${seed}, ${weighted} weights`).toBe(0);
    }
  });

  it("orders channels so that the planted circuit's weights cross at most once", () => {
    // Two neurons that both read two channels cannot do with less.
    expect(crossings(exampleCircuit(), structureLayout(exampleCircuit()))).toBe(1);
  });

  it("weights cross less than half as often as in a random order", () => {
    let [placed, shuffled] = [0, 0];
    for (let seed = 0; seed < 12; seed++) {
      const circuit = randomCircuit(seed, 20 + 10 * seed);
      const layout = structureLayout(circuit);
      placed += crossings(circuit, layout);
      for (let draw = 0; draw < 5; draw++) shuffled += crossings(circuit, layout, Rng.of("shuffled", seed, draw)) / 5;
    }
    expect(placed).toBeGreaterThan(0);
    expect(placed / shuffled).toBeLessThan(0.5);
  });

  it("says that the empty circuit is empty", () => {
    const layout = structureLayout(emptyCircuit());
    checkGeometry(emptyCircuit(), layout);
    expect(layout.texts.some((t) => t.text.includes("empty"))).toBe(true);
  });

  it("same circuit, same geometry", () => {
    expect(structureLayout(randomCircuit(9, 80))).toEqual(structureLayout(randomCircuit(9, 80)));
  });
});

describe("free-form view", () => {
  it("law: same circuit, same positions; all finite and different", () => {
    fc.assert(
      fc.property(circuits(60), (circuit) => {
        const points = forceLayout(circuit, { iterations: 60 });
        expect(forceLayout(circuit, { iterations: 60 })).toEqual(points);
        expect([...points.keys()]).toEqual(circuit.nodes.map((n) => n.id));
        const keys = new Set([...points.values()].map((p) => `${p.x},${p.y}`));
        expect(keys.size).toBe(circuit.nodes.length);
        for (const { x, y } of points.values()) expect(Number.isFinite(x) && Number.isFinite(y)).toBe(true);
      }),
      { numRuns: 8 },
    );
  });

  it("of the empty circuit is empty", () => {
    expect(forceLayout(emptyCircuit()).size).toBe(0);
  });
});

describe("placing in order", () => {
  it("law: no overlap, in order, inside where there is room", () => {
    const item = fc.record({
      desired: fc.double({ min: -500, max: 500, noNaN: true }),
      width: fc.double({ min: 0, max: 40, noNaN: true }),
    });
    fc.assert(
      fc.property(fc.array(item, { maxLength: 20 }), (items) => {
        const room = items.reduce((sum, i) => sum + i.width, 0);
        const lefts = placeInOrder(items, -100, room + 50);
        for (const [i, x] of lefts.entries()) {
          const end = i + 1 < lefts.length ? lefts[i + 1]! : room + 50;
          expect(x + items[i]!.width).toBeLessThanOrEqual(end + 1e-6);
          expect(x).toBeGreaterThanOrEqual(-100 - 1e-6);
        }
      }),
    );
  });

  it("moves nothing that fits", () => {
    expect(
      placeInOrder(
        [
          { desired: 3, width: 5 },
          { desired: 20, width: 5 },
        ],
        0,
        100,
      ),
    ).toEqual([3, 20]);
    expect(
      placeInOrder(
        [
          { desired: 10, width: 4 },
          { desired: 10, width: 4 },
        ],
        0,
        100,
      ),
    ).toEqual([8, 12]);
  });
});

describe("text", () => {
  it("widths of wide characters, emoji and joined emoji", () => {
    expect(cellWidth("abc")).toBe(3);
    expect(cellWidth("漢字")).toBe(4);
    expect(cellWidth("🎉")).toBe(2);
    expect(cellWidth("👩‍👩‍👧")).toBe(2);
    expect(cellWidth("é")).toBe(1);
  });

  it("law: truncated text fits and is a prefix; padding is exact", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), fc.integer({ min: 2, max: 30 }), (text, cells) => {
        const cut = truncate(text, cells);
        expect(cellWidth(cut)).toBeLessThanOrEqual(cells);
        if (cut !== text) expect(text.startsWith(cut.slice(0, -1))).toBe(true);
        expect(cellWidth(padCells(text, cells))).toBe(cells);
      }),
    );
  });

  it("shows what cannot be seen", () => {
    expect(visibleToken(" a\n")).toBe("␣a\\n");
    expect(visibleToken("")).toBe("∅");
    expect(oneLine("\u001b[31m\ud800x\u202e")).toBe("\\x1b[31m\ufffdx\\x202e");
  });
});
