/** Training on real text from beginning to end: killed in the middle, resumed, evaluated, and asked for its circuit. */
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Grammar, PROFILES } from "../../src/data/grammar.ts";
import { Rng } from "../../src/util/rng.ts";
import { events, sparse, start } from "./cli.ts";

let dir = "";
const before = process.env.SPARSE_CACHE;
beforeAll(() => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), "sparse-circuits-e2e-"));
  process.env.SPARSE_CACHE = path.join(dir, "cache");
  fs.mkdirSync(path.join(dir, "src"));
  const grammar = new Grammar(PROFILES["quotes-hard"]);
  for (let i = 0; i < 150; i++) {
    fs.writeFileSync(path.join(dir, "src", `${i}.py`), grammar.program(Rng.of("files", i)).text);
  }
});
afterAll(() => {
  fs.rmSync(dir, { recursive: true, force: true });
  if (before === undefined) delete process.env.SPARSE_CACHE;
  else process.env.SPARSE_CACHE = before;
});

const SETTINGS = {
  "data.vocabSize": 800,
  "data.bigramTokens": 20_000,
  "model.width": 32,
  "model.layers": 1,
  "training.batch": 2,
  "logging.evalEvery": 20,
  "logging.evalTokens": 1024,
  "logging.evalPairs": 16,
  "logging.checkpointEvery": 10,
};
const SET = Object.entries(SETTINGS).flatMap(([key, value]) => ["--set", `${key}=${value}`]);
const TRAIN = ["train", "--task", "quotes", "--corpus", "src", "--mix", "procedural=0.3", "--steps", "60", ...SET];

it("is the same run killed and resumed as left alone", { timeout: 120_000 }, async () => {
  const whole = await sparse(dir, ...TRAIN, "--out", "whole", "--json");
  expect(whole.code).toBe(3);
  expect(events(whole.stdout).find((e) => e.event === "corpus")).toMatchObject({ documents: 150, skipped: {} });

  const killed = start("sparse", [...TRAIN, "--out", "killed", "--json"], dir);
  await killed.seen('"event":"checkpoint"');
  killed.child.kill("SIGKILL");
  expect((await killed.ended).code).toBeNull();
  expect(fs.existsSync(path.join(dir, "killed/DONE"))).toBe(false);
  // Without the cache, which is made again; and from another folder.
  fs.rmSync(path.join(dir, "cache"), { recursive: true });
  const resumed = await sparse(os.tmpdir(), "train", "--resume", path.join(dir, "killed"));
  expect(resumed.code).toBe(3);
  const step = "checkpoints/step-000060";
  for (const file of [
    ...["config.json", "tokenizer.json", "metrics.jsonl", "corpus.json"],
    ...["model.safetensors", "optimizer.safetensors", "state.json"].map((name) => `${step}/${name}`),
  ]) {
    const [a, b] = ["whole", "killed"].map((run) => fs.readFileSync(path.join(dir, run, file)));
    expect(a!.equals(b!), file).toBe(true);
  }

  // Evaluation needs no text; extraction does, and says that the task was not learned.
  const scored = await sparse(dir, "eval", "killed", "--json");
  expect(scored.code).toBe(0);
  const extracted = await start("circuit", ["extract", "killed"], dir).ended;
  expect(extracted.code).toBe(3);
  expect(extracted.stderr).toContain("single_double_quote");

  // What the corpus was is known from the run alone: without it, or with half of it, nothing is read.
  const record = path.join(dir, "killed/corpus.json");
  for (const [text, says] of [
    ['{"format": "sparse-circuits/corpus", "version": 1}', 'field "content"'],
    [undefined, "corpus.json: no such file"],
  ] as const) {
    if (text === undefined) fs.rmSync(record);
    else fs.writeFileSync(record, text);
    const { code, stderr } = await start("circuit", ["extract", "killed"], dir).ended;
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining(says) });
  }
});
