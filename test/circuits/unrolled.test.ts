/** Circuits unrolled on prompts: numbers are those of the model, figures fit their page and keep their texts apart. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { drawFigure } from "../../src/circuits/export/figure.ts";
import { PALETTE_NAMES } from "../../src/circuits/export/palette.ts";
import { whyNotDrawn } from "../../src/circuits/export/summary-view.ts";
import { overlaps } from "../../src/circuits/layout/scene.ts";
import { formatWeight } from "../../src/circuits/layout/text.ts";
import { type UnrolledLayout, unrolledLayout } from "../../src/circuits/layout/unrolled.ts";
import type { Circuit } from "../../src/circuits/schema.ts";
import { READABLE, unroll, WHOLE } from "../../src/circuits/trace.ts";
import { pdfText } from "../../src/drawing/pdf.ts";
import { pngBytes } from "../../src/drawing/png.ts";
import { svgText } from "../../src/drawing/svg.ts";
import { tikzText } from "../../src/drawing/tikz.ts";
import type { Activation } from "../../src/engine/engine.ts";
import { Tape } from "../../src/engine/tape.ts";
import { finalHidden } from "../../src/model/forward.ts";
import { Rng } from "../../src/util/rng.ts";
import { hasLatex, hasPoppler } from "../support/programs.ts";
import { useTempDir } from "../support/temp.ts";
import { checkDrawing, checkPdf, checkTikz } from "./drawings.ts";
import { circuits, emptyCircuit, exampleCircuit, randomCircuit, randomTrace } from "./support.ts";

import { engine, world, worlds } from "./worlds.ts";

const temp = useTempDir();

describe("tracing", () => {
  it("with every node kept: values, attention and answers of the model itself", () => {
    for (const over of [{}, { sink: true }]) {
      const { circuit, traces, model, batch } = world(3, { share: 1, over });
      const recorded = new Map<string, Float32Array>();
      const tape = new Tape(engine, "nothing");
      const record = (name: string, x: Activation): void => void recorded.set(name, engine.read(x));
      finalHidden(tape, model, batch.tokens, { batch: 2, length: batch.length }, { record });
      tape.free();
      for (const [row, trace] of traces.entries()) {
        for (const answer of trace.answers) expect(answer.circuit).toBeCloseTo(answer.full, 4);
        expect(trace.answers.map((a) => a.right)).toEqual(row === 0 ? [true, false] : [false, true]);
        const at = (name: string, channel: number, position: number): number => {
          const values = recorded.get(name)!;
          return values[(row * batch.length + position) * (values.length / (2 * batch.length)) + channel]!;
        };
        for (const { id, layer, site, channel, head } of circuit.nodes) {
          for (const [position, value] of trace.values.get(id)!.entries()) {
            if (!Number.isNaN(value))
              expect(value, `${id}@${position}`).toBeCloseTo(at(`${layer}.${site}`, channel, position), 3);
          }
          if (site !== "attn.v") continue;
          // What attention gathers is what the model's heads bring.
          for (const [position, weights] of trace.attention.get(`${layer}.${head}`)!.entries()) {
            const values = trace.values.get(id)!;
            const sum = weights.slice(0, position + 1).reduce((total, w, p) => total + w * values[p]!, 0);
            expect(sum).toBeCloseTo(at(`${layer}.attn.y`, channel, position), 3);
          }
        }
      }
    }
  });
});

const PICTURES = [
  [exampleCircuit(), 9, "default"],
  [randomCircuit(4, 20), 40, "print"],
] as const;

/** Pairs of weights between the same rows of a column that cross; with `rng`, after the nodes of each row changed places. */
function crossings({ edges, nodes }: UnrolledLayout, rng?: Rng): number {
  const places = new Map<string, { readonly row: string; readonly x: number }>();
  const rows = new Map<string, typeof nodes>();
  for (const node of nodes) {
    const key = `${node.id.split("@")[1]} ${node.y}`;
    rows.set(key, [...(rows.get(key) ?? []), node]);
  }
  for (const [row, members] of rows) {
    const xs = members.map((n) => n.x);
    const mixed = rng === undefined ? xs : rng.sample(xs, xs.length);
    for (const [i, { id }] of members.entries()) places.set(id, { row, x: mixed[i]! });
  }
  const ends = edges.flatMap(({ kind, title, points }) => {
    if (kind !== "weight") return [];
    const named = /^(\S+) to (\S+)\n/.exec(title)!;
    const at = (name: string, x: number) =>
      places.get(nodes.find((n) => n.x === x && n.id.startsWith(`${name}@`))!.id)!;
    return [[at(named[1]!, points[0]!.x), at(named[2]!, points[1]!.x)] as const];
  });
  let count = 0;
  for (const [i, [p, q]] of ends.entries()) {
    for (const [r, s] of ends.slice(i + 1)) {
      if (p.row === r.row && q.row === s.row && (p.x - r.x) * (q.x - s.x) < 0) count++;
    }
  }
  return count;
}

describe("unrolled view", () => {
  it("law: no text covers another, nothing leaves the canvas, on short and long prompts", () => {
    fc.assert(
      fc.property(
        fc.oneof(worlds(0.3, 9), worlds(0.2, 100)),
        fc.constantFrom(...PALETTE_NAMES),
        ({ seed, ...options }, palette) => {
          const { circuit, traces } = world(seed, options);
          for (const trace of traces) checkDrawing(drawFigure(circuit, { trace, palette }));
        },
      ),
      { numRuns: 8 },
    );
  });

  it("numbers beside nodes are the traced activations; nodes do not cover each other", () => {
    for (const seed of [1, 2, 3]) {
      const { circuit, traces } = world(seed, { share: 0.25, length: 40 });
      for (const trace of traces) {
        const { nodes, texts } = unrolledLayout(circuit, trace);
        const known = nodes.filter(({ id }) => trace.values.has(id.split("@")[0]!));
        expect(known.length).toBeGreaterThan(5);
        for (const { id, box } of known) {
          const [name, position] = id.split("@");
          const value = trace.values.get(name!)![Number(position)]!;
          const inside = texts.filter((t) => overlaps(t, box, -0.5)).map((t) => t.text);
          expect(inside, id).toContain(formatWeight(Math.abs(value) < 1e-6 ? 0 : value));
        }
        for (const [i, a] of nodes.entries()) {
          for (const b of nodes.slice(i + 1)) expect(overlaps(a.box, b.box, -0.01), `${a.id} ${b.id}`).toBe(false);
        }
      }
    }
  });

  it("probabilities stand under the answers; tokens without a part are folded and counted", () => {
    const { circuit, traces } = world(5, { share: 0.1, length: 100 });
    const trace = traces[0]!;
    const { tokens, texts, bars } = unrolledLayout(circuit, trace);
    for (const { circuit: p, full } of trace.answers) {
      expect(texts.map((t) => t.text)).toEqual(expect.arrayContaining([p.toFixed(3), full.toFixed(3)]));
      expect(bars.map((b) => b.share)).toEqual(expect.arrayContaining([p, full]));
    }
    const shown = tokens.filter((t) => t.kind === "input" && t.token >= 0).length;
    const folded = texts.flatMap(({ text }) => (text.startsWith("×") ? [Number(text.slice(1))] : []));
    expect(shown).toBeLessThanOrEqual(24);
    expect(shown + folded.reduce((a, b) => a + b, 0)).toBe(100);
  });

  it("law: the same of random circuits of 5 to 300 nodes, no wider than their page", () => {
    fc.assert(
      fc.property(circuits(300), fc.constantFrom(5, 60), (circuit, length) => {
        const drawing = drawFigure(circuit, { trace: randomTrace(circuit, length, length) });
        checkDrawing(drawing);
        if (circuit.nodes.length <= 30) expect(drawing.width).toBeLessThanOrEqual(1050);
        else if (whyNotDrawn(circuit) === undefined) expect(drawing.width).toBeLessThanOrEqual(1600);
      }),
      { numRuns: 6 },
    );
  });

  it("has a legend of what is drawn: signs, attention, shades of activation, the grey of what is idle", () => {
    const legend = (circuit: Circuit): string[] =>
      unrolledLayout(circuit, randomTrace(circuit, 1, 9)).legend.map(({ sample }) => sample);
    expect(legend(exampleCircuit())).toEqual(
      expect.arrayContaining(["positive", "negative", "moved", "attention", "shades", "idle", "circle"]),
    );
    expect(legend(emptyCircuit())).toEqual([]);
    const svg = svgText(drawFigure(exampleCircuit(), { trace: randomTrace(exampleCircuit(), 1, 9) }));
    expect(svg).toContain("activation, from as ablated");
  });

  it("says how many nodes it leaves out, and leaves the weakest out", () => {
    const circuit = randomCircuit(7, 150);
    const trace = randomTrace(circuit, 7, 60);
    const { absent, nodes, texts } = unrolledLayout(circuit, trace);
    const drawn = new Set(nodes.map(({ id }) => id.split("@")[0]!).filter((id) => trace.values.has(id)));
    expect(drawn.size).toBeLessThan(circuit.nodes.length);
    expect(absent).toContain(`${drawn.size} of ${circuit.nodes.length} nodes are shown`);
    expect(texts.map((t) => t.text).join(" ")).toContain(absent);
  });

  it("of what goes to one node, what brings least is left out", () => {
    let [kept, left] = [0, 0];
    for (let seed = 0; seed < 4; seed++) {
      const circuit = randomCircuit(seed, 120, 0.4);
      const trace = randomTrace(circuit, seed, 9);
      const strength = ({ source, weight }: Circuit["edges"][number]): number =>
        Math.abs(weight * (trace.values.get(source)![8]! - trace.ablated.get(source)!));
      const shown = unroll(circuit, trace, { ...WHOLE, weak: 0.5 }).nodes.get(8)!;
      const ids = new Set(shown.map(({ id }) => id));
      for (const { id } of shown.filter((n) => n.site === "mlp.post_act" || n.site === "mlp.resid_delta")) {
        const into = circuit.edges.filter((e) => e.target === id);
        const most = Math.max(...into.map(strength));
        for (const edge of into) {
          if (strength(edge) >= 0.5 * most) expect(ids, `${edge.source} to ${id}`).toContain(edge.source);
          if (ids.has(edge.source)) kept++;
          else left++;
        }
      }
    }
    expect(Math.min(kept, left)).toBeGreaterThan(10);
  });

  it("tokens that bring most are shown, whatever the order in which they are met", () => {
    const circuit = exampleCircuit();
    const value = circuit.nodes.find((n) => n.site === "attn.v")!;
    const trace = randomTrace(circuit, 3, 40);
    const weights = trace.attention.get("1.1")!.map((row) => row.map(() => 0.02));
    const values = trace.values
      .get(value.id)!
      .map((_, p) => trace.ablated.get(value.id)! + (p === 11 ? 9 : p === 23 ? 8 : 5));
    const given = {
      ...trace,
      attention: new Map([["1.1", weights]]),
      values: new Map(trace.values).set(value.id, values),
    };
    expect(unroll(circuit, given, { share: 0.1, most: 3, weak: 0 }).positions).toEqual([11, 23, 39]);
  });

  it("weights within columns cross less than half as often as in a random order", () => {
    let [placed, shuffled] = [0, 0];
    for (let seed = 0; seed < 12; seed++) {
      const circuit = randomCircuit(seed, 20 + 10 * seed);
      const layout = unrolledLayout(circuit, randomTrace(circuit, seed, 30));
      placed += crossings(layout);
      for (let draw = 0; draw < 5; draw++) shuffled += crossings(layout, Rng.of("shuffled", seed, draw)) / 5;
    }
    expect(placed).toBeGreaterThan(0);
    expect(placed / shuffled).toBeLessThan(0.5);
  });

  it.skipIf(!hasPoppler)("Poppler draws in the PDF what resvg draws in the SVG", async () => {
    for (const [circuit, length, palette] of PICTURES) {
      await checkPdf(temp(), drawFigure(circuit, { trace: randomTrace(circuit, 1, length), palette }));
    }
  });

  it.skipIf(!hasLatex || !hasPoppler)("the TikZ compiles with pdflatex to the picture of the PDF", () => {
    for (const [circuit, length, palette] of PICTURES) {
      checkTikz(temp(), drawFigure(circuit, { trace: randomTrace(circuit, 1, length), palette }));
    }
  });

  it("every picture format writes it, with the same bytes again", async () => {
    const again = world(7, { share: 0.1 });
    const { circuit, traces } = world(7, { share: 0.1 });
    const drawings = [traces[0]!, again.traces[0]!].map((trace) => drawFigure(circuit, { trace }));
    for (const write of [svgText, pdfText, tikzText]) {
      const [a, b] = drawings.map(write);
      expect(a).toBe(b);
      expect(a).not.toMatch(/NaN|Infinity|undefined/);
    }
    expect(await pngBytes(drawings[0]!)).toEqual(await pngBytes(drawings[1]!));
  });

  it("the last token alone is shown of a circuit without attention", () => {
    const { circuit, traces } = world(2, { share: 0.3 });
    const nodes = circuit.nodes.filter((n) => n.site.startsWith("mlp"));
    const ids = new Set(nodes.map((n) => n.id));
    const within = <T extends { source: string; target: string }>(list: T[]) =>
      list.filter((e) => ids.has(e.source) && ids.has(e.target));
    const part = { ...circuit, nodes, edges: within(circuit.edges), links: within(circuit.links) };
    const { positions } = unroll(part, traces[0]!, READABLE[0]!);
    expect(positions).toEqual([8]);
    checkDrawing(drawFigure(part, { trace: traces[0]! }));
    checkDrawing(drawFigure({ ...part, nodes: [], edges: [], links: [] }, { trace: traces[0]! }));
  });
});
