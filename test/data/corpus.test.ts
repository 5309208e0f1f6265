import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bigramLogProbs } from "../../src/data/bigrams.ts";
import { type CorpusSplit, CorpusStream, type DocumentSource, proceduralSource } from "../../src/data/corpus.ts";
import { Decontaminator } from "../../src/data/decontaminate.ts";
import { type Mark, PROFILES } from "../../src/data/grammar.ts";
import { heldOutFilter, PairSource } from "../../src/data/pairs.ts";
import { closedTokenizer } from "../../src/data/tokenizer.ts";
import { taskTokenizer } from "../../src/data/vocabulary.ts";
import { findTasks, TASKS } from "../../tasks/index.ts";
import { checkProperty } from "../support/property.ts";

const tokenizer = taskTokenizer(PROFILES.quotes, TASKS);
const source = proceduralSource(PROFILES.quotes, 1, "train");

function fixedSource(texts: readonly string[], marks: readonly Mark[] = []): DocumentSource {
  return { id: "fixed", document: (index) => ({ text: texts[index % texts.length]!, marks }) };
}

describe("corpus stream", () => {
  it("is end-of-text and documents, without a gap between windows", () => {
    const expected: number[] = [];
    for (let i = 0; expected.length < 4000; i++) {
      expected.push(tokenizer.eot, ...tokenizer.encode(source.document(i).text));
    }
    const stream = new CorpusStream(source, tokenizer);
    const got = [stream.batch(2, 31), stream.batch(8, 128), stream.batch(1, 4)].flatMap((batch) => [...batch.tokens]);
    expect(got).toHaveLength(2 * 32 + 8 * 129 + 5);
    expect(got).toEqual(expected.slice(0, got.length));
  });

  it("goes on from a cursor as if it had never stopped", () => {
    const shape = fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 90 }));
    const law = ([before, after]: [[number, number][], [number, number][]]): void => {
      const whole = new CorpusStream(source, tokenizer);
      for (const [rows, length] of before) whole.batch(rows, length);
      const cursor = JSON.parse(JSON.stringify(whole.cursor()));
      const resumed = new CorpusStream(source, tokenizer, { cursor });
      expect(resumed.cursor()).toEqual(whole.cursor());
      for (const [rows, length] of after) expect(resumed.batch(rows, length)).toEqual(whole.batch(rows, length));
      expect(resumed.cursor()).toEqual(whole.cursor());
    };
    checkProperty(
      fc.tuple(fc.array(shape, { maxLength: 4 }), fc.array(shape, { minLength: 1, maxLength: 3 })),
      60,
      law,
    );
  });

  it("resumes at the very end of a document", () => {
    const tiny = fixedSource(["a\n", "b\n"]);
    const whole = new CorpusStream(tiny, tokenizer);
    whole.batch(1, 2);
    const resumed = new CorpusStream(tiny, tokenizer, { cursor: whole.cursor() });
    expect(tokenizer.decode(resumed.batch(1, 2).tokens)).toBe("<|endoftext|>b\n");
  });

  it("refuses a cursor of another corpus, or past a document", () => {
    const cursor = new CorpusStream(source, tokenizer).cursor();
    const others: [DocumentSource, typeof tokenizer][] = [
      [proceduralSource(PROFILES.quotes, 2, "train"), tokenizer],
      [proceduralSource(PROFILES.quotes, 1, "val"), tokenizer],
      [proceduralSource(PROFILES["quotes-hard"], 1, "train"), tokenizer],
      [proceduralSource({ ...PROFILES.quotes, weights: { quote: 1 } }, 1, "train"), tokenizer],
      [source, closedTokenizer([])],
    ];
    for (const [other, its] of others) {
      expect(() => new CorpusStream(other, its, { cursor })).toThrow(
        expect.objectContaining({ code: "corpus-cursor" }),
      );
    }
    for (const change of [{ token: 1e6 }, { token: -1 }, { document: 0.5 }, { version: 2 as 1 }]) {
      expect(() => new CorpusStream(source, tokenizer, { cursor: { ...cursor, ...change } })).toThrow(
        expect.objectContaining({ code: "corpus-cursor", exitCode: 2 }),
      );
    }
  });

  it("shares no document between splits or seeds", () => {
    const seen = new Set<string>();
    for (const seed of [1, 2]) {
      for (const split of ["train", "val", "calib"] satisfies CorpusSplit[]) {
        const documents = proceduralSource(PROFILES.quotes, seed, split);
        for (let i = 0; i < 500; i++) seen.add(documents.document(i).text);
      }
    }
    expect(seen.size).toBe(2 * 3 * 500);
  });

  it("places marks on the tokens they are about", () => {
    const stream = new CorpusStream(source, tokenizer, { marks: true });
    const plain = new CorpusStream(source, tokenizer);
    const length = 41;
    const found = new Map<string, number>();
    let ended = 0;
    for (let i = 0; i < 20; i++) {
      const batch = stream.batch(7, length - 1);
      expect(batch.tokens).toEqual(plain.batch(7, length - 1).tokens);
      for (const mark of batch.marks) {
        expect(mark.position).toBeGreaterThanOrEqual(0);
        expect(mark.position).toBeLessThan(length - 1);
        expect(batch.tokens[mark.row * length + mark.position + 1]).toBe(mark.right);
        expect(mark.right).not.toBe(mark.wrong);
        if (mark.task === "single_double_quote") {
          const [right, wrong] = mark.side === "pos" ? ['")\n', "')\n"] : ["')\n", '")\n'];
          expect([mark.right, mark.wrong]).toEqual([tokenizer.idOf(right!), tokenizer.idOf(wrong!)]);
        }
        found.set(mark.task, (found.get(mark.task) ?? 0) + 1);
      }
      const ends = ['")\n', "')\n"].map((text) => tokenizer.idOf(text)!);
      const places = [...batch.tokens.keys()].filter((at) => at % length !== 0 && ends.includes(batch.tokens[at]!));
      ended += places.length;
      for (const { task, row, position } of batch.marks) {
        if (task === "single_double_quote") expect(places).toContain(row * length + position + 1);
      }
    }
    // Strings that end a call are quoted calls, but for the few of set-or-string and print with a name.
    expect(ended).toBeGreaterThan(100);
    expect(found.get("single_double_quote")).toBeGreaterThan(ended * 0.8);
    expect(found.get("set_or_string")).toBeGreaterThan(5);
  });
});

describe("decontamination", () => {
  const pairs = new PairSource(TASKS[0]!, tokenizer, { seed: 3, contextLength: 128 });
  const held = pairs.pairs("test", 50);
  const decontaminator = new Decontaminator(held.flatMap(({ pos, neg }) => [pos, neg]));
  const planted = pairs.pair("test", 17);

  it("drops a planted document, and only that", () => {
    const clean = [0, 1, 2].map((i) => source.document(i).text);
    const texts = [clean[0]!, `done = True\n${planted.neg.prompt}${planted.neg.target}x = 5\n`, clean[1]!, clean[2]!];
    const stream = new CorpusStream(fixedSource(texts), tokenizer, { decontaminator });
    const expected = clean.flatMap((text) => [tokenizer.eot, ...tokenizer.encode(text)]);
    expect([...stream.batch(1, expected.length - 1).tokens]).toEqual(expected);
    expect(stream.droppedDocuments).toBe(1);
    expect(stream.documents).toBe(4);
    const resumed = new CorpusStream(fixedSource(texts), tokenizer, { decontaminator, cursor: stream.cursor() });
    expect(resumed.batch(2, 99)).toEqual(stream.batch(2, 99));
    expect(resumed.droppedDocuments).toBe(stream.droppedDocuments);
  });

  it("finds the last 24 tokens of a prompt anywhere, and no 23", () => {
    const end = [...held[0]!.pos].slice(-24);
    checkProperty(fc.tuple(fc.array(fc.nat(500), { maxLength: 40 }), fc.nat(23)), 100, ([around, at]) => {
      expect(decontaminator.contains([...around, ...end, ...around])).toBe(true);
      expect(decontaminator.contains([...around, ...end.with(at, 600), ...around])).toBe(false);
    });
  });

  it("is not misled by windows of equal hash", () => {
    const base = 0x01000193;
    const short = new Decontaminator([[1, base + 5]], 2);
    expect(short.contains([7, 1, base + 5, 7])).toBe(true);
    expect(short.contains([7, 2, 5, 7])).toBe(false);
  });

  it("knows equal sets of prompts, and refuses prompts too short to tell apart", () => {
    const prompts = held.map((pair) => pair.pos);
    expect(new Decontaminator([...prompts].reverse()).fingerprint).toBe(new Decontaminator(prompts).fingerprint);
    expect(new Decontaminator(prompts.slice(1)).fingerprint).not.toBe(new Decontaminator(prompts).fingerprint);
    expect(new Decontaminator([...prompts, ...prompts]).size).toBe(50);
    expect(() => new Decontaminator([[1, 2, 3]])).toThrow(expect.objectContaining({ code: "short-prompt" }));
  });

  it("looks for each task's prompts by its own window", () => {
    const tasks = ["var_swap", "class_init"].flatMap(findTasks);
    const its = taskTokenizer(PROFILES.binding, tasks);
    const [swaps, classes] = tasks.map((task) => new PairSource(task, its, { seed: 3, contextLength: 128 }));
    const filter = heldOutFilter([swaps!, classes!]);
    for (const [from, window] of [
      [swaps!, 24],
      [classes!, 32],
    ] as const) {
      for (const split of ["val", "test"] as const) {
        for (const { pos, neg } of from.pairs(split, 20)) {
          for (const prompt of [pos, neg]) {
            expect(prompt.length).toBeGreaterThan(window);
            expect(filter.contains([its.eot, ...prompt.slice(-window), 5])).toBe(true);
            expect(filter.contains([its.eot, ...prompt.slice(1 - window), 5])).toBe(false);
          }
        }
      }
      expect(filter.contains(from.pairs("train", 1)[0]!.pos)).toBe(false);
    }
    expect(heldOutFilter([classes!]).fingerprint).not.toBe(filter.fingerprint);
  });

  it("gives up when there is nothing but held-out prompts", () => {
    const bad = fixedSource([planted.pos.prompt]);
    expect(() => new CorpusStream(bad, tokenizer, { decontaminator })).toThrow(/10000 documents in a row/);
  });
});

describe("bigram table", () => {
  it("counts neighbours, document ends included", () => {
    const tiny = closedTokenizer([]);
    const [a, b, eot, V] = [tiny.idOf("a")!, tiny.idOf("b")!, tiny.eot, tiny.vocabSize];
    // The stream: E a b b E a b b E; a is followed by b twice, b by b twice and by E twice, E by a twice.
    const table = bigramLogProbs(new CorpusStream(fixedSource(["abb"]), tiny), V, 9, 0.5);
    const probability = (count: number, total: number): number => Math.log((count + 0.5) / (total + 0.5 * V));
    expect(table).toHaveLength(V * V);
    expect(table[a * V + b]).toBeCloseTo(probability(2, 2), 5);
    expect(table[b * V + b]).toBeCloseTo(probability(2, 4), 5);
    expect(table[b * V + eot]).toBeCloseTo(probability(2, 4), 5);
    expect(table[eot * V + a]).toBeCloseTo(probability(2, 2), 5);
    expect(table[eot * V + b]).toBeCloseTo(probability(0, 2), 5);
    expect(table[0]).toBeCloseTo(-Math.log(V), 5);
  });

  it("counts every neighbour of a long stream", () => {
    const tiny = closedTokenizer([]);
    const [b, eot, V] = [tiny.idOf("b")!, tiny.eot, tiny.vocabSize];
    const table = bigramLogProbs(new CorpusStream(fixedSource(["abb"]), tiny), V, 70_000, 0.1);
    // Tokens 2 and 3 of every four are b; the last token of all is a b that nothing follows.
    expect(table[b * V + eot]).toBeCloseTo(Math.log((17_499 + 0.1) / (34_999 + 0.1 * V)), 5);
  });

  it("has rows that sum to one, and does not depend on how the stream is read", () => {
    const V = tokenizer.vocabSize;
    const table = bigramLogProbs(new CorpusStream(source, tokenizer), V, 70_000);
    for (let row = 0; row < V; row++) {
      let sum = 0;
      for (let j = 0; j < V; j++) sum += Math.exp(table[row * V + j]!);
      expect(sum).toBeCloseTo(1, 4);
    }
    const ids = new CorpusStream(source, tokenizer).batch(1, 69_999).tokens;
    const [from, to] = [tokenizer.idOf("print")!, tokenizer.idOf('("')!];
    let [row, pair] = [0, 0];
    for (let i = 0; i + 1 < ids.length; i++) {
      if (ids[i] !== from) continue;
      row++;
      if (ids[i + 1] === to) pair++;
    }
    expect(table[from * V + to]).toBeCloseTo(Math.log((pair + 0.1) / (row + 0.1 * V)), 5);
  });
});
