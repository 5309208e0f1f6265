/** Figures in every picture format: one geometry, drawn alike by programs that know nothing of each other. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { drawFigure, type FigureOptions, LAYOUTS, type Layout } from "../../src/circuits/export/figure.ts";
import { circuitLatex } from "../../src/circuits/export/latex.ts";
import { PALETTE_NAMES } from "../../src/circuits/export/palette.ts";
import { whyNotDrawn } from "../../src/circuits/export/summary-view.ts";
import type { Circuit } from "../../src/circuits/schema.ts";
import type { Mark } from "../../src/drawing/drawing.ts";
import { ADVANCE, drawable, outline, UNITS_PER_EM } from "../../src/drawing/font.ts";
import { escapeLatex } from "../../src/drawing/latex-text.ts";
import { pdfText } from "../../src/drawing/pdf.ts";
import { pngBytes } from "../../src/drawing/png.ts";
import { svgText } from "../../src/drawing/svg.ts";
import { tikzText } from "../../src/drawing/tikz.ts";
import { decodePng, inkGrid } from "../support/pixels.ts";
import { compile, hasLatex, hasPoppler, overfull } from "../support/programs.ts";
import { useTempDir } from "../support/temp.ts";
import { checkDrawing, checkPdf, checkTikz, marksOf, textsOf } from "./drawings.ts";
import { circuits, emptyCircuit, exampleCircuit, LABELS, nasty, randomCircuit, randomTrace } from "./support.ts";
import { madeTrace } from "./traces.ts";

const temp = useTempDir();

/** 100 reads of one layer, each read by 50 neurons. */
function largeCircuit(): Circuit {
  const base = exampleCircuit();
  const node = (site: "mlp.act_in" | "mlp.post_act", channel: number) => ({
    ...{ id: `0.${site}:${channel}`, site, layer: 0, channel, meanActivation: 0, importance: channel / 100 },
  });
  const reads = Array.from({ length: 100 }, (_, i) => node("mlp.act_in", i));
  const neurons = Array.from({ length: 50 }, (_, i) => node("mlp.post_act", i));
  const edges = reads.flatMap((r, i) =>
    neurons.map((n, j) => ({ source: r.id, target: n.id, weight: (i + j) % 3 ? 0.5 : -0.5, matrix: "c_fc" })),
  );
  return {
    ...base,
    nodes: [...reads, ...neurons],
    edges,
    links: [],
    embedding: [],
    unembedding: [],
    counts: { ...base.counts, nodes: 150, edges: 5000 },
  };
}

/** Code is a prompt's. */
function laidOut(circuit: Circuit, layout: Layout): FigureOptions {
  return layout === "code" ? { layout, trace: madeTrace(circuit, ["x", " =", "\n", '("']) } : { layout };
}

describe("drawings", () => {
  for (const layout of LAYOUTS) {
    it(`law: in layout ${layout} no text covers another, nothing leaves the canvas, for 5 to 300 nodes`, () => {
      fc.assert(
        fc.property(circuits(300), fc.constantFrom(...PALETTE_NAMES), (circuit, palette) =>
          checkDrawing(drawFigure(circuit, { ...laidOut(circuit, layout), palette })),
        ),
        { numRuns: layout === "force" ? 6 : 15 },
      );
    });
  }

  it("print is without colour and tells signs by dashes; the others by colour alone", () => {
    const circuit = exampleCircuit();
    const lines = (palette: (typeof PALETTE_NAMES)[number], sign: number) => {
      const title = sign < 0 ? "0.mlp.act_in:9 to 0.mlp.post_act:15" : "0.mlp.act_in:9 to 0.mlp.post_act:11";
      const { groups } = drawFigure(circuit, { palette });
      const item = groups.find((g) => g.name === "edges")!.items.find((i) => i.title!.startsWith(title))!;
      return (item.marks[0] as Extract<Mark, { type: "line" }>).stroke;
    };
    for (const layout of LAYOUTS) {
      const svg = svgText(drawFigure(circuit, { ...laidOut(circuit, layout), palette: "print" }));
      for (const [, r, g, b] of svg.matchAll(/#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})"/g)) {
        expect([r, g]).toEqual([g, b]);
      }
    }
    expect(lines("print", -1).dash).toBeDefined();
    expect(lines("print", 1).dash).toBeUndefined();
    for (const palette of ["default", "colorblind"] as const) {
      expect(lines(palette, -1).color).not.toBe(lines(palette, 1).color);
      expect(lines(palette, -1).dash).toBeUndefined();
    }
  });

  it("5,000 edges: numbers by site instead of a black square, and a reason", () => {
    const circuit = largeCircuit();
    expect(whyNotDrawn(exampleCircuit())).toBeUndefined();
    expect(whyNotDrawn(circuit)).toContain("150 nodes and 5000 edges");
    for (const layout of LAYOUTS) {
      const drawing = drawFigure(circuit, laidOut(circuit, layout));
      checkDrawing(drawing);
      const texts = textsOf(drawing).map(({ text }) => text);
      expect(texts).toEqual(expect.arrayContaining(["100 reads", "50 neurons", "5000"]));
      expect(texts.some((text) => text.startsWith("Too large"))).toBe(true);
      expect(marksOf(drawing).length).toBeLessThan(60);
    }
    expect(drawFigure(circuit, { trace: randomTrace(circuit, 1, 9) })).toEqual(drawFigure(circuit));
  });

  it("small losses have digits, not zeros", () => {
    const shown = (loss: number): string => {
      const circuit = { ...exampleCircuit(), fullTaskLoss: { train: loss, val: loss, test: loss } };
      return textsOf(drawFigure(circuit))
        .map(({ text }) => /full model (\S+)/.exec(text)?.[1])
        .find((text) => text !== undefined)!;
    };
    expect([0.2871, 0.0205, 0.00031, 0.00007, 0].map(shown)).toEqual(["0.287", "0.021", "0.00031", "7.0e-5", "0.000"]);
  });

  it("an answer that no entry moves stands beside the one that is moved", () => {
    const circuit = exampleCircuit();
    const texts = (c: Circuit): string[] => textsOf(drawFigure(c)).map(({ text }) => text);
    expect(texts(circuit)).not.toContain("the other answer");
    const one = { ...circuit, unembedding: circuit.unembedding.filter((e) => e.token === 1) };
    expect(texts(one)).toContain("the other answer");
    checkDrawing(drawFigure(one));
  });
});

describe("font", () => {
  it("has letters of several alphabets; what it lacks or would have to shape is spelt", () => {
    expect(drawable("a é ж Ω ␣ ∅ … ·")).toBe("a é ж Ω ␣ ∅ … ·");
    expect(drawable("🎉漢")).toBe("U+1F389U+6F22");
    expect(drawable("❤️")).toBe("❤");
    expect(drawable("שלום")).toMatch(/^(U\+05..){4}$/);
    expect(drawable("e\u0301")).toBe("é");
  });

  it("outlines end on the baseline and inside the advance", () => {
    for (const face of ["regular", "bold", "italic"] as const) {
      const points = outline(face, "H").filter((c) => c.type !== "Z");
      expect(Math.max(...points.map((p) => p.y))).toBe(0);
      expect(Math.min(...points.map((p) => p.y))).toBeCloseTo(-0.729 * UNITS_PER_EM, -1);
      expect(points.every((p) => p.x >= -150 && p.x <= ADVANCE + 150)).toBe(true);
    }
  });
});

describe("PNG", () => {
  it("is twice the drawing's size, not blank, and the same bytes again", async () => {
    const drawing = drawFigure(exampleCircuit());
    const png = await pngBytes(drawing);
    const pixels = decodePng(png);
    expect([pixels.width, pixels.height]).toEqual([2 * drawing.width, 2 * drawing.height]);
    const ink = inkGrid(pixels, 1, 1)[0]!;
    expect(ink).toBeGreaterThan(0.01);
    expect(ink).toBeLessThan(0.2);
    expect(await pngBytes(drawFigure(exampleCircuit()))).toEqual(png);
  });

  for (const label of LABELS) {
    it(`label ${JSON.stringify(label)} is read by a strict parser`, async () => {
      expect((await pngBytes(drawFigure(nasty(exampleCircuit(), label)))).length).toBeGreaterThan(1000);
    });
  }
});

describe("PDF", () => {
  it("law: objects are where the table says; nothing dated, no NaN; same bytes for the same circuit", () => {
    fc.assert(
      fc.property(circuits(80), (circuit) => {
        const text = pdfText(drawFigure(circuit));
        expect(pdfText(drawFigure(structuredClone(circuit)))).toBe(text);
        expect(text).toMatch(/^[\x20-\x7e\n]*$/);
        expect(text).not.toMatch(/NaN|Infinity|undefined|Date|\/Font/);
        const start = Number(/startxref\n(\d+)\n%%EOF\n$/.exec(text)![1]);
        const rows = text.slice(start).match(/^\d{10} 00000 n $/gm)!;
        expect(text.slice(start)).toMatch(new RegExp(`^xref\n0 ${rows.length + 1}\n`));
        for (const [i, row] of rows.entries()) {
          expect(text.slice(Number.parseInt(row, 10))).toMatch(new RegExp(`^${i + 1} 0 obj\n`));
        }
        for (const [, length, data] of text.matchAll(/\/Length (\d+) >>\nstream\n([\s\S]*?)\nendstream/g)) {
          expect(data!.length).toBe(Number(length));
        }
      }),
      { numRuns: 10 },
    );
  });

  it.skipIf(!hasPoppler)("Poppler draws in it what resvg draws in the SVG, on a page of the same size", async () => {
    for (const [circuit, options] of [
      [exampleCircuit(), {}],
      [exampleCircuit(), { palette: "print" }],
      [randomCircuit(4, 60), { layout: "force", palette: "colorblind" }],
      [largeCircuit(), {}],
      [emptyCircuit(), {}],
    ] as const) {
      await checkPdf(temp(), drawFigure(circuit, options));
    }
  });
});

describe("TikZ", () => {
  it("same circuit, same bytes", () => {
    expect(tikzText(drawFigure(randomCircuit(3, 60)))).toBe(tikzText(drawFigure(randomCircuit(3, 60))));
  });

  it("law: escaped text has no character that LaTeX acts on, but for its own commands", () => {
    const own =
      /\\text[a-z]+\{\}|\\(?:ss|ae|AE|o|O|l|L|oe|OE|dots)\{\}|\\ensuremath\{\\emptyset\}|\\[#$%&_ ]|\{["-]\}|\\.\{\\?[A-Za-z]\}/g;
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: "grapheme" }), fc.constantFrom(...LABELS)), (text) => {
        const rest = escapeLatex(text).replace(own, "");
        expect(rest).toMatch(/^[\x20-\x7e]*$/);
        expect(rest).not.toMatch(/[\\{}$&#^_%~]/);
      }),
    );
    expect(escapeLatex("naïve Čech 🎉")).toBe('na\\"{\\i}ve \\v{C}ech U+1F389');
  });

  it.skipIf(!hasLatex || !hasPoppler)("compiles with pdflatex to the picture of the PDF", () => {
    for (const circuit of [exampleCircuit(), randomCircuit(4, 60), largeCircuit(), emptyCircuit()]) {
      checkTikz(temp(), drawFigure(circuit));
    }
  });

  it.skipIf(!hasLatex)("compiles with every label", () => {
    // One document of all pictures: a run of LaTeX takes most of a second.
    const pages = TEXTS.map((label) => tikzText(drawFigure(nasty(exampleCircuit(), label))));
    const [head] = pages[0]!.split("\\begin{document}");
    const bodies = pages.map((page) => /\\begin\{document\}([\s\S]*)\\end\{document\}/.exec(page)![1]!);
    compile(temp(), "figures", `${head}\\begin{document}${bodies.join("\n\\clearpage\n")}\\end{document}\n`);
  });
});

/** Every label, and all of them cut into pieces. */
const TEXTS = [...LABELS, ...LABELS.join(" ").match(/.{1,20}/gsu)!];

describe("LaTeX tables", () => {
  it("a row for each node and edge, every row as wide as the head", () => {
    for (const circuit of [exampleCircuit(), randomCircuit(5, 120), nasty(exampleCircuit(), "a & b \\\\ c")]) {
      const { nodes, edges } = circuitLatex(circuit);
      for (const [text, count, columns] of [
        [nodes, circuit.counts.nodes, 5],
        [edges, circuit.counts.edges, 3],
      ] as const) {
        const rows = text.split("\n").filter((line) => line.endsWith(" \\tabularnewline"));
        expect(rows).toHaveLength(count + 1);
        for (const row of rows) expect(row.match(/(?<!\\)&/g)).toHaveLength(columns - 1);
        expect(text.match(/\\(top|mid|bottom)rule/g)).toEqual(
          expect.arrayContaining(["\\toprule", "\\midrule", "\\bottomrule"]),
        );
      }
    }
  });

  it("leaves out columns that would be empty", () => {
    const circuit = exampleCircuit();
    const bare = circuit.nodes.map(({ reads: _, label: __, ...node }) => node);
    expect(circuitLatex({ ...circuit, nodes: bare }).nodes).not.toMatch(/Driven by|Label/);
    expect(circuitLatex(circuit).nodes).toMatch(/Driven by & Label/);
  });

  it.skipIf(!hasLatex)(
    "compile with every label, no wider than an article's text, over pages where they are long",
    () => {
      const wide = "a label of some words, and_one_that_is_long_and_has_no_place_to_break_but_within";
      const far = (circuit: Circuit): Circuit => ({
        ...circuit,
        nodes: circuit.nodes.map((n) => ({
          ...n,
          id: n.id.replace(/^(\d+)\.(.+:)/, "1$1.$210"),
          meanActivation: -0.0085,
        })),
      });
      const given = [
        ...[exampleCircuit(), randomCircuit(5, 120), far(randomCircuit(4, 30))],
        ...[...TEXTS, wide].map((label) => nasty(exampleCircuit(), label)),
        nasty(far(randomCircuit(4, 30)), wide),
      ];
      const bodies = given.map((circuit) =>
        Object.values(circuitLatex(circuit)).map((table) => `\\noindent\n${table}`),
      );
      const text = `\\documentclass{article}\\usepackage{booktabs,longtable}\\begin{document}\n${bodies.flat().join("\n\\clearpage\n")}\\end{document}\n`;
      compile(temp(), "tables", text);
      expect(overfull(temp(), "tables").filter((points) => points > 1)).toEqual([]);
    },
  );
});
