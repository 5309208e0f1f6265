/** Real corpora and tokenizers on the command line: what is counted and written, and what is refused. */
import * as fs from "node:fs";
import * as path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { HELD_OUT } from "../../src/data/grammar/names.ts";
import { Grammar, PROFILES } from "../../src/data/grammar.ts";
import { closedTokenizer } from "../../src/data/tokenizer.ts";
import { tokenizerFromJson, tokenizerToJson } from "../../src/data/tokenizer-json.ts";
import { taskTokenizer } from "../../src/data/vocabulary.ts";
import { Rng } from "../../src/util/rng.ts";
import { findTasks } from "../../tasks/index.ts";
import { useTempDir } from "../support/temp.ts";
import { run } from "./programs.ts";

const temp = useTempDir();
const before = process.env.SPARSE_CACHE;
beforeEach(() => {
  process.env.SPARSE_CACHE = temp("cache");
});
afterEach(() => {
  if (before === undefined) delete process.env.SPARSE_CACHE;
  else process.env.SPARSE_CACHE = before;
});

/** A folder of programs, with two files that cannot be used. */
function folder(files = 200): string {
  const grammar = new Grammar(PROFILES.quotes);
  fs.mkdirSync(temp("src"));
  for (let i = 0; i < files; i++) {
    fs.writeFileSync(temp("src", `${i}.py`), `${grammar.program(Rng.of("files", i)).text}# end of file ${i}: 日本\n`);
  }
  fs.writeFileSync(temp("src", "empty.py"), "");
  fs.writeFileSync(temp("src", "image.py"), new Uint8Array(100));
  return temp("src");
}

function write(name: string, text: string): string {
  fs.writeFileSync(temp(name), text);
  return temp(name);
}

function done(stdout: string): Record<string, Record<string, unknown>> {
  return JSON.parse(stdout.trimEnd().split("\n").at(-1)!) as Record<string, Record<string, unknown>>;
}

describe("corpus stats", () => {
  it("counts a folder: documents, splits, what was left out and why", async () => {
    const src = folder();
    const { code, stdout, stderr } = await run("corpus", "stats", src, "--tokens", "20000");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/^200 documents in 202 files, /);
    expect(stdout).toContain("Left out: ");
    for (const text of ["1 too short", "1 binary", "calib", "0 unknown", "No decision points"]) {
      expect(stdout).toContain(text);
    }
    const json = done((await run("corpus", "stats", src, "--tokens", "20000", "--json")).stdout);
    expect(json.corpus).toMatchObject({ documents: 200, found: 202, skipped: { "too short": 1, binary: 1 } });
    const splits = json.corpus!.splits as Record<string, { tokens: number }>;
    expect(splits.train!.tokens + splits.val!.tokens + splits.calib!.tokens).toBe(json.corpus!.tokens);
    expect(json.stream).toMatchObject({ tokens: 20000, unknown: 0, decisions: {} });
  });

  it("counts the decision points of procedural text, alone and in a mix", async () => {
    const alone = done((await run("corpus", "stats", "--profile", "quotes", "--tokens", "20000", "--json")).stdout);
    const flags = ["--mix", "procedural=0.5", "--task", "quotes", "--tokens", "20000", "--json"];
    const mixed = done((await run("corpus", "stats", folder(), ...flags)).stdout);
    const quotes = [alone, mixed].map(({ stream }) => {
      return (stream!.decisions as Record<string, number>).single_double_quote!;
    });
    expect(quotes[0]).toBeGreaterThan(500);
    expect(quotes[1]! / quotes[0]!).toBeGreaterThan(0.2);
    expect(quotes[1]! / quotes[0]!).toBeLessThan(0.8);
  });

  it("shows the unknown bytes of a closed vocabulary", async () => {
    const { stdout } = await run("corpus", "stats", folder(), "--tokenizer", "closed", "--tokens", "5000", "--json");
    expect(done(stdout).stream!.unknown).toBeGreaterThan(10);
  });
});

describe("tokenizer train", () => {
  it("writes tokenizer.json and tiktoken ranks, the same for the same text", async () => {
    const flags = ["--vocab", "600", "--json"];
    const src = folder();
    const files = ["--out", temp("new/a.json"), "--tiktoken", temp("a.tiktoken")];
    const { code, stdout } = await run("tokenizer", "train", src, ...flags, ...files);
    expect(code).toBe(0);
    expect(done(stdout)).toMatchObject({ vocabSize: 600, merges: 600 - 257 });
    const text = fs.readFileSync(temp("new/a.json"), "utf8");
    const tokenizer = tokenizerFromJson(text, "a.json");
    expect(tokenizer.vocabSize).toBe(600);
    expect(fs.readFileSync(temp("a.tiktoken"), "utf8").split("\n")).toHaveLength(600);
    await run("tokenizer", "train", src, ...flags, "--out", temp("b.json"));
    expect(fs.readFileSync(temp("b.json"), "utf8")).toBe(text);
    await run("tokenizer", "train", src, ...flags, "--regex", "published", "--out", temp("c.json"));
    expect(fs.readFileSync(temp("c.json"), "utf8")).not.toContain("\\\\[(?=");
  });

  it("says so when the text has too few pairs", async () => {
    const { code, stdout, stderr } = await run("tokenizer", "train", folder(5), "--out", temp("a.json"));
    expect(code).toBe(0);
    expect(stderr).toMatch(/^note: the text has pairs for [\d,]+ of 2,048 tokens only/);
    expect(stdout).toMatch(/^[\d,]+ tokens, [\d,]+ merges in /);
  });

  it("has the completions of a task as single tokens when it is named", async () => {
    await run("tokenizer", "train", folder(20), "--task", "quotes", "--vocab", "900", "--out", temp("a.json"));
    const tokenizer = tokenizerFromJson(fs.readFileSync(temp("a.json"), "utf8"), "a.json");
    for (const piece of ['")\n', "')\n", "scan", " river"]) expect(tokenizer.isSingle(piece)).toBe(true);
  });
});

describe("refused", () => {
  const TRAIN = ["train", "--task", "quotes", "--steps", "5"];
  it.each<[string, () => readonly string[], readonly string[]]>([
    ["an unknown path", () => [...TRAIN, "--corpus", temp("none")], ["none: no such file or folder"]],
    [
      "a corpus of nothing",
      () => [...TRAIN, "--corpus", write("a.py", "x = 1\n")],
      ["a.py: no documents can be used", "1 too short", "64 bytes"],
    ],
    [
      "a line that is not JSON",
      () => [...TRAIN, "--corpus", write("a.jsonl", '{"text": "x"}\nhello\n')],
      ["a.jsonl, line 2 is not JSON"],
    ],
    [
      "a field that is not there",
      () => ["corpus", "stats", write("a.jsonl", '{"text": "x"}\n'), "--text-field", "content"],
      ['a.jsonl, line 1 has no field "content"', "--text-field text"],
    ],
    ["a mix of nothing", () => [...TRAIN, "--mix", "procedural=0.3"], ["no real corpus to mix with", "--corpus"]],
    [
      "a mix of everything",
      () => [...TRAIN, "--corpus", folder(4), "--mix", "procedural=1"],
      ['received "procedural=1"', "--mix procedural=0.3"],
    ],
    ["another mix", () => [...TRAIN, "--mix", "0.3"], ['received "0.3"']],
    ["a missing tokenizer", () => [...TRAIN, "--tokenizer", temp("none.json")], ["none.json: no such file"]],
    ["a tokenizer that is none", () => [...TRAIN, "--tokenizer", write("t.json", "{}")], ["t.json is not a tokenizer"]],
    [
      "a vocabulary too small",
      () => [...TRAIN, "--corpus", folder(4), "--set", "data.vocabSize=300"],
      ["A vocabulary of 300 was asked for", "2048"],
    ],
    [
      "a vocabulary too large",
      () => ["tokenizer", "train", folder(4), "--vocab", "70000", "--out", temp("t.json")],
      ["65536"],
    ],
    ["no place to write to", () => ["tokenizer", "train", folder(4)], ["--out <file>"]],
    [
      "an unknown pattern",
      () => ["tokenizer", "train", folder(4), "--regex", "publishd", "--out", temp("t.json")],
      ['received "publishd"', "published"],
    ],
    ["an unknown profile", () => ["corpus", "stats", "--profile", "quots"], ['"quots"', '"quotes"']],
    ["an unknown subcommand", () => ["corpus", "stat"], ["unknown command 'stat'", '"stats"']],
  ])("%s, with nothing written", async (_, args, says) => {
    const all = args();
    const out = all[0] === "train" ? ["--out", temp("run")] : [];
    const { code, stdout, stderr } = await run(...all, ...out);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    for (const text of says) expect(stderr).toContain(text);
    expect(fs.existsSync(temp("run"))).toBe(false);
    expect(fs.existsSync(temp("t.json")) && all[0] === "tokenizer").toBe(false);
  });

  it("a tokenizer that lacks a task's names or completions names task, what it lacks and remedy", async () => {
    const src = folder(30);
    expect((await run("tokenizer", "train", src, "--vocab", "257", "--out", temp("t.json"))).code).toBe(0);
    const { code, stderr } = await run(...TRAIN, "--corpus", src, "--tokenizer", temp("t.json"), "--out", temp("run"));
    expect(code).toBe(2);
    expect(stderr).toContain("single_double_quote");
    expect(stderr).toContain('the pool "words"');
    expect(stderr).toContain("sparse tokenizer train");
    expect(fs.existsSync(temp("run"))).toBe(false);
  });
});

it("leaves variants out of the scores that a tokenizer has no names for, unless they are asked for", async () => {
  const tasks = findTasks("quotes");
  const lacking = HELD_OUT.quoteFuncs.flatMap((name) => [name, ` ${name}`] as string[]);
  const { pieces } = taskTokenizer(PROFILES.quotes, tasks);
  const others = pieces.filter((piece) => !lacking.includes(piece) && !/^<.+>$/.test(piece));
  fs.writeFileSync(temp("t.json"), tokenizerToJson(closedTokenizer(others)));
  const small = ["--steps", "1", "--set", "model.width=32", "--set", "data.bigramTokens=1000"];
  const args = ["--tokenizer", temp("t.json"), "--out", temp("run")];
  expect((await run("train", "--task", "quotes", ...small, ...args)).code).toBe(3);
  const { code, stdout } = await run("eval", temp("run"));
  expect(code).toBe(0);
  expect(stdout).toMatch(/names .*- .*the tokenizer lacks its names/);
  expect(stdout).toMatch(/far +\d/);
  const asked = await run("eval", temp("run"), "--variant", "names");
  expect(asked).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("single_double_quote (names): expected 1 or more"),
  });
});

describe("a run's own files", () => {
  it("tell of a tokenizer that is not the one it was trained with, and of a corpus that has changed", async () => {
    const src = folder(60);
    const flags = ["--set", "data.vocabSize=700", "--set", "model.width=32", "--set", "logging.evalTokens=1024"];
    const bigram = ["--set", "data.bigramTokens=5000"];
    const args = ["train", "--task", "quotes", "--corpus", src, "--steps", "3", ...flags, ...bigram];
    expect((await run(...args, "--out", temp("run"))).code).toBe(3);
    expect(JSON.parse(fs.readFileSync(temp("run/corpus.json"), "utf8"))).toMatchObject({
      format: "sparse-circuits/corpus",
      documents: 60,
      skipped: { "too short": 1, binary: 1 },
      options: { paths: [path.resolve(src)] },
    });
    expect((await run("eval", temp("run"))).code).toBe(0);

    fs.rmSync(temp("run/DONE"));
    fs.appendFileSync(path.join(src, "3.py"), "total = total + 1\n");
    // The cache still has the text as it was.
    expect((await run("train", "--resume", temp("run"))).code).toBe(3);
    fs.rmSync(temp("run/DONE"));
    fs.rmSync(temp("cache"), { recursive: true });
    const changed = await run("train", "--resume", temp("run"));
    expect(changed.code).toBe(2);
    expect(changed.stderr).toContain("3.py is gone or has changed");
    fs.writeFileSync(temp("run/DONE"), "finished\n");

    const file = temp("run/tokenizer.json");
    const json = fs.readFileSync(file, "utf8");
    fs.writeFileSync(file, json.replace('"!": 0', '"!": 1').replace('"\\"": 1', '"\\"": 0'));
    const other = await run("eval", temp("run"));
    expect(other.code).toBe(2);
    expect(other.stderr).toMatch(/tokenizer\.json is not the tokenizer that the model was trained with: expected hash/);
  }, 60_000);
});
