/** The benchmark's command line, as a user runs it, and its arithmetic. No speed is asserted. */
import { spawnSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { median } from "../../bench/alternate.ts";
import { batchOf, findCase } from "../../bench/cases.ts";
import type { Result } from "../../bench/compare.ts";
import type { OpsResult } from "../../bench/ops.ts";
import { parseOptions } from "../../bench/options.ts";
import { compareTable, densityText } from "../../bench/render.ts";
import { createEngine } from "../../src/engine/select.ts";
import { SparseError } from "../../src/util/errors.ts";

const native = createEngine({ engine: "auto" }).engine.info.name === "native";

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
      mode: "exact",
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
      "--no-peer",
    ];
    const options = parseOptions(args, 2);
    expect(options.cases.map((c) => c.name)).toEqual(["M", "tiny"]);
    expect(options).toMatchObject({
      command: "ops",
      densities: [1 / 16, 0.5],
      threads: 1,
      steps: 9,
      json: true,
      peer: false,
    });
  });

  test.each([
    [["--case", "tinny"], "unknown-case", "tiny"],
    [["--case", "S,defualt"], "unknown-case", "default"],
    [["--thread", "2"], "unknown-option", "--threads"],
    [["--mode", "exakt"], "unknown-mode", "exact"],
    [["opps"], "unknown-command", "ops"],
  ])("%j is refused with the nearest name", (args, code, near) => {
    expect(refusal(...args)).toMatchObject({ code, exitCode: 2, hint: expect.stringContaining(`"${near}"`) });
  });

  test.each([
    [["--steps", "4"]],
    [["--steps", "many"]],
    [["--threads", "0"]],
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
  test("one line of JSON a case, and a table", () => {
    const { status, stdout, stderr } = bench("--case", "tiny", "--no-peer", "--json", "--threads", "1", "--steps", "5");
    expect(stderr).not.toContain("error");
    expect(status).toBe(0);
    const lines = stdout.trim().split("\n");
    expect(lines).toHaveLength(1);
    const result = JSON.parse(lines[0]!) as Result;
    expect(result).toMatchObject({ case: "tiny", density: 0.25, mode: "exact", threads: 1, peerMs: null, ratio: null });
    expect(result.oursMs).toBeGreaterThan(0);
    expect(result.oursRssMb).toBeGreaterThan(10);
    expect(compareTable([result])).toContain("tiny");
  });

  test("the time by kernel adds up to the step", () => {
    const { status, stdout } = bench("ops", "--case", "tiny", "--json", "--threads", "1", "--steps", "5");
    expect(status).toBe(0);
    const { ops, stepMs, jsMs } = JSON.parse(stdout) as OpsResult;
    expect(ops.map((op) => op.op)).toContain("linearBackwardWeight c_fc.weight");
    expect(ops.reduce((sum, op) => sum + op.ms, jsMs)).toBeCloseTo(stepMs);
    expect(jsMs).toBeGreaterThan(0);
  });
});
