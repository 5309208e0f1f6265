import { describe, expect, it } from "vitest";
import { PROFILES } from "../../src/data/grammar.ts";
import { batchPairs, PairSource, SPLIT_SIZE, splitOf, taskEnv } from "../../src/data/pairs.ts";
import { type Draft, defineTask, drawNames, drawOf, type TaskSpec } from "../../src/data/task.ts";
import { closedTokenizer } from "../../src/data/tokenizer.ts";
import { taskTokenizer } from "../../src/data/vocabulary.ts";
import { Rng } from "../../src/util/rng.ts";
import { findTasks } from "../../tasks/index.ts";

const quotes = findTasks("quotes")[0]!;
const tokenizer = taskTokenizer(PROFILES.quotes, [quotes]);

/** A task of two endings, after `posLines` and `negLines` lines of four tokens. */
function uneven(posLines: number, negLines: number, more: Partial<TaskSpec> = {}): TaskSpec {
  const lines = (count: number): string => "size = index\n".repeat(count);
  return defineTask({
    name: "uneven",
    group: "test",
    doc: "for tests",
    draft: (rng): Draft => {
      const value = `count = ${rng.int(0, 99)}\n`;
      return {
        pos: { prompt: `${lines(posLines)}${value}if count`, target: " >", tail: " 5:\n    done = True\n" },
        neg: { prompt: `${lines(negLines)}${value}if total`, target: " <", tail: " 5:\n    done = True\n" },
        avoid: ["count", "total"],
      };
    },
    focus: { assign: 1 },
    ...more,
  });
}

function sourceOf(spec: TaskSpec, contextLength = 128, its = tokenizer): PairSource {
  return new PairSource(spec, its, { seed: 1, contextLength });
}

describe("padding", () => {
  it.each([
    [0, 1],
    [1, 0],
  ])("evens out cores of %i and %i more lines with one neutral line before them", (posLines, negLines) => {
    const pairs = sourceOf(uneven(posLines, negLines));
    for (let i = 0; i < 100; i++) {
      const pair = pairs.pair("train", i);
      const { pos, neg } = pairs.encode(pair);
      expect(pos.length).toBe(neg.length);
      const core = (prompt: string, lines: number): string[] => prompt.split("\n").slice(0, -2 - lines);
      const [before, other] = [core(pair.pos.prompt, posLines), core(pair.neg.prompt, negLines)];
      expect(before.slice(0, -1)).toEqual(other.slice(0, -1));
      expect(before.at(-1)).not.toBe(other.at(-1));
      for (const line of [...before, ...other]) expect(line).not.toMatch(/^(count|total) =/);
    }
  });

  it("adds none where lengths agree, or where they need not", () => {
    const even = sourceOf(uneven(0, 0)).pair("train", 0);
    expect(even.pos.prompt.replace(/total$/, "count")).toBe(even.neg.prompt.replace(/total$/, "count"));
    const pairs = sourceOf(uneven(1, 0, { sameLength: false }));
    const { pos, neg } = pairs.encode(pairs.pair("train", 0));
    expect(pos.length - neg.length).toBe(4);
    expect(neg.length - 1).toBeGreaterThanOrEqual(24);
  });

  it("gives up on a difference that no line evens out, naming task and tokenizer", () => {
    expect(() => sourceOf(uneven(3, 0)).pair("train", 0)).toThrow(
      expect.objectContaining({ code: "task-padding", message: expect.stringMatching(/uneven.*closed tokenizer/) }),
    );
  });
});

describe("splits", () => {
  it("are 8 : 1 : 1 of the drafts, by content", () => {
    const counts = { train: 0, val: 0, test: 0 };
    const env = taskEnv(tokenizer);
    const draws = sourceOf(quotes);
    for (let i = 0; i < 3000; i++) {
      const { pos } = draws.pair("train", i);
      counts[splitOf({ pos, neg: { prompt: String(i), target: "" } })]++;
    }
    expect(env.pools.words.length).toBeGreaterThan(30);
    expect(counts.train / 3000).toBeCloseTo(0.8, 1);
    expect(counts.val / 3000).toBeCloseTo(0.1, 1);
    expect(counts.test / 3000).toBeCloseTo(0.1, 1);
  });

  it("are found even where the draft is always the same, by the preamble", () => {
    const side = (target: string, name: string) => ({ prompt: `if ${name}`, target });
    const draft = { pos: side(" >", "count"), neg: side(" <", "total") };
    const pairs = sourceOf(uneven(0, 0, { draft: () => draft }));
    for (const split of ["train", "val", "test"] as const) expect(splitOf(pairs.pair(split, 0))).toBe(split);
  });
});

describe("encoding", () => {
  it("refuses a prompt that does not fit, with task and lengths", () => {
    const pairs = sourceOf(quotes, 26);
    expect(() => pairs.pairs("val", 50)).toThrow(
      expect.objectContaining({
        code: "prompt-length",
        exitCode: 2,
        message: expect.stringMatching(/single_double_quote.*has \d+ tokens.*context of 26 holds 25/),
      }),
    );
  });

  it("refuses targets that are not one token each, or equal", () => {
    const bare = sourceOf(quotes, 500, closedTokenizer(["count", " count"]));
    const withTargets = (pos: string, neg: string): TaskSpec =>
      uneven(0, 0, {
        draft: (rng) => ({
          pos: { prompt: `size = ${rng.int(0, 99)}\nif count`, target: pos },
          neg: { prompt: `size = ${rng.int(0, 99)}\nif total`, target: neg },
        }),
      });
    const codes = expect.objectContaining({ code: "task-target", exitCode: 2 });
    expect(() => bare.encode(sourceOf(quotes).pair("val", 0))).toThrow(codes);
    const ill = (pos: string, neg: string): PairSource => sourceOf(withTargets(pos, neg), 128);
    const encode = (pairs: PairSource) => () => pairs.encode(pairs.pair("train", 0));
    expect(encode(ill(" >", " >"))).toThrow(/target of both sides/);
    expect(encode(ill(" > 5", " <"))).toThrow(/is not one token/);
    expect(encode(ill("s", " <"))).toThrow(/not cut as one token after the prompt/);
    expect(encode(ill(" >", " <"))).not.toThrow();
    const joined = uneven(0, 0, {
      draft: () => ({
        pos: { prompt: "if count", target: " >", tail: "= 5:\n" },
        neg: { prompt: "if total", target: " <" },
      }),
    });
    expect(encode(sourceOf(joined))).toThrow(/not cut as one token after the prompt/);
  });

  it("uses only names that the tokenizer has as one token", () => {
    const env = taskEnv(closedTokenizer(["count", " count", "total"]));
    expect(env.pools.ints).toEqual(["count"]);
    expect(env.isSingle("total")).toBe(true);
    expect(env.isSingle(" total")).toBe(false);
    const draw = (count: number, avoid: string[] = []): string[] => drawNames(Rng.of(1), env, "ints", count, avoid);
    expect(draw(1)).toEqual(["count"]);
    const refused = expect.objectContaining({
      code: "task-names",
      exitCode: 2,
      message: expect.stringMatching(/"ints".* [01] /),
    });
    expect(() => draw(2)).toThrow(refused);
    expect(() => draw(1, ["count"])).toThrow(refused);
    expect(drawNames(Rng.of(1), env, ["count", "total"], 1)).toEqual(["count"]);
    for (const variant of ["base", "names"])
      expect(() => drawOf(quotes, variant)(Rng.of(1), env)).toThrow(/as single tokens/);
  });

  it("asks of a name only the forms that programs write", () => {
    const { pools } = taskEnv(closedTokenizer([" Node", "Item", "users", " settings", ".json", "txt", " item"]));
    expect(pools).toMatchObject({ classes: ["Node"], inputFiles: ["users"], extensions: ["json"] });
    expect(pools.loops).not.toContain("value");
    expect(pools.loops).toContain("item");
  });
});

describe("batches", () => {
  it("hold pairs in neighbouring rows, padded on the right", () => {
    const pairs = sourceOf(quotes);
    const encoded = pairs.pairs("val", 6, "long", 3);
    const batch = pairs.batch("val", 6, "long", 3);
    const { tokens, rows, length, last, right, wrong } = batch;
    expect([rows, length]).toEqual([12, Math.max(...encoded.map(({ pos }) => pos.length))]);
    expect(new Set(encoded.map(({ pos }) => pos.length)).size).toBeGreaterThan(1);
    encoded.forEach(({ pos, neg, posTarget, negTarget }, i) => {
      [pos, neg].forEach((prompt, side) => {
        const row = [...tokens.subarray((2 * i + side) * length, (2 * i + side + 1) * length)];
        expect(row.slice(0, prompt.length)).toEqual([...prompt]);
        expect(new Set(row.slice(prompt.length)).size).toBeLessThanOrEqual(1);
        expect(last[2 * i + side]).toBe(prompt.length - 1);
      });
      expect([right[2 * i], wrong[2 * i]]).toEqual([posTarget, negTarget]);
      expect([right[2 * i + 1], wrong[2 * i + 1]]).toEqual([negTarget, posTarget]);
    });
    expect(batchPairs(encoded, tokenizer, 100).length).toBe(100);
    expect(() => batchPairs(encoded, tokenizer, 10)).toThrow(expect.objectContaining({ code: "prompt-length" }));
  });

  it("list every validation and test prompt", () => {
    const pairs = sourceOf(quotes);
    const prompts = [...pairs.heldOutPrompts(["base", "names"])];
    expect(prompts).toHaveLength(2 * 2 * (SPLIT_SIZE.val + SPLIT_SIZE.test));
    expect(prompts[1]).toEqual(pairs.pairs("val", 1)[0]!.neg);
    expect(prompts.at(-1)).toEqual(pairs.pairs("test", 1, "names", SPLIT_SIZE.test - 1)[0]!.neg);
  });
});

describe("variants", () => {
  it("a task's own come first, then base, far and probes", () => {
    const own = () => ({ pos: { prompt: "a", target: "b" }, neg: { prompt: "c", target: "d" } });
    const spec = uneven(0, 0, {
      variants: { far: own },
      probes: { deep: { doc: "x", values: [0, 2], draw: (_rng, _env, x) => ({ ...own(), extra: x }) } },
    });
    expect(drawOf(spec, "far")).toBe(own);
    expect(drawOf(spec, "base")).toBe(spec.draft);
    expect(drawOf(spec, "deep@2")({} as never, {} as never).extra).toBe(2);
  });

  it.each(["fra", "nested", "nested@", "nested@x", "wrong@1", "toString"])("unknown: %s", (variant) => {
    expect(() => drawOf(quotes, variant)).toThrow(
      expect.objectContaining({
        code: "unknown-variant",
        exitCode: 2,
        message: expect.stringContaining("single_double_quote"),
        hint: expect.stringMatching(/Did you mean "/),
      }),
    );
  });
});
