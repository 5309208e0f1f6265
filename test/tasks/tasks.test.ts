import { describe, expect, it } from "vitest";
import { grammarOptions, PROFILES } from "../../src/data/grammar.ts";
import { probeVariants } from "../../src/data/task.ts";
import { taskTokenizer } from "../../src/data/vocabulary.ts";
import { findTasks, TASKS } from "../../tasks/index.ts";
import { complaints, python } from "../support/python.ts";
import {
  allVariants,
  checkDistinct,
  checkPairs,
  hasFittingLengths,
  hasSingleTargets,
  isRepeatable,
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

  it("has no name twice, and a corpus for each", () => {
    const names = TASKS.flatMap((task) => [task.name, ...(task.aliases ?? [])]);
    expect(new Set(names).size).toBe(names.length);
    for (const task of TASKS) expect(() => grammarOptions("quotes", { weights: task.focus })).not.toThrow();
  });
});

describe.each(TASKS.map((spec) => [spec.name, spec] as const))("task %s", (_, spec) => {
  const tokenizer = taskTokenizer({ ...PROFILES.quotes, weights: spec.focus }, [spec]);
  const subject: LawSubject = { spec, tokenizer, contextLength: 128 };

  it("draws the same pair for the same arguments", () => checkPairs(subject, 60, isRepeatable));
  it("has single, known, different targets", () => checkPairs(subject, 300, hasSingleTargets));
  it("has prompts of equal, fitting length", () => checkPairs(subject, 300, hasFittingLengths));
  it("has different prompts after a shared preamble", () => checkPairs(subject, 300, sharesPreamble));

  it.each(allVariants(spec))("%s: no pair twice", (variant) => {
    checkDistinct(subject, variant, variant.includes("@") ? 100 : 1000);
  });

  it.skipIf(python === undefined)("parses as Python when completed", () => {
    const texts: string[] = [];
    for (const variant of allVariants(spec)) {
      const from = source(subject, 5);
      for (let i = 0; i < 50; i++) {
        const { pos, neg } = from.pair("train", i, variant);
        for (const side of [pos, neg]) texts.push(side.prompt + side.target + (side.tail ?? ""));
      }
    }
    const wrong = complaints(texts)
      .map((complaint, i) => ({ complaint, text: texts[i] }))
      .filter(({ complaint }) => complaint !== "");
    expect(wrong.slice(0, 3)).toEqual([]);
    expect(texts.length).toBeGreaterThanOrEqual(100);
  });

  it("sweeps each probe from the undisturbed draft", () => {
    for (const name of probeVariants(spec)) expect(name).toMatch(/^[a-z]+@\d+$/);
    for (const probe of Object.values(spec.probes ?? {}))
      expect(probe.values.toSorted((a, b) => a - b)).toEqual(probe.values);
  });
});
