/** The benchmark's command line, as a user runs it, and its arithmetic. No speed is asserted. */
import { spawnSync } from "node:child_process";
import { availableParallelism } from "node:os";
import { describe, expect, test } from "vitest";
import { alternate, median, timingOf } from "../../bench/alternate.ts";
import { batchOf, findCase } from "../../bench/cases.ts";
import type { Result } from "../../bench/compare.ts";
import type { LimitsResult } from "../../bench/limits.ts";
import { cycleOf, modesAt } from "../../bench/mode.ts";
import type { OpsResult } from "../../bench/ops.ts";
import { parseOptions } from "../../bench/options.ts";
import type { PruningResult } from "../../bench/pruning.ts";
import { compareTable, densityText, limitsTable, pruningTable, versionsTable } from "../../bench/render.ts";
import type { VersionResult } from "../../bench/versions.ts";
import { nativeIsas } from "../../src/engine/native/engine.ts";
import { createEngine } from "../../src/engine/select.ts";
import { SparseError } from "../../src/util/errors.ts";

const native = (await createEngine({ engine: "auto" })).engine.info.name === "native";

function bench(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, ["--import", "tsx", "bench/main.ts", ...args], { encoding: "utf8" });
}

function refusal(...args: string[]): SparseError {
  try {
    parseOptions(args, 2);
  } catch (error) {
    if (error instanceof SparseError) return error;
    throw error;
  }
  throw new Error(`${args.join(" ")} was accepted`);
}

describe("options", () => {
  test("defaults", () => {
    const options = parseOptions([], 2);
    expect(options.cases.map((c) => c.name)).toEqual(["S", "XS"]);
    expect(options).toMatchObject({
      command: "compare",
      threads: 2,
      blasThreads: 1,
      modes: ["exact"],
      json: false,
      peer: true,
    });
    expect(options.steps).toBeGreaterThanOrEqual(5);
    expect(parseOptions([], 1).threads).toBe(1);
  });

  test("all of them", () => {
    const args = [
      "ops",
      "--case",
      "M,tiny",
      "--density",
      "1/16,0.5",
      "--threads=1",
      "--steps",
      "9",
      "--json",
      "--mode",
      "exact,every-10",
    ];
    const options = parseOptions(args, 2);
    expect(options.cases.map((c) => c.name)).toEqual(["M", "tiny"]);
    expect(options).toMatchObject({
      command: "ops",
      densities: [1 / 16, 0.5],
      threads: 1,
      modes: ["exact", "every-10"],
      steps: 9,
      json: true,
    });
  });

  test.each([
    [["--case", "tinny"], "unknown-case", "tiny"],
    [["--case", "S,defualt"], "unknown-case", "default"],
    [["--thread", "2"], "unknown-option", "--threads"],
    [["--mode", "exakt"], "unknown-mode", "exact"],
    [["--mode", "every-1O"], "unknown-mode", "every-10"],
    [["--mode", "exact,every-0"], "unknown-mode", "every-10"],
    [["opps"], "unknown-command", "ops"],
    [["pruninng"], "unknown-command", "pruning"],
  ])("%j is refused with the nearest name", (args, code, near) => {
    expect(refusal(...args)).toMatchObject({ code, exitCode: 2, hint: expect.stringContaining(`"${near}"`) });
  });

  test.each([
    [["--steps", "4"]],
    [["--steps", "many"]],
    [["--threads", "0"]],
    [["--threads", "3"]],
    [["--threads", "1.5"]],
    [["--dense-grad-every", "0"]],
    [["--dense-grad-every", "many"]],
    [["--dense-grad-every", "10", "--mode", "exact"]],
    [["threads", "--busy", "-1"]],
    [["scaling", "--case", "S"]],
    [["--out", "plots"]],
    [["--density", "0"]],
    [["--density", "2"]],
    [["--density", "1/0"]],
    [["--case"]],
    [["--json=yes"]],
    [["ops", "S"]],
  ])("%j is refused", (args) => {
    expect(refusal(...args).exitCode).toBe(2);
  });
});

test("a command has its own defaults", () => {
  expect(parseOptions(["threads"], 8)).toMatchObject({ threads: 8, busy: 0 });
  expect(parseOptions(["threads"], 8).cases.map((c) => c.name)).toEqual(["S"]);
  expect(parseOptions(["scaling"], 8)).toMatchObject({ threads: 2, modes: ["exact", "every-10"] });
  expect(parseOptions(["scaling", "--out", "plots"], 8).out).toBe("plots");
});

test("modes that would be exact under another name are left out, and it is said", () => {
  const said: string[] = [];
  const at = (density: number) => modesAt(density, ["exact", "every-10"], (text) => said.push(text));
  expect(at(1 / 4)).toEqual(["exact", "every-10"]);
  expect(said).toEqual([]);
  expect(at(1 / 2)).toEqual(["exact"]);
  expect(said).toEqual([expect.stringContaining("every-10 left out")]);
});

test("--dense-grad-every is another name of a mode, 1 of exact", () => {
  expect(parseOptions(["--dense-grad-every", "10"], 2).modes).toEqual(["every-10"]);
  expect(parseOptions(["--dense-grad-every", "1"], 2).modes).toEqual(["exact"]);
  expect([cycleOf("exact"), cycleOf("every-10")]).toEqual([1, 10]);
});

test("samples alternate, and a sample of a mode with cycles is the mean of a whole one", async () => {
  const c = findCase("tiny");
  const order: string[] = [];
  const contender = (name: string, cycle: number) => {
    let steps = 0;
    const step = async () => {
      order.push(name);
      // The first step of a cycle costs more.
      const ms = steps++ % cycle === 0 ? 11 : 1;
      return { ms, cpuMs: 2 * ms, loss: 1 };
    };
    return { cycle, step };
  };
  const [a, b] = await alternate(c, [contender("a", 5), contender("b", 1)], { warmup: 3, steps: 2 });
  expect(order.join("")).toBe(`aaaaabbb${"aaaaab".repeat(2)}`);
  expect(timingOf(a!)).toEqual({ ms: 3, cpuMs: 6, minMs: 3 });
  expect(b!.map((s) => s.ms)).toEqual([11, 11]);
  const broken = { cycle: 1, step: async () => ({ ms: 1, cpuMs: 1, loss: Number.NaN }) };
  await expect(alternate(c, [broken], { warmup: 1, steps: 1 })).rejects.toThrow("loss of step 0 is NaN");
});

test("a batch is the same for the same step, and every target is the next token", () => {
  const c = findCase("tiny");
  const { ids, targets } = batchOf(c, 3);
  expect(batchOf(c, 3).ids).toEqual(ids);
  expect(batchOf(c, 4).ids).not.toEqual(ids);
  expect(targets[0]).toBe(ids[1]);
  expect(targets[c.tokens.length - 1]).toBe(-1);
  expect(ids.every((id) => id >= 0 && id < c.model.vocabSize)).toBe(true);
});

test("median", () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 3, 2])).toBe(2.5);
});

test("densities are written as fractions where they are some", () => {
  expect([1, 1 / 64, 1 / 12, 0.3].map(densityText)).toEqual(["1", "1/64", "1/12", "0.3"]);
});

test("the process refuses an unknown case with exit code 2 and nothing on stdout", () => {
  const { status, stdout, stderr } = bench("--case", "XL");
  expect(status).toBe(2);
  expect(stdout).toBe("");
  expect(stderr).toContain('Did you mean "');
});

describe.skipIf(!native)("on the native engine", () => {
  const QUICK = ["--case", "tiny", "--json", "--threads", "1", "--steps", "5"];
  const lines = (...args: string[]): unknown[] => {
    const { status, stdout, stderr } = bench(...args);
    expect(stderr).not.toContain("error");
    expect(status).toBe(0);
    return stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
  };

  test("one line of JSON a case and mode, and a table", () => {
    const modes = "exact,every-10";
    const results = lines(...QUICK, "--no-peer", "--mode", modes) as Result[];
    expect(results.map((r) => r.mode)).toEqual(modes.split(","));
    expect(results[0]).toMatchObject({ case: "tiny", density: 0.25, threads: 1, peerMs: null, ratio: null });
    for (const result of results) {
      expect(Object.keys(result).slice(0, 9)).toEqual([
        ...["case", "density", "mode", "oursMs", "peerMs", "ratio", "oursRssMb", "peerRssMb", "threads"],
      ]);
      expect(result.oursMs).toBeGreaterThan(0);
      expect(result.oursRssMb).toBeGreaterThan(10);
    }
    expect(compareTable(results)).toContain("tiny");
  });

  test("the time by kernel adds up to the step", () => {
    const [{ ops, stepMs, jsMs }] = lines("ops", ...QUICK) as [OpsResult];
    expect(ops.map((op) => op.op)).toContain("linearBackwardWeight c_fc.weight");
    expect(ops.reduce((sum, op) => sum + op.ms, jsMs)).toBeCloseTo(stepMs);
    expect(jsMs).toBeGreaterThan(0);
  });

  test("a pruning step beside a training step", () => {
    const [result] = lines("pruning", ...QUICK) as [PruningResult];
    expect(result).toMatchObject({ case: "tiny", density: 0.25, steps: 5 });
    expect(result.ratio).toBeCloseTo(result.training.ms / result.pruning.ms, 2);
    expect(pruningTable([result])).toContain("1/4");
  });

  test("threads, with a busy process beside them, and instruction sets", () => {
    const most = Math.min(2, availableParallelism());
    const args = ["--case", "tiny", "--json", "--steps", "5", "--threads", String(most)];
    const threads = lines("threads", ...args, "--busy", "1") as VersionResult[];
    expect(threads.map((r) => r.threads)).toEqual(most === 1 ? [1] : [1, 2]);
    expect(threads.every((r) => r.busy === 1)).toBe(true);
    const isas = lines("isa", ...args) as VersionResult[];
    expect(isas.map((r) => r.isa)).toEqual(nativeIsas().reverse());
    expect(isas[0]!.ratio).toBe(1);
    expect(versionsTable(isas)).toContain("plain");
  });

  test("limits of the machine, vectors first", () => {
    const results = lines("limits", "--json", "--threads", "1", "--steps", "5") as LimitsResult[];
    expect(results.map((r) => r.isa)).toEqual(nativeIsas().reverse());
    for (const { gflops, gbPerSecond } of results) expect(Math.min(gflops, gbPerSecond)).toBeGreaterThan(0.1);
    expect(limitsTable(results)).toContain("GFLOP/s");
  });
});
