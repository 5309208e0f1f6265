import { describe, expect, it } from "vitest";
import { Grammar, grammarOptions, PROFILES } from "../../src/data/grammar.ts";
import { cutPieces } from "../../src/data/pretokenize.ts";
import { drawOf, probeVariants, type Side, sideText, type TaskSpec } from "../../src/data/task.ts";
import type { Tokenizer } from "../../src/data/tokenizer.ts";
import { taskTokenizer } from "../../src/data/vocabulary.ts";
import { Rng } from "../../src/util/rng.ts";
import { findTasks, TASKS } from "../../tasks/index.ts";
import { complaints, python } from "../support/python.ts";
import {
  allVariants,
  checkDistinct,
  checkPairs,
  differsInFewLines,
  hasFittingLengths,
  hasSingleTargets,
  isRepeatable,
  isWhole,
  type LawSubject,
  sharesPreamble,
  source,
} from "./laws.ts";

describe("registry", () => {
  it.each(["quotes", "single_double_quote", "single_double_quote_beeg", "single_double_quote_beeg96", "all"])(
    "finds %s",
    (name) => {
      expect(findTasks(name).map((task) => task.name)).toContain("single_double_quote");
    },
  );

  it("names the nearest for an unknown one", () => {
    expect(() => findTasks("qoutes")).toThrow(
      expect.objectContaining({ code: "unknown-task", exitCode: 2, hint: expect.stringContaining('"quotes"') }),
    );
    expect(() => findTasks("single_double_quote_beegs")).toThrow(/single_double_quote_beegs/);
  });

  it("has the twenty tasks in eight groups, each found by its name, its viewer's name and its group", () => {
    expect(TASKS).toHaveLength(20);
    expect(new Set(TASKS.map((task) => task.group)).size).toBe(8);
    for (const task of TASKS) {
      for (const name of [task.name, `${task.name}_beeg`, `${task.name}_beeg7`])
        expect(findTasks(name)).toEqual([task]);
      expect(findTasks(task.group)).toContain(task);
    }
    expect(findTasks("all")).toEqual(TASKS);
    const groups = (...names: string[]) => TASKS.filter((task) => names.includes(task.group));
    expect(findTasks("loops, quotes")).toEqual(groups("loops", "quotes"));
    expect(() => findTasks("loops,qoutes")).toThrow(/"qoutes"/);
  });

  it.each(["strings@2.5", "strings@-1", "strings@", "strings@x"])("has no probe %s", (variant) => {
    expect(() => drawOf(findTasks("quotes")[0]!, variant)).toThrow(/no variant/);
  });

  it("has no name twice, and a corpus for each", () => {
    const names = TASKS.flatMap((task) => [task.name, ...(task.aliases ?? [])]);
    expect(new Set(names).size).toBe(names.length);
    for (const task of TASKS) expect(() => grammarOptions("quotes", { weights: task.focus })).not.toThrow();
  });
});

/** Tokenizers that every task must do with, made for it. */
const TOKENIZERS: readonly [kind: string, make: (spec: TaskSpec) => Tokenizer][] = [
  ["closed", (spec) => taskTokenizer({ ...PROFILES.quotes, weights: spec.focus }, [spec])],
];

const subjects = TOKENIZERS.flatMap(([kind, make]) => TASKS.map((spec) => [spec.name, kind, spec, make] as const));

describe.each(subjects)("task %s, %s tokenizer", (_name, _kind, spec, make) => {
  const subject: LawSubject = { spec, tokenizer: make(spec), contextLength: 128 };

  it("draws the same pair for the same arguments", () => checkPairs(subject, 40, isRepeatable));
  it("has single, known, different targets; whole prompts of equal, fitting length, that differ in few lines", () => {
    const laws = [hasSingleTargets, isWhole, hasFittingLengths, sharesPreamble, differsInFewLines];
    checkPairs(subject, 300, (pair, from) => {
      for (const law of laws) law(pair, from);
    });
  });

  it.each(allVariants(spec))("%s: no pair twice", (variant) => {
    checkDistinct(subject, variant, variant === "base" ? 1000 : variant.includes("@") ? 50 : 200);
  });

  it.skipIf(python === undefined)("parses as Python when completed", () => {
    const texts: string[] = [];
    for (const variant of allVariants(spec)) {
      const from = source(subject, 5);
      for (let i = 0; i < 50; i++) {
        const { pos, neg } = from.pair("train", i, variant);
        for (const side of [pos, neg]) texts.push(sideText(side));
      }
    }
    const wrong = complaints(texts)
      .map((complaint, i) => ({ complaint, text: texts[i] }))
      .filter(({ complaint }) => complaint !== "");
    expect(wrong.slice(0, 3)).toEqual([]);
    expect(texts.length).toBeGreaterThanOrEqual(100);
  });
});

describe.each(TASKS.map((spec) => [spec.name, spec] as const))("task %s", (name, spec) => {
  const pairs = source({ spec, tokenizer: TOKENIZERS[0]![1](spec), contextLength: 128 }, 3);
  const drawn = Array.from({ length: 2000 }, (_, i) => pairs.pair("train", i));

  it("sweeps each probe upwards", () => {
    for (const variant of probeVariants(spec)) expect(variant).toMatch(/^[a-z]+@\d+$/);
    for (const { values } of Object.values(spec.probes ?? {})) {
      expect(values.length).toBeGreaterThan(1);
      expect(values.toSorted((a, b) => a - b)).toEqual(values);
    }
  });

  it("is not decided by the last token alone", () => {
    const last = ({ prompt }: Side): string => cutPieces(prompt).at(-1)!;
    const alike = drawn.filter(({ pos, neg }) => last(pos) === last(neg)).length;
    expect(alike).toBe(["else_elif", "if_equals"].includes(name) ? 0 : drawn.length);
  });

  it("has each completion as often on either side, where names are copied", () => {
    const counts = new Map<string, [pos: number, neg: number]>();
    for (const { pos, neg } of drawn) {
      for (const [side, target] of [pos.target, neg.target].entries()) {
        const count = counts.get(target) ?? [0, 0];
        count[side]!++;
        counts.set(target, count);
      }
    }
    if (!["var_swap", "class_init"].includes(name)) {
      for (const [pos, neg] of counts.values()) expect(pos * neg).toBe(0);
      return;
    }
    expect(counts.size).toBeGreaterThan(10);
    for (const [pos, neg] of counts.values()) {
      // Within four standard deviations of a fair coin.
      expect(Math.abs(pos - neg)).toBeLessThan(4 * Math.sqrt(pos + neg));
    }
  });
});

describe("decision marks", () => {
  const targets = (spec: TaskSpec): Record<"pos" | "neg", Set<string>> => {
    const pairs = source({ spec, tokenizer: TOKENIZERS[0]![1](spec), contextLength: 128 }, 3);
    const drawn = Array.from({ length: 500 }, (_, i) => pairs.pair("train", i));
    const of = (side: "pos" | "neg") => new Set(drawn.map((pair) => pair[side].target));
    return { pos: of("pos"), neg: of("neg") };
  };
  const other = { pos: "neg", neg: "pos" } as const;
  const groups = [...new Set(TASKS.map((task) => task.group)), "full"];

  it.each(groups)("%s: both sides of every task are frequent, with the task's completions", (profile) => {
    const grammar = new Grammar(grammarOptions(profile));
    const programs = Array.from({ length: 1500 }, (_, i) => grammar.program(Rng.of("marks", profile, i)));
    const tokens = programs.reduce((sum, { text }) => sum + cutPieces(text).length, 0);
    const marks = programs.flatMap(({ text, marks: its }) =>
      its.map((mark) => ({ ...mark, right: cutPieces(text.slice(mark.offset, mark.offset + 30))[0]! })),
    );
    for (const spec of TASKS.filter((task) => profile === "full" || task.group === profile)) {
      const wanted = targets(spec);
      const found = marks.filter(({ task }) => task === spec.name);
      const strange = found.filter(({ side, right, wrong }) =>
        ["var_swap", "class_init"].includes(spec.name)
          ? !/^ [a-z]+, [a-z]+$/.test([right, wrong].join())
          : !(wanted[side].has(right) && wanted[other[side]].has(wrong)),
      );
      expect(strange.slice(0, 3)).toEqual([]);
      for (const side of ["pos", "neg"] as const) {
        const density = found.filter((mark) => mark.side === side).length / (tokens / 1000);
        expect(density, `${spec.name}, ${side}`).toBeGreaterThan(profile === "full" ? 0.4 : 1.5);
      }
    }
  });

  it("are not decided by the token before them", () => {
    const grammar = new Grammar(grammarOptions("full"));
    const seen = new Map<string, Record<"pos" | "neg", number>>();
    for (let i = 0; i < 3000; i++) {
      const { text, marks } = grammar.program(Rng.of("before", i));
      for (const { task, side, offset } of marks) {
        const key = `${task} after ${JSON.stringify(cutPieces(text.slice(0, offset)).at(-1))}`;
        const count = seen.get(key) ?? { pos: 0, neg: 0 };
        count[side]++;
        seen.set(key, count);
      }
    }
    const one = [...seen].filter(([, { pos, neg }]) => pos + neg >= 60 && pos * neg === 0).map(([key]) => key);
    // Of these tasks the prompts themselves end in different tokens.
    const bigrams = /^(else_elif|if_equals) after/;
    expect(one.filter((key) => !bigrams.test(key))).toEqual([]);
    expect(seen.size).toBeGreaterThan(200);
  });
});
