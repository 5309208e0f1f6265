/** `sparse` as a user meets it: exit codes, what is printed where, and what is on the disk afterwards. */
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readSafetensors } from "../../src/model/safetensors.ts";
import { expectWithin, FIXTURES, folders, readPack, TOLERANCE } from "../support/fixtures.ts";
import { events, sparse, start } from "./cli.ts";

/** A run of a second or two; too short to learn anything. */
const SETTINGS = {
  "model.width": 32,
  "model.layers": 1,
  "training.batch": 2,
  "data.bigramTokens": 20_000,
  "logging.evalEvery": 10,
  "logging.evalTokens": 1024,
  "logging.evalPairs": 16,
};
const TINY = ["--steps", "20", ...Object.entries(SETTINGS).flatMap(([key, value]) => ["--set", `${key}=${value}`])];
const TRAIN = ["train", "--task", "quotes", ...TINY];

const PROBES = ["eval", "runs/quotes", "--probes", "--split", "val"];

const TIMEOUT = 60_000;
const MODEL = "checkpoints/step-000020/model.safetensors";

let dir = "";
const at = (...parts: string[]): string => path.join(dir, ...parts);
const bytes = (...parts: string[]): Buffer => fs.readFileSync(at(...parts));

beforeAll(() => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), "sparse-circuits-e2e-"));
});
afterAll(() => {
  fs.rmSync(dir, { recursive: true, force: true });
});

/** Every file under a folder with its size and time: equal when nothing was touched. */
function listing(folder: string): string[] {
  return fs
    .readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((name) => {
      const { size, mtimeMs } = fs.statSync(path.join(folder, name));
      return `${name} ${size} ${mtimeMs}`;
    })
    .sort();
}

describe("help and usage", () => {
  it("prints help and version", async () => {
    const [help, version, command, under, none] = await Promise.all([
      sparse(dir, "--help"),
      sparse(dir, "--version"),
      sparse(dir, "help", "train"),
      sparse(dir, "help", "corpus", "stats"),
      sparse(dir),
    ]);
    expect(help).toMatchObject({ code: 0, stderr: "" });
    for (const word of ["train", "eval", "forward", "Examples:", "Exit codes:"]) expect(help.stdout).toContain(word);
    expect(version).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
    for (const word of ["--density", "default: auto", "training.lr="]) expect(command.stdout).toContain(word);
    expect(under).toMatchObject({ code: 0, stdout: expect.stringContaining("--text-field") });
    expect(none).toMatchObject({ code: 2, stdout: "", stderr: expect.stringContaining("Usage: sparse") });
  });

  it.each([
    { args: ["trian"], says: ["unknown command 'trian'", '"train"'] },
    { args: ["train", "--task", "quotse"], says: ["quotse", '"quotes"'] },
    { args: [...TRAIN, "--denisty", "1/4"], says: ["--denisty", "--density"] },
    { args: [...TRAIN, "--density", "2"], says: ["training.density", "received 2", "nearest valid value is 1"] },
    { args: ["forward", "none", "--tokens", "a.json", "--out", "b"], says: ["none does not exist"] },
  ])("refuses $args with exit 2 and writes nothing", { timeout: TIMEOUT }, async ({ args, says }) => {
    const empty = fs.mkdtempSync(at("empty-"));
    const { code, stdout, stderr } = await sparse(empty, ...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(/^error: .+\nhint: .+\n$/);
    for (const text of says) expect(stderr).toContain(text);
    expect(fs.readdirSync(empty)).toEqual([]);
  });

  it("tells errors as JSON too", async () => {
    const { code, stdout } = await sparse(dir, "train", "--task", "quotse", "--json");
    expect(code).toBe(2);
    expect(events(stdout)).toEqual([
      {
        event: "error",
        code: "unknown-task",
        message: expect.any(String),
        exitCode: 2,
        hint: expect.stringContaining("quotes"),
      },
    ]);
  });
});

describe("a run", { timeout: TIMEOUT }, () => {
  let first: Awaited<ReturnType<typeof sparse>>;
  beforeAll(async () => {
    first = await sparse(dir, ...TRAIN);
  }, TIMEOUT);

  it("is written to runs/<task>, and is told to be not learned with exit 3", () => {
    expect(first.code).toBe(3);
    for (const text of ["single_double_quote", "0.attn.c_attn", "total", "mlp.post_act", "Dead neurons", "Held-out"]) {
      expect(first.stdout).toContain(text);
    }
    expect(first.stdout).not.toContain("\r");
    expect(first.stderr).toContain("not learned: single_double_quote");
    expect(first.stderr).toContain("hint: Try more steps (--steps 40)");
    const names = fs.readdirSync(at("runs/quotes")).filter((name) => !name.startsWith("events."));
    expect(names).toEqual([
      ...["DONE", "checkpoints", "config.json", "env.json", "metrics.jsonl", "report.json", "tokenizer.json"],
    ]);
    const times = fs.readdirSync(at("runs/quotes")).map((name) => fs.statSync(at("runs/quotes", name)).mtimeMs);
    expect(fs.statSync(at("runs/quotes/DONE")).mtimeMs).toBe(Math.max(...times));
    const rows = bytes("runs/quotes/metrics.jsonl").toString().trimEnd().split("\n");
    expect(rows.map((row) => (JSON.parse(row) as { step: number }).step)).toEqual([10, 10, 20]);
    expect(JSON.parse(rows[1]!)).toHaveProperty("pairAccuracy/single_double_quote");
  });

  it("draws the curves of its probes, the same bytes every time", async () => {
    const [first, again] = [await sparse(dir, ...PROBES), await sparse(dir, ...PROBES, "--out", "curves", "--json")];
    expect(first).toMatchObject({ code: 0, stderr: "" });
    expect(first.stdout).toContain("written runs/quotes/probes/single_double_quote/comment.svg");
    const curves = events(again.stdout).filter(({ event }) => event === "probe");
    expect(curves.map(({ probe }) => probe)).toEqual(["comment", "nested", "strings"]);
    for (const { probe, plots, json, points } of curves) {
      expect(JSON.parse(bytes(json as string).toString())).toMatchObject({ format: "sparse-circuits/probe", points });
      expect(bytes((plots as string[])[0]!).equals(bytes(`runs/quotes/probes/single_double_quote/${probe}.svg`))).toBe(
        true,
      );
    }
    fs.rmSync(at("runs/quotes/probes"), { recursive: true });
  });

  it("is not overwritten without --force", async () => {
    const before = listing(at("runs/quotes"));
    const { code, stderr } = await sparse(dir, ...TRAIN);
    expect(code).toBe(2);
    expect(stderr).toContain("runs/quotes exists already");
    expect(stderr).toContain("--force");
    expect(listing(at("runs/quotes"))).toEqual(before);
  });

  it("has the same bytes for the same seed at any number of threads, and --force replaces another", async () => {
    const before = await sparse(dir, ...TRAIN, "--seed", "1", "--out", "again", "--json");
    expect(before.code).toBe(3);
    expect(bytes("again", MODEL).equals(bytes("runs/quotes", MODEL))).toBe(false);
    const { code, stdout } = await sparse(dir, ...TRAIN, "--out", "again", "--force", "--threads", "1", "--json");
    expect(code).toBe(3);
    expect(events(stdout).at(-1)).toMatchObject({ event: "done", run: "again", threads: 1 });
    for (const file of [MODEL, "metrics.jsonl", "tokenizer.json", "config.json"]) {
      expect(bytes("again", file).equals(bytes("runs/quotes", file)), file).toBe(true);
    }
    expect(fs.readdirSync(dir).filter((name) => name.startsWith("."))).toEqual([]);
  });

  it("tells with --profile where its steps spent their time, and trains the same", async () => {
    const [text, json] = await Promise.all([
      sparse(dir, ...TRAIN, "--out", "profiled", "--profile"),
      sparse(dir, ...TRAIN, "--out", "profiled-json", "--profile", "--json"),
    ]);
    for (const words of ["by kernel", "mean of 20 steps", "linear c_fc.weight", "outside of the kernels"]) {
      expect(text.stdout).toContain(words);
    }
    const profile = events(json.stdout).find((e) => e.event === "profile")!;
    expect(profile).toMatchObject({ steps: 20, stepMs: expect.any(Number), jsShare: expect.any(Number) });
    for (const folder of ["profiled", "profiled-json"]) {
      expect(bytes(folder, MODEL).equals(bytes("runs/quotes", MODEL))).toBe(true);
    }
  });

  it("streams JSON that ends with done", async () => {
    const all = events((await sparse(dir, ...TRAIN, "--out", "json", "--json")).stdout);
    const names = ["start", "step", "eval", "step", "checkpoint", "error", "done"];
    expect(all.map((e) => e.event)).toEqual(names);
    const done = all.at(-1)!;
    for (const key of ["taskLoss", "pairAccuracy", "valLoss", "density", "l0", "tokensPerSecond", "seconds"]) {
      expect(done[key], key).toEqual(expect.any(Number));
    }
    expect(done).toMatchObject({ run: "json", engine: expect.any(String), learned: false });
    expect(done.tasks).toHaveProperty("single_double_quote.taskLoss");
  });

  it("takes settings from a file, under --set and flags", async () => {
    fs.writeFileSync(
      at("own.json"),
      JSON.stringify({ task: "quotes", training: { steps: 2, lr: 0.5, eps: 0.2 }, data: { bigramTokens: 0 } }),
    );
    const args = ["--set", "training.lr=0.25", "--set", "model.width=16", "--steps", "3", "--density", "1/2"];
    const { code } = await sparse(dir, "train", "--config", "own.json", ...args, "--engine", "reference", ...SMALLEST);
    expect(code).toBe(3);
    const { config } = JSON.parse(bytes("runs/quotes-small/config.json").toString()) as { config: typeof Object };
    expect(config).toMatchObject({ training: { steps: 3, lr: 0.25, eps: 0.2, density: 0.5 }, model: { width: 16 } });
    const env = JSON.parse(bytes("runs/quotes-small/env.json").toString()) as object;
    expect(env).toMatchObject({ engine: { name: "reference" } });
  });

  it("is scored by eval, on its tasks only", async () => {
    const [all, one, other] = await Promise.all([
      sparse(dir, "eval", "runs/quotes"),
      sparse(dir, "eval", "runs/quotes", "--variant", "far", "--split", "val", "--json"),
      sparse(dir, "eval", "runs/quotes", "--variant", "lnog"),
    ]);
    expect(all.code).toBe(0);
    expect(all.stdout).toMatch(/single_double_quote +base .*\n +far .*\n +long .*\n +names /);
    expect(one.code).toBe(0);
    expect(events(one.stdout)).toMatchObject([{ event: "eval", variant: "far", pairs: 512 }, { event: "done" }]);
    expect(other).toMatchObject({ code: 2, stderr: expect.stringContaining('"long"') });
  });

  it("is refused when it is damaged", async () => {
    fs.cpSync(at("again"), at("damaged"), { recursive: true });
    const file = at("damaged", MODEL);
    fs.truncateSync(file, fs.statSync(file).size - 100);
    const { code, stderr } = await sparse(dir, "eval", "damaged");
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining("model.safetensors") });
    fs.rmSync(at("damaged/DONE"));
    const unfinished = await sparse(dir, "eval", "damaged");
    expect(unfinished).toMatchObject({ code: 2, stderr: expect.stringContaining("sparse train --resume damaged") });
    const resumed = await sparse(dir, "train", "--resume", "damaged");
    expect(resumed).toMatchObject({ code: 2, stderr: expect.stringContaining("model.safetensors") });
  });

  it("is refused where nothing can be written", async () => {
    fs.writeFileSync(at("file"), "");
    const { code, stderr } = await sparse(dir, ...TRAIN, "--out", "file/run");
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringMatching(/^error: cannot write .*file/) });
  });
});

/** As little as a run can be, for the slow engine. */
const SMALLEST = ["--out", "runs/quotes-small", "--set", "model.layers=1", "--set", "model.neurons=16"];

describe("interruption", { timeout: TIMEOUT }, () => {
  const LAST = ["model", "optimizer"].map((name) => `checkpoints/step-000200/${name}.safetensors`);
  const long = [...TRAIN.map((arg) => (arg === "20" ? "200" : arg)), "--set", "logging.checkpointEvery=64"];

  it.each([[], ["--dense-grad-every", "9"]])(
    "keeps what is finished, and resuming gives the bytes of an unbroken run (%s)",
    async (...more) => {
      const args = [...long, ...more, "--force"];
      const whole = sparse(dir, ...args, "--out", "whole");
      const job = start("sparse", [...args, "--out", "broken", "--json"], dir);
      await job.seen('"step":70');
      job.child.kill("SIGINT");
      const { code, stdout, stderr } = await job.ended;
      expect(code).toBe(130);
      expect(stderr).toContain("sparse train --resume broken");
      const last = events(stdout).slice(-2);
      expect(last).toMatchObject([{ event: "checkpoint" }, { event: "error", code: "interrupted" }]);
      expect(last[0]!.step).toBeGreaterThanOrEqual(70);
      expect(last[0]!.step).toBeLessThan(200);
      expect(fs.existsSync(at("broken/DONE"))).toBe(false);
      const resumed = await sparse(dir, "train", "--resume", "broken");
      expect(resumed.code).toBe(3);
      expect(resumed.stdout).toContain("continued after step");
      expect((await whole).code).toBe(3);
      for (const file of [...LAST, "metrics.jsonl", "report.json"]) {
        expect(bytes("broken", file).equals(bytes("whole", file)), file).toBe(true);
      }
    },
  );

  it("of a forced run keeps the old one until the new one is finished", async () => {
    const job = start("sparse", [...long, "--out", "again", "--force", "--json"], dir);
    await job.seen('"step":10');
    job.child.kill("SIGINT");
    expect((await job.ended).code).toBe(130);
    expect(fs.existsSync(at(".again.replaced/DONE"))).toBe(true);
  });

  it("by the end of a pipe's reader stops the run like Ctrl-C", async () => {
    const job = start("sparse", [...long, "--out", "piped", "--json"], dir);
    await job.seen('"step":10');
    job.child.stdout!.destroy();
    expect(await job.ended).toMatchObject({ code: 130, stderr: expect.not.stringContaining("EPIPE") });
    expect(fs.readdirSync(at("piped/checkpoints"))).not.toEqual([]);
  });
});

it("learns quotes: exit 0 and the next command", { timeout: TIMEOUT }, async () => {
  const sizes = ["model.width=64", "model.layers=1", "model.contextLength=64", "training.batch=16", "training.lr=0.02"];
  const set = sizes.flatMap((setting) => ["--set", setting]);
  const { code, stdout } = await sparse(
    dir,
    "train",
    "--task",
    "quotes",
    "--out",
    "l",
    "--steps",
    "400",
    ...set,
    "--density",
    "1/4",
  );
  expect({ code, stdout }).toEqual({
    code: 0,
    stdout: expect.stringMatching(/ learned\n(?:.*\n)*Next: circuit extract l\n$/),
  });
});

describe("forward", () => {
  it.concurrent.each(folders("", "checkpoints"))(
    "gives PyTorch's logits for %s",
    { timeout: TIMEOUT },
    async (name) => {
      const folder = path.join(FIXTURES, "checkpoints", name);
      const out = at(`${name}.safetensors`);
      const tokens = path.join(folder, "io_meta.json");
      const { code } = await sparse(dir, "forward", folder, "--tokens", tokens, "--out", out, "--sites", "*.post_act");
      expect(code).toBe(0);
      const { tensors, metadata } = readSafetensors(out);
      const expected = readPack("checkpoints", name, "io").get("logits")!;
      expect(tensors.get("logits")!.shape).toEqual(expected.shape);
      expectWithin(tensors.get("logits")!.values, expected.values, TOLERANCE.activation, `logits of ${name}`);
      expect([...tensors.keys()].slice(0, 2)).toEqual(["logits", "0.mlp.post_act"]);
      expect(JSON.parse(metadata.get("tokens")!)).toHaveLength(expected.shape[0]!);
    },
  );
});
