/** Line plots: well-formed, the same bytes every time, and true to the numbers. */
import { expect, test } from "vitest";
import { type Figure, lineSpec } from "../../src/plots/lines.ts";
import { renderSvg } from "../../src/plots/svg.ts";

const figure: Figure = {
  title: "Cost & size",
  caption: ['of "S", n = 3', "second line"],
  panels: [
    {
      title: "Time",
      x: { label: "nonzero weights", log: true },
      y: { label: "ms", log: true },
      top: { label: "density", ticks: [{ at: 1000, label: "1/64" }] },
      series: [
        {
          name: "exact",
          points: [
            { x: 1000, y: 50 },
            { x: 64000, y: 50 },
          ],
        },
        { name: "every 10th", points: [{ x: 1000, y: 51 }] },
      ],
    },
    {
      title: "Chance",
      x: {
        label: "a label that is too long for the width of a panel and goes on below",
        ticks: [{ at: 3, label: "three" }],
      },
      y: { label: "p", domain: [0, 1] },
      series: [
        {
          name: "exact",
          points: [
            { x: 2, y: 0.25, low: 0.2, high: 0.3 },
            { x: 3, y: 0.75, low: 0.7, high: 0.8 },
          ],
        },
      ],
      level: 0.5,
    },
  ],
};

const svg = await renderSvg(lineSpec(figure));

test("the same figure gives the same bytes, escaped, without a place that is not a number", async () => {
  expect(await renderSvg(lineSpec(figure))).toBe(svg);
  expect(svg).toContain("Cost &amp; size");
  expect(svg).not.toMatch(/\.\d{4}/);
  expect(svg).not.toMatch(/NaN|Infinity|undefined|null/);
  expect(svg.match(/<g[ >]/g)!.length).toBe(svg.match(/<\/g>/g)!.length);
});

test("labels, captions and ticks are there, long labels on two lines", () => {
  for (const text of [
    "ms",
    "nonzero weights",
    "density",
    "1/64",
    "exact",
    "every 10th",
    "second line",
    "three",
    "10k",
  ]) {
    expect(svg).toContain(`>${text}<`);
  }
  expect(svg).not.toContain("panel and goes on below</text>");
});

test("a flat line is flat, a band is around its line, the level at its height", () => {
  const lines = [...svg.matchAll(/<path[^>]* d="(M[^"]*)"[^>]* stroke-width="1.8"/g)].map(([, d]) => d!);
  const heights = (d: string): number[] => [...d.matchAll(/[ML][\d.]+,([\d.]+)/g)].map(([, y]) => Number(y));
  const flat = heights(lines[0]!);
  expect(flat).toHaveLength(2);
  expect(flat[0]).toBe(flat[1]);
  expect(heights(lines.at(-1)!)).toEqual([150, 50]);
  expect(svg.match(/<line transform="translate\(270,100\)" x2="-270" y2="0"/g)).toHaveLength(1);
  const band = heights(/<path[^>]* d="(M[^"]*Z)"[^>]* opacity="0.18"/.exec(svg)![1]!);
  expect(band).toEqual([160, 60, 40, 140]);
});

test("a text that names what every object has is drawn like any other", async () => {
  const word = "constructor";
  const drawn = await renderSvg(
    lineSpec({
      title: word,
      caption: [],
      panels: [
        { title: "", x: { label: "toString" }, y: { label: "y" }, series: [{ name: word, points: [{ x: 1, y: 1 }] }] },
      ],
    }),
  );
  expect(drawn.match(/>constructor</g)).toHaveLength(2);
  expect(drawn).toContain(">toString<");
  expect(drawn).not.toContain("\u200b");
});

test("ticks below 1 are written plainly; a logarithmic axis has room for its band and level", async () => {
  const points = [
    { x: 0.0001, y: 0.2, low: 0.02, high: 0.5 },
    { x: 0.0004, y: 0.3, low: 0.03, high: 0.6 },
  ];
  const y = { label: "y", log: true };
  const panel = { title: "", x: { label: "x" }, y, series: [{ name: "a", points }], level: 2 };
  const drawn = await renderSvg(lineSpec({ title: "", caption: [], panels: [panel] }));
  for (const tick of ["0.1", "0.0002"]) expect(drawn).toContain(`>${tick}<`);
  const band = /<path[^>]* d="(M[^"]*Z)"[^>]* opacity="0.18"/.exec(drawn)![1]!;
  const level = /<line transform="translate\(270,([-\d.]+)\)" x2="-270"/.exec(drawn)![1]!;
  for (const height of [level, ...[...band.matchAll(/,([-\d.]+)/g)].map(([, h]) => h!)]) {
    expect(Number(height)).toBeGreaterThanOrEqual(0);
    expect(Number(height)).toBeLessThanOrEqual(200);
  }
});
