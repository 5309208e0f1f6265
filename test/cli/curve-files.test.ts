/** The files of a run's curves: data, table and figure that say the same, the same bytes every time. */
import * as fs from "node:fs";
import * as path from "node:path";
import { expect, it } from "vitest";
import { writeCurves } from "../../src/cli/curve-files.ts";
import { withCurve } from "../circuits/support.ts";
import { useTempDir } from "../support/temp.ts";
import { recorder } from "./programs.ts";

const temp = useTempDir();
const a = { task: "task_a", circuit: withCurve({ 0.5: 2, 0.1: 4, 0.05: 9 }) };
const b = { task: "task_b", circuit: withCurve({ 0.5: 8, 0.1: 25 }) };
const NAMES = ["curves.json", "curves.csv", "curves.svg"];

/** Heights of the drawn lines' ends, a list for each line. */
const lines = (svg: string): string[] =>
  [...svg.matchAll(/<path[^>]* d="(M[^"]*)"[^>]* stroke-width="([\d.]+)"/g)].map(
    ([, d, width]) => `${width} ${d!.split("L").length}`,
  );

it("writes each task and the mean, which ends where a task does", async () => {
  const { out, text } = recorder();
  const files = await writeCurves(temp("circuits"), [a, b], out);
  expect(files).toEqual(NAMES.map((name) => temp("circuits", name)));
  expect(text.stdout).toBe(`  written ${files.join(", ")}\n`);
  const [json, csv, svg] = files.map((file) => fs.readFileSync(file, "utf8")) as [string, string, string];
  expect(JSON.parse(json)).toMatchObject({
    ...{ format: "sparse-circuits/curves", version: 1, run: "planted", ablation: "mean" },
    tasks: [
      { task: "task_a", points: [{ target: 0.5, edges: 2 }, { target: 0.15, edges: 9 }, {}, {}] },
      { task: "task_b" },
    ],
    pooled: [
      { target: 0.5, missing: [] },
      { target: 0.15 },
      { target: 0.1 },
      { target: 0.05, edges: null, missing: ["task_b"] },
    ],
  });
  const rows = csv.trimEnd().split("\r\n");
  expect(rows).toHaveLength(1 + 7 + 4);
  expect(rows).toContain("task_a,0.05,10,9,0.025,0.05,0.05");
  expect(rows).toContain("geometric mean,0.5,5.196152,4,,,");
  expect(rows).toContain("geometric mean,0.05,,,,,");
  for (const name of ["task_a", "task_b", "geometric mean", "mean of 2 tasks down to 0.1"]) expect(svg).toContain(name);
  expect(lines(svg).filter((line) => /^(1.8|3.6)/.test(line))).toEqual(["3.6 3", "1.8 4", "1.8 3"]);
  const again = await writeCurves(temp("again"), [a, b], recorder().out);
  for (const [i, file] of again.entries()) expect(fs.readFileSync(file).equals(fs.readFileSync(files[i]!))).toBe(true);
});

it("draws one task without a mean, and of a task without a circuit says that there is none", async () => {
  const [, , one] = await writeCurves(temp("one"), [a], recorder().out);
  expect(fs.readFileSync(one!, "utf8")).not.toContain("geometric mean");
  const [json, , svg] = await writeCurves(temp("two"), [a, { task: "task_c", circuit: undefined }], recorder().out);
  expect(fs.readFileSync(svg!, "utf8")).toContain("mean of 2 tasks undefined: one has no circuit");
  expect(JSON.parse(fs.readFileSync(json!, "utf8"))).toMatchObject({
    pooled: [{ edges: null, missing: ["task_c"] }, {}, {}, {}],
  });
});

it("leaves circuits without edges out of the figure, and writes nothing of nothing", async () => {
  const [, csv, svg] = await writeCurves(
    temp("zero"),
    [{ task: "task_a", circuit: withCurve({ 0.5: 0, 0.1: 14 }) }],
    recorder().out,
  );
  expect(fs.readFileSync(csv!, "utf8")).toContain("task_a,0.5,1,0,");
  expect(fs.readFileSync(svg!, "utf8")).not.toMatch(/NaN|Infinity/);
  expect(await writeCurves(temp("none"), [{ task: "task_c", circuit: undefined }], recorder().out)).toEqual([]);
  expect(fs.existsSync(path.join(temp(), "none"))).toBe(false);
});
