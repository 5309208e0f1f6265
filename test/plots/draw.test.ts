/** Plots as drawings: nothing overlaps or leaves the canvas, true to the numbers, and the same picture in every format. */
import type { TopLevelSpec } from "vega-lite";
import { expect, test } from "vitest";
import type { Drawing, Point } from "../../src/drawing/drawing.ts";
import { pdfText } from "../../src/drawing/pdf.ts";
import { PICTURE_FORMATS, PICTURES } from "../../src/drawing/pictures.ts";
import { pngBytes } from "../../src/drawing/png.ts";
import { svgText } from "../../src/drawing/svg.ts";
import { tikzText } from "../../src/drawing/tikz.ts";
import { Canvas } from "../../src/plots/canvas.ts";
import { drawPlot } from "../../src/plots/draw.ts";
import { type Figure, lineSpec, type Panel } from "../../src/plots/lines.ts";
import { checkDrawing, marksOf, textsOf } from "../circuits/drawings.ts";
import { decodePng, likeness, renderPdf } from "../support/pixels.ts";
import { compile, hasLatex, hasPoppler } from "../support/programs.ts";
import { useTempDir } from "../support/temp.ts";
import { parseXml } from "../support/xml.ts";

const temp = useTempDir();
const x = { label: "step" };
const points = (...heights: number[]) => heights.map((y, i) => ({ x: 10 * i, y, low: 0.9 * y, high: 1.1 * y }));
const PANELS: Panel[] = [
  {
    title: "Loss",
    x,
    y: { label: "nats", log: true },
    series: [{ name: "a", points: points(4, 2, 1, 0.1) }],
    level: 0.2,
  },
  {
    title: "Rate",
    x,
    y: { label: "a label of two lines at this height" },
    series: [{ name: "", points: points(0, 3) }],
    size: [150, 120],
  },
  {
    title: "Values",
    ...{ x: { label: "" }, y: { label: "share", domain: [0, 1], sqrt: true }, bars: true, place: 12 },
    series: [
      { name: "text", muted: true, points: points(0.5, 0.25, 0.25, 0.25) },
      { name: "b", points: points(0, 0, 1, 1) },
    ],
  },
];
const FIGURE: Figure = { title: "Größe <& more>", caption: ["n = 3"], panels: PANELS, columns: 2 };
const draw = (figure: Figure, palette?: "print") => drawPlot(lineSpec(figure, palette), figure.title);
const drawing = await draw(FIGURE);
const png = await pngBytes(drawing);

/** Paths with a stroke of the lines' width, by colour. */
function linesOf(d: Drawing, color: string): Point[][] {
  return marksOf(d).flatMap((m) =>
    m.type === "path" && m.stroke?.width === 1.8 && m.stroke.color === color
      ? [m.commands.filter((c) => c.type !== "Z")]
      : [],
  );
}

test("texts are apart and inside, and each is there; labels of heights read upwards", () => {
  checkDrawing(drawing);
  const texts = textsOf(drawing);
  for (const text of [FIGURE.title, "n = 3", "Loss", "Rate", "Values", "nats", "a", "b", "text", "1", "0.1"]) {
    expect(texts.map((t) => t.text)).toContain(text);
  }
  expect(texts.filter(({ angle }) => angle === -90).map((t) => t.text)).toEqual(
    expect.arrayContaining(["nats", "share", "a label of two"]),
  );
});

test("heights are to scale: logarithms, square roots, and bars that reach down to 0", () => {
  const [log] = linesOf(drawing, "#0072b2") as [Point[]];
  const [a, b, c, d] = log.map(({ y }) => y) as [number, number, number, number];
  expect(b - a).toBeCloseTo(c - b, 1);
  expect((d - c) / (c - b)).toBeCloseTo(Math.log2(10), 1);
  const [bars] = linesOf(drawing, "#d55e00") as [Point[]];
  const heights = [...new Set(bars.map(({ y }) => y))];
  expect(heights).toHaveLength(2);
  const [text] = linesOf(drawing, "#5c5c5c").filter((path) => path.length > 2) as [Point[]];
  expect((heights[0]! - text[0]!.y) / (heights[0]! - heights[1]!)).toBeCloseTo(Math.sqrt(0.5), 2);
});

test("every format writes it, the same bytes every time", async () => {
  const again = await draw(structuredClone(FIGURE));
  expect(again).toEqual(drawing);
  expect(PICTURE_FORMATS).toEqual(["svg", "pdf", "png", "tikz"]);
  for (const name of ["svg", "pdf", "tikz"] as const) {
    const text = PICTURES[name].write(drawing);
    expect(PICTURES[name].write(again)).toBe(text);
    expect(text).not.toMatch(/NaN|Infinity|undefined/);
  }
  expect(parseXml(svgText(drawing))[0]!.name).toBe("svg");
});

test("the print palette is grey, and lines still differ", async () => {
  const print = await draw(FIGURE, "print");
  for (const hex of Object.values(print.colors)) expect(hex).toMatch(/^#(..)\1\1$/);
  const dashes = marksOf(print).flatMap((m) =>
    m.type === "path" && m.stroke?.width === 1.8 ? [`${m.stroke.dash}`] : [],
  );
  expect(new Set(dashes).size).toBe(3);
});

test.skipIf(!hasPoppler)("Poppler draws in the PDF what resvg draws in the SVG", async () => {
  const pdf = renderPdf(temp(), pdfText(drawing));
  expect(likeness(decodePng(png), pdf)).toBeGreaterThan(0.97);
});

test.skipIf(!hasLatex || !hasPoppler)("pdflatex too, but for the letters", () => {
  const latex = renderPdf(temp(), compile(temp(), "plot", tikzText(drawing)));
  expect(likeness(latex, renderPdf(temp(), pdfText(drawing)))).toBeGreaterThan(0.9);
});

test("what is clipped is not seen outside", async () => {
  const spec = {
    width: 100,
    height: 50,
    data: {
      values: [
        { x: 0, y: 0 },
        { x: 1, y: 9 },
      ],
    },
    mark: { type: "line", clip: true, color: "#ff0000", strokeWidth: 6 },
    encoding: {
      x: { field: "x", type: "quantitative", axis: null },
      y: { field: "y", type: "quantitative", scale: { domain: [0, 1] }, axis: null },
    },
  } as TopLevelSpec;
  const clipped = await drawPlot(spec, "clipped");
  const item = clipped.groups[0]!.items.find(({ clip }) => clip !== undefined)!;
  expect(item.clip).toMatchObject({ width: 100, height: 50 });
  expect(svgText(clipped)).toMatch(/<clipPath id="([^"]+)">.*clip-path="url\(#\1\)"/s);
  const top = 2 * item.clip!.y;
  const pixels = decodePng(await pngBytes(clipped));
  const { grey, width } = pixels;
  const dark = [...grey.keys()].filter((i) => grey[i]! < 120).map((i) => Math.floor(i / width));
  expect(dark.length).toBeGreaterThan(50);
  expect(Math.min(...dark)).toBeGreaterThanOrEqual(top - 1);
  if (hasPoppler) expect(likeness(pixels, renderPdf(temp(), pdfText(clipped)))).toBeGreaterThan(0.95);
});

test("circles are round wherever the canvas was moved, and colours that are not known are refused", () => {
  const canvas = new Canvas((text) => text);
  canvas.translate(30, 40);
  canvas.rotate(1);
  canvas.fillStyle = "#abc";
  canvas.beginPath();
  canvas.arc(0, 0, 10, 0, 2 * Math.PI);
  canvas.fill();
  const [mark] = canvas.items[0]!.marks;
  if (mark?.type !== "path") throw new Error("no path");
  expect(mark.fill).toEqual({ color: "#aabbcc" });
  const ends = mark.commands.filter((c) => c.type !== "Z");
  for (const { x, y } of ends) expect(Math.hypot(x - 30, y - 40)).toBeCloseTo(10, 6);
  for (const [i, c] of mark.commands.entries()) {
    if (c.type !== "C") continue;
    const from = ends[i - 1]!;
    const [mx, my] = [(from.x + 3 * c.x1 + 3 * c.x2 + c.x) / 8, (from.y + 3 * c.y1 + 3 * c.y2 + c.y) / 8];
    expect(Math.hypot(mx - 30, my - 40)).toBeCloseTo(10, 2);
  }
  canvas.fillStyle = "rebeccapurple";
  expect(() => canvas.fill()).toThrow(RangeError);
});
