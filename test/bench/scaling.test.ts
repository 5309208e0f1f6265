/** The figures of the benchmark say what was measured. */
import { expect, test } from "vitest";
import { type ScalingPoint, scalingFigures } from "../../bench/scaling.ts";
import { lineSpec } from "../../src/plots/lines.ts";
import { renderSvg } from "../../src/plots/svg.ts";

test("scaling has a figure for each thing that varies", async () => {
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
  const [first, second] = (await Promise.all([...figures.values()].map((f) => renderSvg(lineSpec(f))))) as [
    string,
    string,
  ];
  for (const text of ["1/16", "width 256", "2 threads, avx512", "exact", "every 10 steps"])
    expect(first).toContain(text);
  for (const text of ["1.00M nonzero weights", ">512<", ">width D<"]) expect(second).toContain(text);
});
