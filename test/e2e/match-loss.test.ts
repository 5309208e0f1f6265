/** A dense peer as a user makes it: trained to the held-out loss of another run, resumed, compared with it, refused. */
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { events, sparse, start } from "./cli.ts";

const TIMEOUT = 120_000;
const SETTINGS = {
  "model.width": 32,
  "model.layers": 1,
  "training.batch": 4,
  "data.bigramTokens": 0,
  "logging.evalEvery": 10,
  "logging.evalTokens": 1024,
  "logging.evalPairs": 16,
  "logging.checkpointEvery": 10,
};
const SET = Object.entries(SETTINGS).flatMap(([key, value]) => ["--set", `${key}=${value}`]);
const TRAIN = ["train", "--task", "quotes", ...SET];
const PEER = [...TRAIN, "--density", "1", "--steps", "200"];

let dir = "";
const at = (...parts: string[]): string => path.join(dir, ...parts);
const json = (...parts: string[]) => JSON.parse(fs.readFileSync(at(...parts), "utf8")) as Record<string, unknown>;
const loss = (run: string) => json(run, "report.json").valLoss as number;

beforeAll(async () => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), "sparse-circuits-e2e-"));
  // A bigram-free model that has hardly begun: any peer gets there.
  const { code } = await sparse(dir, ...TRAIN, "--density", "1/4", "--steps", "40", "--out", "a");
  expect(code).toBe(3);
}, TIMEOUT);
afterAll(() => {
  fs.rmSync(dir, { recursive: true, force: true });
});

it("ends at the first evaluation that meets the loss, on the text of the final report", {
  timeout: TIMEOUT,
}, async () => {
  const { stdout, stderr } = await sparse(dir, ...PEER, "--match-loss", "a", "--out", "peer", "--json");
  expect(stderr).toContain("training to the end (without --match-loss)");
  const all = events(stdout);
  const done = all.at(-1)!;
  const { step } = done.matchLoss as { step: number };
  expect(done).toMatchObject({ event: "done", matchLoss: { loss: loss("a"), reached: true } });
  expect(loss("peer")).toBeLessThanOrEqual(loss("a"));
  expect(step).toBeLessThan(200);
  const evaluations = all.filter(({ event }) => event === "eval");
  expect(evaluations.map((e) => (e.valLoss as number) <= loss("a"))).toEqual([
    ...Array.from({ length: step / 10 - 1 }, () => false),
    true,
  ]);
  expect(evaluations.at(-1)).toMatchObject({ step, valLoss: loss("peer") });
  expect(json("peer", "report.json")).toMatchObject({ matchLoss: done.matchLoss });
  expect(json("peer", "config.json").config).toMatchObject({
    training: { matchLoss: loss("a"), lr: 3e-3, density: 1 },
  });
  expect(fs.readdirSync(at("peer/checkpoints")).at(-1)).toBe(`step-${String(step).padStart(6, "0")}`);

  const text = await sparse(dir, ...PEER, "--match-loss", "a", "--out", "again");
  expect(text.stdout).toContain(`matches ${loss("a").toFixed(3)} after ${step} of 200 steps`);

  // Killed after its last checkpoint, or at one before, it ends where it would have: without the other run.
  for (const [from, name] of [
    [step, "last"],
    [step - 10, "before"],
  ] as const) {
    fs.cpSync(at("peer"), at(name), { recursive: true });
    for (const file of ["DONE", "report.json"]) fs.rmSync(at(name, file));
    const later = fs.readdirSync(at(name, "checkpoints")).filter((c) => Number(c.slice(5)) > from);
    for (const one of later) fs.rmSync(at(name, "checkpoints", one), { recursive: true });
    fs.renameSync(at("a"), at("moved"));
    await sparse(dir, "train", "--resume", name);
    fs.renameSync(at("moved"), at("a"));
    for (const file of ["report.json", "metrics.jsonl"]) {
      expect(fs.readFileSync(at(name, file)).equals(fs.readFileSync(at("peer", file))), `${name} ${file}`).toBe(true);
    }
  }
});

it("never ends before the weights are as sparse as they will be", { timeout: TIMEOUT }, async () => {
  const args = [...TRAIN, "--density", "1/4", "--steps", "60", "--set", "training.matchLoss=20"];
  const { stdout } = await sparse(dir, ...args, "--out", "annealed", "--json");
  // Annealing ends at half of the steps.
  expect(events(stdout).at(-1)).toMatchObject({ matchLoss: { loss: 20, reached: true, step: 40 } });
  expect(json("annealed", "report.json")).toMatchObject({ weights: { density: expect.closeTo(0.25, 2) } });
});

it("says so when the loss was not reached", { timeout: TIMEOUT }, async () => {
  const args = [...TRAIN, "--density", "1", "--steps", "10", "--match-loss", "a", "--out", "short"];
  const { stderr } = await sparse(dir, ...args);
  expect(stderr).toMatch(/note: the held-out loss \d\.\d+ did not come down to \d\.\d+ in 10 steps/);
  expect(fs.existsSync(at("short/DONE"))).toBe(true);
  expect(json("short", "report.json").matchLoss).toMatchObject({ reached: false, step: 10 });
});

describe("refuses", () => {
  it.each([
    [["--match-loss", "nowhere"], /no run at nowhere/],
    [["--match-loss", "a", "--seed", "3"], /other text: seed is 3 here and 0 in a/],
    [["--match-loss", "a", "--set", "model.contextLength=64"], /model\.contextLength is 64 here and 128 in a/],
    [["--match-loss", "a", "--set", "data.profile=brackets"], /data\.profile is "brackets" here and "quotes" in a/],
    [
      ["--match-loss", "a", "--set", "data.tokenizer=bpe", "--set", "data.vocabSize=600"],
      /tokenizer is "\w+" here and "\w+" in a/,
    ],
    [["--match-loss", "a", "--task", "brackets"], /task is ".*" here and "single_double_quote" in a/],
    [["--match-loss", "unfinished"], /the run unfinished is not finished/],
    [["--match-loss", "reportless"], /report\.json/],
  ])("%j", { timeout: TIMEOUT }, async (args, message) => {
    for (const [name, file] of [
      ["unfinished", "DONE"],
      ["reportless", "report.json"],
    ] as const) {
      fs.cpSync(at("a"), at(name), { recursive: true });
      fs.rmSync(at(name, file));
    }
    const { code, stdout, stderr } = await sparse(dir, ...TRAIN, ...args, "--out", "none");
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(/^error: .+\nhint: .+\n$/);
    expect(stderr).toMatch(message);
    expect(fs.existsSync(at("none"))).toBe(false);
  });

  it("with --resume", async () => {
    const { code, stderr } = await sparse(dir, "train", "--resume", "a", "--match-loss", "a");
    expect([code, stderr.includes("--match-loss")]).toEqual([2, true]);
  });
});

it("compares the two, once they have circuits", { timeout: TIMEOUT }, async () => {
  const { code, stderr } = await start("circuit", ["compare", "a", "peer"], dir).ended;
  expect(code).toBe(2);
  expect(stderr).toContain("circuit extract a");
});
