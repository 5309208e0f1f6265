/** `sparse plot` on runs made by hand: what is drawn, said and refused. */
import * as fs from "node:fs";
import * as path from "node:path";
import { describe, expect, it } from "vitest";
import { type RunMetrics, trainingFigure } from "../../src/cli/training-plot.ts";
import type { MetricsRow } from "../../src/runs/metrics.ts";
import { startRun } from "../support/stored-run.ts";
import { useTempDir } from "../support/temp.ts";
import { run } from "./programs.ts";

const temp = useTempDir();

/** Rows of every step, and of an evaluation at every tenth. */
function metrics(steps: number, tasks: readonly string[], over: Readonly<Record<string, unknown>> = {}): MetricsRow[] {
  return Array.from({ length: steps }, (_, i) => i + 1).flatMap((step): MetricsRow[] => [
    {
      step,
      loss: 3 / step,
      lr: 0.01 * step,
      density: 1 / step,
      gradRms: 0.001,
      tokens: 64 * step,
      ...over,
    } as MetricsRow,
    ...(step % 10 === 0
      ? [
          {
            step,
            valLoss: 4 / step,
            ...Object.fromEntries(tasks.map((task, t) => [`taskLoss/${task}`, (t + 1) / step])),
          },
        ]
      : []),
  ]);
}

function stored(name: string, rows: readonly MetricsRow[], { finished = true, torn = "" } = {}): string {
  const writer = startRun(temp(name), name);
  for (const row of rows) writer.log(row);
  if (finished) writer.finish();
  else writer.close();
  fs.appendFileSync(path.join(temp(name), "metrics.jsonl"), torn);
  return temp(name);
}

describe("the figure", () => {
  const one = (rows: readonly MetricsRow[]): RunMetrics => ({ name: "one", rows });
  const panels = (runs: readonly RunMetrics[], options: Partial<Parameters<typeof trainingFigure>[1]> = {}) =>
    trainingFigure(runs, { x: "step", ...options }).panels;
  const titled = (all: ReturnType<typeof panels>, title: string) => all.find((panel) => panel.title === title)!;

  it("of one run has both losses in one panel and a line for each task", () => {
    const all = panels([one(metrics(40, ["a", "b"]))]);
    expect(all.map(({ title }) => title)).toEqual([
      ...["Loss", "Task loss on validation pairs", "Density", "Learning rate", "Gradient of all weights"],
    ]);
    expect(titled(all, "Loss").series.map(({ name }) => name)).toEqual(["training batches", "held-out text"]);
    expect(titled(all, "Loss").y.log).toBe(true);
    const rate = titled(all, "Learning rate").y;
    expect(rate.log).toBe(false);
    expect(rate.domain![0]).toBe(0);
    expect(rate.domain![1]).toBeCloseTo(0.42, 9);
    const tasks = titled(all, "Task loss on validation pairs");
    expect(tasks.series.map(({ name }) => name)).toEqual(["a", "b"]);
    expect(tasks.series[1]!.points).toEqual([10, 20, 30, 40].map((step) => ({ x: step, y: 2 / step })));
    expect(tasks.level).toBe(0.15);
  });

  it("of many values has means of neighbours with their range, all over the same steps", () => {
    const rows = metrics(1000, []).map((row) => ("loss" in row ? { ...row, loss: row.step % 10 } : row));
    const [line] = titled(panels([one(rows)]), "Loss").series;
    expect(line!.points).toHaveLength(100);
    expect(line!.points[3]).toEqual({ x: 35.5, y: 4.5, low: 0, high: 9 });
    expect(new Set(panels([one(rows)]).map(({ x }) => `${x.domain}`))).toEqual(new Set(["0,1000"]));
  });

  it("of many tasks has their mean and range; of several runs a line for each", () => {
    const names = Array.from({ length: 9 }, (_, i) => `task${i}`);
    const [pooled] = titled(panels([one(metrics(10, names))]), "Task loss on validation pairs").series;
    expect(pooled).toEqual({ name: "", points: [{ x: 10, y: 0.5, low: 0.1, high: 0.9 }] });
    const some = panels([one(metrics(10, names))], { tasks: ["task0", "task8"] });
    expect(titled(some, "Task loss on validation pairs").series.map(({ name }) => name)).toEqual(["task0", "task8"]);
    const both = panels([one(metrics(20, names)), { name: "other", rows: metrics(10, ["task2"]) }], { x: "tokens" });
    for (const { series, x } of both) {
      expect(series.map(({ name }) => name)).toEqual(["one", "other"]);
      expect(x.domain).toEqual([0, 1280]);
    }
    expect(titled(both, "Loss on held-out text").series[1]!.points).toEqual([{ x: 640, y: 0.4 }]);
  });
});

describe("sparse plot", () => {
  it("writes beside the run in the formats asked for, the same bytes every time", async () => {
    const dir = stored("quotes", metrics(20, ["a"]));
    const { code, stderr, stdout } = await run("plot", dir, "--format", "svg,pdf,tikz");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const names = ["svg", "pdf", "tex"].map((ending) => `training.${ending}`);
    const files = names.map((name) => path.join(dir, "plots", name));
    expect(stdout).toBe(`written ${files.join(", ")}\n`);
    await run("plot", dir, "--format", "svg,pdf", "--out", temp("again"));
    for (const name of names.slice(0, 2)) {
      expect(fs.readFileSync(temp("again", name)).equals(fs.readFileSync(path.join(dir, "plots", name)))).toBe(true);
    }
  });

  it("draws an interrupted run, a line torn by a kill, one step, and what is not finite left out, and says so", async () => {
    const rows = metrics(20, ["a"], { gradRms: null });
    const { code, stderr } = await run("plot", stored("killed", rows, { finished: false, torn: '{"step":21,"lo' }));
    expect(code).toBe(0);
    expect(stderr).toContain("not finished: drawn up to step 20");
    expect(stderr).toContain("left out 20 values that are not finite");
    const svg = fs.readFileSync(temp("killed", "plots", "training.svg"), "utf8");
    expect(svg).not.toMatch(/NaN|Infinity|Gradient/);
    expect(await run("plot", stored("short", metrics(1, [])))).toMatchObject({ code: 0, stderr: "" });
  });

  it("puts several runs into one figure, and says that they are of different tasks", async () => {
    const dirs = [stored("x", metrics(20, ["a"])), stored("y", metrics(30, ["b"]))];
    const { code, stderr } = await run("plot", ...dirs, "--out", temp("both"));
    expect(code).toBe(0);
    expect(stderr).toContain("of different tasks: x a; y b");
    const svg = fs.readFileSync(temp("both", "training.svg"), "utf8");
    for (const text of ['"x"', '"y"', "Loss on training batches"]) expect(svg).toContain(text);
  });

  it.each<[string, () => string[], RegExp, RegExp]>([
    ["no metrics", () => [stored("empty", [], { finished: false })], /no metrics/, /--resume/],
    ["no run", () => [temp("nothing")], /no run at/, /sparse train/],
    ["an unknown format", () => [stored("f", metrics(1, [])), "--format", "svg,pfd"], /"pfd"/, /mean pdf\?/],
    ["an unknown palette", () => [stored("p", metrics(1, [])), "--palette", "grey"], /"grey"/, /Did you mean/],
    [
      "an unknown task",
      () => [stored("t", metrics(10, ["single_double_quote"])), "--task", "brackets"],
      /no run was scored on task brackets/,
      /single_double_quote/,
    ],
    ["a run twice", () => [stored("w", metrics(1, [])), temp("w"), "--out", temp("o")], /given twice/, /once/],
    [
      "several runs without a folder",
      () => [stored("u", metrics(1, [])), stored("v", metrics(1, []))],
      /no folder/,
      /--out/,
    ],
    [
      "a folder that is a file",
      () => [stored("z", metrics(1, [])), "--out", temp("z", "config.json")],
      /config.json/,
      /./,
    ],
    ["numbers that are none", () => [stored("n", [{ step: 1, loss: null }])], /no number to draw/, /./],
  ])("refuses %s", async (_, args, message, hint) => {
    const { code, stdout, stderr } = await run("plot", ...args());
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(hint);
    expect(stderr).not.toMatch(/ at .+\.ts/);
  });
});
