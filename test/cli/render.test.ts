/** Values and tables as text, and where an output puts what. */
import { describe, expect, it } from "vitest";
import { matching } from "../../src/cli/glob.ts";
import { parseNumber } from "../../src/cli/options.ts";
import {
  clock,
  count,
  fraction,
  nats,
  percent,
  reportOf,
  short,
  styleOf,
  table,
  textWidth,
} from "../../src/cli/render.ts";
import { goalError, inputError } from "../../src/util/errors.ts";
import { recorder } from "./programs.ts";

describe("values", () => {
  it.each([
    [count(1234567), "1,234,567"],
    [percent(1), "100%"],
    [percent(0.99999), "99.9%"],
    [percent(0.00001), "0.1%"],
    [percent(0), "0%"],
    [nats(2.31111), "2.311"],
    [nats(0.00421), "0.0042"],
    [fraction(1 / 64), "1/64"],
    [fraction(0.3), "0.300"],
    [fraction(1), "1"],
    [short(970), "970"],
    [short(52_140), "52.1k"],
    [short(1_204_000), "1.20M"],
    [clock(21), "0:21"],
    [clock(3723), "1:02:03"],
    [clock(Number.NaN), "-"],
  ])("%s", (actual, expected) => {
    expect(actual).toBe(expected);
  });

  it("reads numbers and fractions", () => {
    expect(parseNumber("1/64")).toBe(1 / 64);
    expect(parseNumber("3e-2")).toBe(0.03);
    for (const text of ["", "1/0", "0/0", "x", "1/2/3", "NaN"]) expect(parseNumber(text), text).toBeUndefined();
  });
});

it("aligns tables by what is seen", () => {
  const style = styleOf(true);
  const columns = [{ title: "name" }, { title: "n", align: "right" as const }];
  const text = table(
    columns,
    [
      [style.red("a"), "10"],
      ["long name", "5"],
    ],
    { indent: "" },
  );
  expect(text.split("\n").map(textWidth)).toEqual([13, 13, 13]);
});

it("matches names with stars", () => {
  const names = ["0.mlp.post_act", "1.mlp.post_act", "1.attn.q", "final_resid"];
  expect(matching("*.mlp.post_act", names)).toEqual(names.slice(0, 2));
  expect(matching("1.*", names)).toEqual(names.slice(1, 3));
  expect(matching("**", names)).toEqual(names);
  expect(matching("1.attn.q", names)).toEqual(["1.attn.q"]);
  expect(matching("1xattn.q", names)).toEqual([]);
});

describe("output", () => {
  it("puts results on stdout, and notices and errors on stderr", () => {
    const { out, text } = recorder();
    out.line("result");
    out.event({ event: "step" });
    out.live("working");
    out.notice("slow");
    out.done({ x: 1 }, goalError("missed", "missed it", "try more"));
    expect(text).toEqual({ stdout: "result\n", stderr: "note: slow\nerror: missed it\nhint: try more\n" });
    expect(out.exitCode).toBe(3);
  });

  it("prints nothing but JSON on stdout with --json, done last", () => {
    const { out, text } = recorder({ json: true, isTTY: true });
    out.line("result");
    out.live("working");
    out.notice("slow");
    out.event({ event: "step" });
    out.done({ x: Number.NaN }, goalError("missed", "missed it"));
    expect(
      text.stdout
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as unknown),
    ).toEqual([
      { event: "notice", message: "slow" },
      { event: "step" },
      { event: "error", code: "missed", message: "missed it", exitCode: 3 },
      { event: "done", x: null },
    ]);
  });

  it("rewrites one status line on a terminal and removes it before other text", () => {
    const { out, text } = recorder({ isTTY: true, env: { NO_COLOR: "1" } });
    out.live("x".repeat(200));
    out.line("result");
    expect(text.stderr).toBe(`\r\u001b[K${"x".repeat(78)}…\r\u001b[K`);
    expect(text.stdout).toBe("result\n");
  });

  it("rewrites several status lines, the last of them on a low terminal", () => {
    const { out, text } = recorder({ isTTY: true, rows: 3 });
    out.live("a\nb\nc\nd");
    out.clear();
    out.clear();
    expect(text.stderr).toBe("\r\u001b[Kc\nd\r\u001b[1A\u001b[J");
  });

  it("shows the stack of a defect only when asked", () => {
    const debugged = recorder({ env: { SPARSE_DEBUG: "1" } });
    const plain = recorder();
    for (const { out } of [debugged, plain]) {
      out.fail(new TypeError("x is not a function"));
      expect(out.exitCode).toBe(1);
    }
    expect(plain.text.stderr).toMatch(/^error: x is not a function\nhint: This is a defect .*\n$/);
    expect(debugged.text.stderr).toContain("render.test.ts");
  });

  it("takes codes and hints from the tool's own errors", () => {
    expect(reportOf(inputError("some-code", "no", "do"))).toEqual({
      ...{ code: "some-code", message: "no", hint: "do", exitCode: 2 },
    });
  });
});
