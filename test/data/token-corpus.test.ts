import * as fs from "node:fs";
import * as path from "node:path";
import { describe, expect, it } from "vitest";
import { type CorpusSplit, CorpusStream, proceduralSource } from "../../src/data/corpus.ts";
import { Decontaminator } from "../../src/data/decontaminate.ts";
import { PROFILES } from "../../src/data/grammar.ts";
import { mixSources } from "../../src/data/mix.ts";
import { PairSource } from "../../src/data/pairs.ts";
import { type BuildProgress, openCorpus, type TokenCorpusOptions } from "../../src/data/token-corpus.ts";
import { closedTokenizer } from "../../src/data/tokenizer.ts";
import { taskTokenizer } from "../../src/data/vocabulary.ts";
import { TASKS } from "../../tasks/index.ts";
import { useTempDir } from "../support/temp.ts";

const temp = useTempDir();
const tokenizer = taskTokenizer(PROFILES.quotes, []);
const SPLITS: readonly CorpusSplit[] = ["train", "val", "calib"];

/** Program n says its number in every line. */
const program = (n: number, lines = 12): string => `total = ${n} + size\n`.repeat(lines);

function writePrograms(count: number, lines = 12): void {
  fs.mkdirSync(temp("src"), { recursive: true });
  for (let n = 0; n < count; n++) fs.writeFileSync(temp("src", `${n}.py`), program(n, lines));
}

async function open(more: Partial<TokenCorpusOptions> = {}, own = tokenizer) {
  const options = { paths: [temp("src")], extensions: [".py"], textField: "text", separator: "\n\n" };
  const all = { ...options, maxTokens: 1e6, segmentTokens: 50, ...more };
  const progress: BuildProgress[] = [];
  const onProgress = async (p: BuildProgress): Promise<void> => void progress.push(p);
  return { corpus: await openCorpus(all, own, { cache: temp("cache"), onProgress }), built: progress.length > 0 };
}

function textsOf(corpus: Awaited<ReturnType<typeof open>>["corpus"], split: CorpusSplit, seed: number, count: number) {
  const source = corpus.source(split, seed);
  return Array.from({ length: count }, (_, i) => {
    const document = source.document(i);
    return tokenizer.decode("tokens" in document ? document.tokens : []);
  });
}

describe("a corpus of tokens", () => {
  it("has every line of every document once, in one split, in segments that end with a line", async () => {
    writePrograms(300);
    const { corpus } = await open();
    const seen = new Map<string, CorpusSplit>();
    let lines = 0;
    for (const split of SPLITS) {
      const { segments, tokens } = corpus.size(split);
      expect(segments).toBeGreaterThan(0);
      let size = 0;
      for (const text of textsOf(corpus, split, 1, segments)) {
        const number = /^total = (\d+) \+ size\n/.exec(text)?.[1];
        expect(number).toBeDefined();
        expect(text).toBe(program(Number(number), text.split("\n").length - 1));
        expect(seen.get(number!) ?? split).toBe(split);
        seen.set(number!, split);
        lines += text.split("\n").length - 1;
        const length = tokenizer.encode(text).length;
        expect(length).toBeLessThanOrEqual(50);
        size += length;
      }
      expect(size).toBe(tokens);
    }
    expect(seen.size).toBe(300);
    expect(lines).toBe(300 * 12);
    const held = [...seen.values()].filter((split) => split !== "train").length;
    expect(held).toBeLessThan(25);
  });

  it("cuts a line that never ends, and stops at the number of tokens wanted", async () => {
    fs.mkdirSync(temp("src"));
    for (let n = 0; n < 9; n++) fs.writeFileSync(temp("src", `${n}.py`), `size${n}${" size".repeat(200)}`);
    const { corpus } = await open();
    for (const text of textsOf(corpus, "train", 0, 20)) expect(tokenizer.encode(text).length).toBeLessThanOrEqual(50);
    const { corpus: part } = await open({ maxTokens: 700 });
    expect(part.record.documents).toBe(4);
    expect(part.record.tokens).toBeLessThan(1000);
    expect(part.record.found).toBe(9);
  });

  it("is shuffled by the seed, anew in each pass", async () => {
    writePrograms(100);
    const { corpus } = await open();
    const n = corpus.size("train").segments;
    const twice = textsOf(corpus, "train", 1, 2 * n);
    const [first, second] = [twice.slice(0, n), twice.slice(n)];
    expect(textsOf(corpus, "train", 1, n)).toEqual(first);
    expect(second).not.toEqual(first);
    expect([...second].sort()).toEqual([...first].sort());
    expect(textsOf(corpus, "train", 2, n)).not.toEqual(first);
  });

  it("streams alike from any cursor", async () => {
    writePrograms(40);
    const { corpus } = await open();
    const whole = new CorpusStream(corpus.source("train", 3), tokenizer);
    whole.batch(7, 60);
    const cursor = JSON.parse(JSON.stringify(whole.cursor()));
    const resumed = new CorpusStream(corpus.source("train", 3), tokenizer, { cursor });
    for (let i = 0; i < 20; i++) expect(resumed.batch(3, 50)).toEqual(whole.batch(3, 50));
    expect(() => new CorpusStream(corpus.source("train", 4), tokenizer, { cursor })).toThrow(
      expect.objectContaining({ code: "corpus-cursor" }),
    );
  });

  it("fills all splits of a small corpus, and refuses one too small", async () => {
    writePrograms(3);
    const { corpus } = await open();
    const { corpus: cached, built } = await open();
    expect(built).toBe(false);
    for (const split of SPLITS) {
      expect(corpus.size(split).segments).toBeGreaterThan(0);
      expect(textsOf(cached, split, 1, 9)).toEqual(textsOf(corpus, split, 1, 9));
    }
    fs.rmSync(temp("src/0.py"));
    fs.writeFileSync(temp("src/0.py"), "x = 1\n");
    await expect(open()).rejects.toMatchObject({
      code: "corpus-empty",
      message: expect.stringMatching(/only 2 documents .* expected 3 or more \(left out: 1 too short\)/),
    });
  });
});

describe("decontamination", () => {
  it("drops the segment of a file that holds a held-out prompt", async () => {
    writePrograms(40);
    const own = taskTokenizer(PROFILES.quotes, TASKS);
    const pairs = new PairSource(TASKS[0]!, own, { seed: 3, contextLength: 128 });
    const planted = pairs.pair("test", 5);
    const decontaminator = new Decontaminator(pairs.pairs("test", 20).map(({ pos }) => pos));
    const text = `${planted.pos.prompt}${planted.pos.target}`;
    for (let n = 0; n < 40; n += 2) fs.writeFileSync(temp("src", `${n}.py`), `${text}size = ${n}\n`);
    const { corpus } = await open({ segmentTokens: 200 }, own);
    const stream = new CorpusStream(corpus.source("train", 1), own, { decontaminator });
    const read = own.decode(stream.batch(4, 400).tokens);
    expect(stream.droppedDocuments).toBeGreaterThan(0);
    expect(read).not.toContain(text);
    expect(read).toContain("total = 1 + size\n");
  });
});

describe("the cache", () => {
  it("is used again, and made again for other files, options or tokenizers, or when it is damaged", async () => {
    writePrograms(250);
    const first = await open();
    expect(first.built).toBe(true);
    const again = await open();
    expect(again.built).toBe(false);
    expect(again.corpus.record).toEqual(first.corpus.record);
    expect(textsOf(again.corpus, "train", 1, 50)).toEqual(textsOf(first.corpus, "train", 1, 50));
    expect((await open({ segmentTokens: 60 })).built).toBe(true);
    expect((await open({}, closedTokenizer(["total"]))).built).toBe(true);
    expect((await open()).built).toBe(false);

    const [folder] = cacheOf(first.corpus.record.content);
    for (const name of ["tokens.bin", "segments.bin", "corpus.json"]) {
      const file = path.join(folder!, name);
      const bytes = fs.readFileSync(file);
      for (const damaged of [
        bytes.subarray(0, bytes.length - 4),
        Buffer.concat([Buffer.from("xxxx"), bytes.subarray(4)]),
      ]) {
        fs.writeFileSync(file, damaged);
        const { corpus, built } = await open();
        expect(built).toBe(true);
        expect(corpus.record).toEqual(first.corpus.record);
      }
      fs.rmSync(file);
      expect((await open()).built).toBe(true);
    }
    expect((await open()).built).toBe(false);

    fs.appendFileSync(temp("src/7.py"), "total = 7\n");
    const changed = await open();
    expect(changed.built).toBe(true);
    expect(changed.corpus.record.content).not.toBe(first.corpus.record.content);
  });

  function cacheOf(content: string): string[] {
    const root = temp("cache/corpora");
    return fs
      .readdirSync(root)
      .map((name) => path.join(root, name))
      .filter((folder) => fs.readFileSync(path.join(folder, "corpus.json"), "utf8").includes(content));
  }
});

describe("a mix", () => {
  it("has its share of tokens, spread evenly, and every document of either part in turn", async () => {
    writePrograms(60);
    const { corpus } = await open();
    const real = corpus.source("train", 1);
    const procedural = proceduralSource(PROFILES.quotes, 1, "train");
    for (const share of [0.1, 0.3, 0.9]) {
      const mixed = mixSources(procedural, share, real, tokenizer);
      const sums = { procedural: 0, real: 0 };
      const next = { procedural: 0, real: 0 };
      for (let i = 0; i < 3000; i++) {
        const document = mixed.document(i);
        const kind = "text" in document ? "procedural" : "real";
        const part = (kind === "procedural" ? procedural : real).document(next[kind]++);
        expect(document).toEqual(part);
        sums[kind] += 1 + ("text" in document ? tokenizer.encode(document.text).length : document.tokens.length);
        const far = sums.procedural / (sums.procedural + sums.real);
        if (i > 600) expect(Math.abs(far - share)).toBeLessThan(0.03);
      }
    }
  });

  it("streams alike from any cursor, and marks the decisions of its procedural part", async () => {
    writePrograms(60);
    const { corpus } = await open();
    const mixed = () =>
      mixSources(proceduralSource(PROFILES.quotes, 1, "train"), 0.3, corpus.source("train", 1), tokenizer);
    const whole = new CorpusStream(mixed(), tokenizer, { marks: true });
    whole.batch(11, 64);
    const resumed = new CorpusStream(mixed(), tokenizer, { marks: true, cursor: whole.cursor() });
    const batch = whole.batch(40, 64);
    expect(resumed.batch(40, 64)).toEqual(batch);
    expect(batch.marks.length).toBeGreaterThan(5);
  });
});
