/** The plots of the benchmark: round numbers on the axes, well-formed text, and the same bytes for the same data. */
import { describe, expect, test } from "vitest";
import { type Figure, figureSvg, logTicks, tickLabel } from "../../bench/plot.ts";
import { type ScalingPoint, scalingFigures } from "../../bench/scaling.ts";

const figure: Figure = {
  title: "Cost & size",
  subtitle: 'of "S"',
  panels: [
    {
      title: "Time",
      x: { label: "nonzero weights" },
      y: { label: "ms" },
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
  ],
};

test("ticks are round and lie within", () => {
  expect(logTicks(3, 120)).toEqual([5, 10, 20, 50, 100]);
  expect(logTicks(12_000, 4_200_000)).toEqual([100_000, 1_000_000]);
  expect(logTicks(0.02, 0.5)).toEqual([0.02, 0.05, 0.1, 0.2, 0.5]);
  expect([0.05, 500, 2000, 20_000, 1.5e6].map(tickLabel)).toEqual(["0.05", "500", "2000", "20k", "1.5M"]);
});

describe("a figure", () => {
  const svg = figureSvg(figure);

  test("is the same every time, escaped, and has no place that is not a number", () => {
    expect(figureSvg(figure)).toBe(svg);
    expect(svg).toContain("Cost &amp; size");
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
    expect(svg.match(/<text/g)!.length).toBe(svg.match(/<\/text>/g)!.length);
  });

  test("shows every point, the labels, and a flat line as flat", () => {
    expect(svg.match(/<circle/g)).toHaveLength(2 + 1);
    for (const label of ["ms", "nonzero weights", "density", "1/64", "exact", "every 10th", "10k"]) {
      expect(svg).toContain(`>${label}</text>`);
    }
    const [, from, to] = /M[\d.]+ ([\d.]+)L[\d.]+ ([\d.]+)" fill="none"/.exec(svg)!;
    expect(from).toBe(to);
  });
});

test("scaling has a figure for each thing that varies", () => {
  const point = (series: "density" | "width", i: number, mode: "exact" | "every-10"): ScalingPoint => ({
    series,
    width: series === "width" ? 128 << i : 256,
    density: 1 / 4 ** i,
    nonzeros: 1_000_000 / (series === "width" ? 1 : 4 ** i),
    mode,
    ms: 100 + i,
    cpuMs: 200,
    minMs: 90,
    bytes: 5e8 * (i + 1),
    threads: 2,
    isa: "avx512",
  });
  const points = (["density", "width"] as const).flatMap((series) =>
    [0, 1, 2].flatMap((i) => [point(series, i, "exact"), point(series, i, "every-10")]),
  );
  const figures = scalingFigures(points);
  expect([...figures.keys()]).toEqual(["scaling-nonzeros.svg", "scaling-width.svg"]);
  const [first, second] = [...figures.values()].map(figureSvg) as [string, string];
  for (const text of ["1/16", "width 256", "2 threads, avx512", "exact", "every 10 steps"])
    expect(first).toContain(text);
  for (const text of ["1M nonzero weights", ">512<", ">width D<"]) expect(second).toContain(text);
});
