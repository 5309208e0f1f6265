/** The terminal's table of checks. */
import { expect, test } from "vitest";
import { CHECKS, type Report, type ReportCheck } from "../../src/circuits/verification.ts";
import { textWidth } from "../../src/cli/render.ts";
import { printVerification } from "../../src/cli/verification-report.ts";
import { sampleCheck, sampleReport } from "../support/report.ts";
import { recorder } from "./programs.ts";

function printed(report: Report, options = {}): string {
  const { out, text } = recorder(options);
  printVerification(report, out);
  expect(text.stderr).toBe("");
  return text.stdout;
}

const two = (reason: string): ReportCheck[] => [
  sampleCheck("interchange", { verdict: "fail", reason }),
  sampleCheck("sufficiency", { verdict: "pass", reason: "loss 0.1" }),
];

test("a row for each check in the report's order, those not run, and the summary last", () => {
  expect(printed(sampleReport(two("loss 0.41 at p = 0.5"), "quotes"))).toBe(`
quotes of quotes  13 nodes, 1,400 edges; target 0.15, quotes ablation; short form, 1,200 held-out pairs
  verdict  check        reason
  ✓ pass   sufficiency  loss 0.1
  ✗ fail   interchange  loss 0.41 at p = 0.5
  · not run: necessity, weight necessity, completeness, minimality, curve, agreement, generalisation, value fidelity,
  relaxation, other ablations, nonsense control, random weights control, stability, binarisation, monosemanticity
summary: quotes
`);
});

test.each([
  ["terminal", { isTTY: true, env: { NO_COLOR: "1" } }, 80],
  ["pipe", {}, 120],
])("long reasons are wrapped below themselves: %s", (_, options, width) => {
  const reason = Array.from({ length: 40 }, (__, i) => `word${i}`).join(" ");
  const lines = printed(sampleReport(two(reason)), options)
    .trimEnd()
    .split("\n")
    .slice(2);
  expect(Math.max(...lines.map(textWidth))).toBeLessThanOrEqual(width);
  const first = lines.findIndex((line) => line.includes("word0"));
  expect(lines[first + 1]!.search(/\S/)).toBe(lines[first]!.indexOf("word0"));
  expect(lines.join(" ").match(/word\d+/g)).toEqual(reason.split(" "));
});

test("names every check whether it was run or not", () => {
  for (const checks of [[], CHECKS.map((name) => sampleCheck(name))]) {
    const text = printed(sampleReport(checks));
    for (const name of CHECKS) expect(text).toContain(name);
    expect(text.includes("not run")).toBe(checks.length === 0);
  }
});

test("verdicts are coloured on a terminal, and told apart without colours", () => {
  expect(printed(sampleReport(two("x")), { isTTY: true })).toContain("\u001b[31m✗ fail\u001b[39m");
  expect(printed(sampleReport(two("x")))).not.toContain("\u001b");
});

test("text from a model cannot steer the terminal", () => {
  const text = printed(sampleReport(two("a\u001b[2Jb\nc"), "\u001b[31m"));
  expect(text).toContain("a\\x1b[2Jb\\nc");
  expect(text).not.toContain("\u001b");
});

test("nothing with --json", () => {
  expect(printed(sampleReport(two("x")), { json: true })).toBe("");
});
