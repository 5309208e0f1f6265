/** The code view: the prompt stays the text that it is, arcs join the tokens that they are of, nothing covers text. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { codeView } from "../../src/circuits/export/code-view.ts";
import { drawFigure } from "../../src/circuits/export/figure.ts";
import { PALETTE_NAMES, PALETTES } from "../../src/circuits/export/palette.ts";
import { codeLayout } from "../../src/circuits/layout/code.ts";
import { foldLines, setCode } from "../../src/circuits/layout/code-text.ts";
import { overlaps } from "../../src/circuits/layout/scene.ts";
import { pdfText } from "../../src/drawing/pdf.ts";
import { pngBytes } from "../../src/drawing/png.ts";
import { svgText } from "../../src/drawing/svg.ts";
import { tikzText } from "../../src/drawing/tikz.ts";
import { renderPdf } from "../support/pixels.ts";
import { compile, hasLatex, hasPoppler } from "../support/programs.ts";
import { useTempDir } from "../support/temp.ts";
import { parseXml } from "../support/xml.ts";
import { checkDrawing, textsOf } from "./drawings.ts";
import { emptyCircuit, exampleCircuit, LABELS, nasty, randomCircuit } from "./support.ts";
import { madeTrace } from "./traces.ts";

const temp = useTempDir();
const EOT = "<|endoftext|>";
const PROMPT = [EOT, "x", " =", " (", '"a', '"', ")", "\n", "print", "(", '"b'];

const token = fc.oneof(
  fc.constantFrom(...LABELS, "", " ", "\n", "\n\n    ", "\r\n", "\t", "  x", "for", '("', "a".repeat(150)),
  fc.string({ unit: "grapheme", maxLength: 12 }),
);
const prompts = fc.array(token, { minLength: 1, maxLength: 60 }).map((tokens) => [EOT, ...tokens]);

describe("text as code", () => {
  it("law: keeps every letter in order, none on another, lines as short as asked", () => {
    fc.assert(
      fc.property(
        fc.array(fc.stringMatching(/^[ -~\n]{0,40}$/), { maxLength: 40 }),
        fc.integer({ min: 8, max: 60 }),
        (tokens, most) => {
          const { pieces, lines } = setCode(
            tokens.map((text) => ({ text })),
            most,
          );
          const text = pieces.map((p) => (p.isBreak ? "\n" : p.text)).join("");
          expect(text).toBe(tokens.map((t) => t || "∅").join(""));
          expect(new Set(pieces.map((p) => p.position)).size).toBe(tokens.length);
          for (const [i, piece] of pieces.entries()) {
            const next = pieces[i + 1];
            if (!piece.isBreak) expect(piece.cell + piece.cells).toBeLessThanOrEqual(most);
            if (next?.line === piece.line) expect(next.cell).toBe(piece.cell + piece.cells);
            else if (next) expect(next.line).toBe(piece.line + 1);
            else expect(lines).toBe(piece.line + (piece.isBreak ? 2 : 1));
            if (piece.isBreak && next) expect(next).toMatchObject({ line: piece.line + 1, cell: 0 });
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  it("tabs go to the next stop, a long line continues indented, end of text has a line of its own", () => {
    const { pieces, continues } = setCode(
      [EOT, "a\tb", "\n", "one", " two", " three"].map((text) => ({ text })),
      9,
    );
    expect(pieces.map(({ text, line, cell }) => [text, line, cell])).toEqual([
      ["<|endofte", 0, 0],
      ["xt|>", 1, 4],
      ["a   b", 2, 0],
      ["", 2, 5],
      ["one", 3, 0],
      [" two", 3, 3],
      [" thre", 4, 4],
      ["e", 5, 4],
    ]);
    expect([0, 1, 2, 3, 4, 5].map(continues)).toEqual([false, true, false, false, true, true]);
  });

  it("runs of lines that are not kept are one row, one or two stay", () => {
    const kept = new Set([0, 3, 8]);
    const rows = foldLines(10, (line) => kept.has(line));
    expect([...Array(10).keys()].map(rows.of)).toEqual([0, 1, 2, 3, ...Array(4).fill(undefined), 5, 6]);
    expect([...rows.folds]).toEqual([[4, 4]]);
    expect(rows.count).toBe(7);
  });
});

describe("code view", () => {
  it("law: whatever the prompt, labels and nodes, no text covers another, nothing leaves the canvas, same bytes", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 1e6 }),
        fc.integer({ min: 5, max: 300 }),
        prompts,
        fc.constantFrom(...LABELS),
        fc.constantFrom(...PALETTE_NAMES),
        (seed, nodes, tokens, label, palette) => {
          const circuit = nasty(randomCircuit(seed, nodes, 0.1), label);
          const trace = madeTrace(circuit, tokens, { seed });
          const drawing = codeView(circuit, trace, PALETTES[palette]);
          checkDrawing(drawing);
          expect(codeView(structuredClone(circuit), structuredClone(trace), PALETTES[palette])).toEqual(drawing);
        },
      ),
      { numRuns: 12 },
    );
  });

  it("law: tokens of a panel stand apart inside of it, arcs run from the token read to the one that reads", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1e6 }), prompts, (seed, tokens) => {
        const circuit = randomCircuit(seed, 40, 0.4);
        const trace = madeTrace(circuit, tokens, { seed });
        const { panels } = codeLayout(circuit, trace);
        for (const [i, panel] of panels.entries()) {
          expect(panels.slice(i + 1).filter((other) => overlaps(panel, other))).toEqual([]);
          for (const [j, t] of panel.tokens.entries()) {
            expect(t.x >= panel.x && t.x + t.width <= panel.x + panel.width).toBe(true);
            expect(t.y >= panel.y && t.y + t.height <= panel.y + panel.height).toBe(true);
            expect(panel.tokens.slice(j + 1).filter((other) => overlaps(t, other, -0.01))).toEqual([]);
          }
          const head = circuit.nodes.find(({ id }) => id === panel.id);
          for (const { points, title, attention, shade } of panel.arcs) {
            const [query, source] = [...title.matchAll(/token (\d+) /g)].map((m) => Number(m[1]));
            expect(attention).toBe(trace.attention.get(`${head!.layer}.${head!.head}`)![query!]![source!]);
            for (const [point, position] of [
              [points[0]!, source],
              [points[points.length - 1]!, query],
            ] as const) {
              const box = panel.tokens.find((t) => t.position === position)!;
              // A loop begins and ends a little beside the middle.
              expect(Math.abs(point.x - box.x - box.width / 2)).toBeLessThanOrEqual(3);
              expect([box.y, box.y + box.height]).toContain(point.y);
              if (position === query) expect(box.reads).toBe(true);
            }
            expect(Math.sign(shade)).toBeOneOf([0, Math.sign(trace.values.get(panel.id!)![source!]!)]);
            for (const { x, y } of points) expect(x > panel.x && x < panel.x + panel.width && y > panel.y).toBe(true);
          }
        }
      }),
      { numRuns: 20 },
    );
  });

  const circuit = exampleCircuit();
  const value = "1.attn.v:5";

  it("shows the node's values as shades of either sign, and its label, head and answers", () => {
    const at = PROMPT.map((text) => (text === '"a' ? 2 : text === "x" ? -1 : text === ")" ? 0.1 : 0));
    const trace = madeTrace(circuit, PROMPT, { values: new Map([[value, at]]) });
    const panel = codeLayout(circuit, trace).panels.find(({ id }) => id === value)!;
    expect(panel.tokens.map((t) => t.shade)).toEqual(at.map((v) => (Math.abs(v) < 0.2 ? 0 : v / 2)));
    const texts = textsOf(codeView(circuit, trace, PALETTES.default)).map(({ text }) => text);
    expect(texts).toEqual(expect.arrayContaining(["V.1.1", "which quote it was", "0.750", "0.900", '("'.slice(1)]));
    expect(texts).toContain("1.attn.v:5 · looks by Q.1.1 K.1.1");
  });

  it("a node that carries the same at every token has no panel; a note names it", () => {
    const values = new Map(circuit.nodes.map(({ id }) => [id, PROMPT.map((_, i) => 1 + 0.001 * i)]));
    const drawing = codeView(circuit, madeTrace(circuit, PROMPT, { values }), PALETTES.default);
    const texts = textsOf(drawing).map(({ text }) => text);
    expect(texts).toContain("the prompt");
    expect(texts.join(" ")).toContain("The same at every token: 0.mlp.post_act:11, ");
    checkDrawing(drawing);
  });

  it("shows the most important of many nodes and says how many are left", () => {
    const many = randomCircuit(2, 200, 0.6);
    const ranked = { ...many, nodes: many.nodes.map((n, i) => ({ ...n, importance: i })) };
    const drawing = codeView(ranked, madeTrace(ranked, PROMPT), PALETTES.default);
    const { panels } = codeLayout(ranked, madeTrace(ranked, PROMPT));
    expect(panels).toHaveLength(8);
    const places = panels.map(({ id }) => ranked.nodes.findIndex((n) => n.id === id));
    expect(places).toEqual([...places].sort((a, b) => a - b));
    const note = textsOf(drawing).find(({ text }) => text.includes("more nodes carry something"))!;
    expect(Number.parseInt(note.text, 10)).toBeGreaterThan(0);
  });

  it("leaves out lines of a long prompt where little happens, never the ends of an arc", () => {
    const tokens = [EOT, ...Array.from({ length: 90 }, (_, i) => (i % 3 === 2 ? "\n" : `t${i}`)), "end"];
    const busy = tokens.map((_, i) => (i === 4 ? 3 : 0));
    const trace = madeTrace(circuit, tokens, { values: new Map(circuit.nodes.map(({ id }) => [id, busy])) });
    const { panels, texts } = codeLayout(circuit, trace);
    const shown = new Set(panels.flatMap((p) => p.tokens.map((t) => t.position)));
    expect(shown.size).toBeLessThan(30);
    for (const position of [0, 4, tokens.length - 1]) expect(shown).toContain(position);
    const folded = texts.filter((t) => /^… \d+ lines$/.test(t.text));
    expect(folded.length).toBeGreaterThan(0);
    checkDrawing(codeView(circuit, trace, PALETTES.default));
  });

  it("of a circuit without nodes: the prompt and its answers", () => {
    checkDrawing(codeView(emptyCircuit(), madeTrace(emptyCircuit(), PROMPT), PALETTES.default));
  });

  it("is drawn in every picture format; without a prompt it is refused", async () => {
    const drawing = drawFigure(circuit, { layout: "code", trace: madeTrace(circuit, PROMPT) });
    expect(parseXml(svgText(drawing)).map(({ name }) => name)).not.toContain("text");
    expect(pdfText(drawing)).not.toMatch(/NaN|undefined/);
    expect(tikzText(drawing)).not.toMatch(/NaN|undefined|U\+/);
    const small = codeView(emptyCircuit(), madeTrace(emptyCircuit(), PROMPT), PALETTES.default);
    expect((await pngBytes(small)).length).toBeGreaterThan(1000);
    expect(() => drawFigure(circuit, { layout: "code" })).toThrow(/of a circuit on a prompt/);
  });

  it.skipIf(!hasLatex || !hasPoppler)("pdflatex sets it on a page of its size", () => {
    const drawing = codeView(circuit, madeTrace(circuit, PROMPT), PALETTES.print);
    const { width, height } = renderPdf(temp(), compile(temp(), "code", tikzText(drawing)));
    expect(Math.abs(width - drawing.width)).toBeLessThanOrEqual(1);
    expect(Math.abs(height - drawing.height)).toBeLessThanOrEqual(1);
  });
});
