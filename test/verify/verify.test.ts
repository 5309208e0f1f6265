/** What checks find together: which are run, the summary, and what is kept of it. */
import { expect, it, vi } from "vitest";
import { CHECKS, reportSchema, verificationSchema } from "../../src/circuits/verification.ts";
import { ALL_CHECKS, inShort, verify } from "../../src/verify/verify.ts";
import { fastest } from "../support/engines.ts";
import { FAULTS } from "./faults.ts";
import { IDENTITY } from "./subject.ts";

const engine = fastest.open();
const subject = await FAULTS.find(({ name }) => name === "spare nodes")!.make(engine);
const report = await verify(subject, IDENTITY, { form: "short", seed: 0 });

it("runs the checks of its form, in order, and only those that are asked for", async () => {
  expect(report.checks.map(({ name }) => name)).toEqual(CHECKS.filter((name) => !ALL_CHECKS[name].searches));
  const told: [string, number, number][] = [];
  const few = await verify(subject, IDENTITY, {
    form: "thorough",
    seed: 0,
    only: ["interchange", "sufficiency"],
    progress: (...progress) => told.push(progress),
  });
  expect(few.checks.map(({ name }) => name)).toEqual(["sufficiency", "interchange"]);
  expect(told.every(([, done, of]) => done >= 0 && done <= of && of === 2)).toBe(true);
  expect(new Set(told.map(([name]) => name))).toEqual(new Set(["sufficiency", "interchange"]));
});

it("names in the summary every check that failed or is weak, every one that passed and every one that was not run", () => {
  const { summary, checks } = report;
  const parts = summary.split("; ");
  const part = (start: string): string => parts.find((text) => text.startsWith(start)) ?? "";
  for (const { name, verdict } of checks) {
    if (verdict === "pass") expect(parts[0]).toContain(ALL_CHECKS[name].praise);
    else expect(parts[0]).not.toContain(ALL_CHECKS[name].praise);
    expect(part("fails ").includes(`${name} (`), name).toBe(verdict === "fail");
    expect(part("weak in ").includes(`${name} (`), name).toBe(verdict === "weak");
  }
  expect([part("fails "), part("weak in ")]).not.toContain("");
  const searching = CHECKS.filter((name) => ALL_CHECKS[name].searches);
  expect(part("not run: ")).toBe(`not run: ${searching.join(", ")}`);
});

it("says so when nothing passed", async () => {
  const { summary } = await verify(subject, IDENTITY, { form: "short", seed: 0, only: ["monosemanticity"] });
  expect(summary).toMatch(/^passes nothing; fails monosemanticity \(.+\); not run: sufficiency, /);
});

it("is of its schema, the same for the same seed, and shorter in circuit.json", async () => {
  expect(reportSchema.parse(JSON.parse(JSON.stringify(report)))).toEqual(report);
  const only = ["necessity", "interchange", "relaxation"] as const;
  const again = await verify(subject, IDENTITY, { form: "short", seed: 0, only: [...only] });
  expect(again.checks).toEqual(report.checks.filter(({ name }) => only.some((n) => n === name)));
  const short = inShort(report);
  expect(verificationSchema.parse(short)).toEqual(short);
  expect(short.checks.map(({ verdict }) => verdict)).toEqual(report.checks.map(({ verdict }) => verdict));
});

it("says which verdicts are near a threshold: where the interval of the loss that decides holds one", async () => {
  const { target } = subject;
  const told = async (verdict: "pass" | "fail", low: number, high: number): Promise<string> => {
    const figures = [{ name: "highest mean loss", value: (low + high) / 2, low, high, unit: "nats" }];
    const run = vi.spyOn(ALL_CHECKS.interchange, "run");
    run.mockResolvedValue({ verdict, brief: "a loss", reason: "of this", figures });
    const { checks, summary } = await verify(subject, IDENTITY, { form: "short", seed: 0, only: ["interchange"] });
    run.mockRestore();
    return `${checks[0]!.reason} | ${summary.split("; not run")[0]}`;
  };
  const around = (limit: number) => [limit - 0.02, limit + 0.01] as const;
  expect(await told("pass", ...around(target))).toBe(
    "of this; near the threshold 0.150: 95% interval 0.130 to 0.160 | survives interchange (near the threshold)",
  );
  expect(await told("fail", ...around(2 * target))).toBe(
    "of this; near the threshold 0.300: 95% interval 0.280 to 0.310 | passes nothing; fails interchange (a loss, near the threshold)",
  );
  expect(await told("pass", 0, target - 0.01)).toBe("of this | survives interchange");
});

it("keeps what was finished when it is interrupted, what searches last, and names the rest", async () => {
  const controller = new AbortController();
  const only = ["sufficiency", "stability", "interchange", "monosemanticity"] as const;
  const earlier = report.checks.filter(({ name }) => name === "monosemanticity");
  const cut = await verify(subject, IDENTITY, {
    form: "short",
    seed: 0,
    only,
    earlier,
    signal: controller.signal,
    progress: (name) => name === "monosemanticity" && controller.abort(),
  });
  expect(cut.checks.map(({ name }) => name)).toEqual(["sufficiency", "interchange", "monosemanticity"]);
  expect(cut.checks).toEqual(report.checks.filter(({ name }) => only.some((n) => n === name)));
  expect(cut.summary).toMatch(/; interrupted before stability; not run: necessity, /);
});

it("ends with the signal's reason when nothing was finished", async () => {
  const reason = new Error("enough");
  const ended = verify(subject, IDENTITY, { form: "short", seed: 0, signal: AbortSignal.abort(reason) });
  await expect(ended).rejects.toBe(reason);
});
