import { describe, expect, it } from "vitest";
import { HELD_OUT, NEVER_QUOTED } from "../../src/data/grammar/names.ts";
import { PROFILES } from "../../src/data/grammar.ts";
import { PairSource } from "../../src/data/pairs.ts";
import type { ContrastPair } from "../../src/data/task.ts";
import { taskTokenizer } from "../../src/data/vocabulary.ts";
import { findTasks } from "../../tasks/index.ts";

const spec = findTasks("quotes")[0]!;
const tokenizer = taskTokenizer(PROFILES.quotes, [spec]);
const pairs = new PairSource(spec, tokenizer, { seed: 1, contextLength: 128 });

function draw(variant: string, count = 200): ContrastPair[] {
  return Array.from({ length: count }, (_, i) => pairs.pair("train", i, variant));
}

/** The last line of a prompt, as callee and words. */
function lastCall(prompt: string): { callee: string; words: string[] } {
  const [callee, text] = prompt.slice(prompt.lastIndexOf("\n") + 1).split(/\(["']/);
  return { callee: callee!, words: text!.split(" ") };
}

describe("quotes", () => {
  it.each(["base", "far", "long", "names"])("%s: the prompts differ in the opening token alone", (variant) => {
    for (const pair of draw(variant)) {
      const { pos, neg } = pairs.encode(pair);
      const different = [...pos.keys()].filter((i) => pos[i] !== neg[i]);
      expect(different).toHaveLength(1);
      expect(tokenizer.decode([pos[different[0]!]!, neg[different[0]!]!])).toBe(`("('`);
      expect([pair.pos.target, pair.neg.target]).toEqual(['")\n', "')\n"]);
    }
  });

  it("far: 3 to 6 more statements than the draft needs", () => {
    for (const { pos } of draw("far")) {
      const lines = pos.prompt.split("\n").slice(0, -1);
      expect(lines.length).toBeGreaterThanOrEqual(4);
      // Without three of its statements the prompt still has all that a shortest prompt needs, or one statement.
      const shorter = tokenizer.encode([...lines.slice(3), lastCall(pos.prompt).callee].join("\n")).length;
      expect(lines.length - 3 >= 1 || shorter >= 24).toBe(true);
    }
    const mean = (variant: string): number =>
      draw(variant).reduce((sum, p) => sum + p.pos.prompt.split("\n").length, 0) / 200;
    const more = mean("far") - mean("base");
    expect(more).toBeGreaterThan(4);
    expect(more).toBeLessThan(5.5);
  });

  it("long: 8 to 40 words, all lengths", () => {
    const counts = draw("long", 400).map(({ pos }) => lastCall(pos.prompt).words.length);
    expect([Math.min(...counts), Math.max(...counts)]).toEqual([8, 40]);
    for (const { pos } of draw("base")) expect(lastCall(pos.prompt).words.length).toBeLessThanOrEqual(5);
  });

  it("names: only held-out functions and words", () => {
    for (const { pos } of draw("names")) {
      const { callee, words } = lastCall(pos.prompt);
      expect(HELD_OUT.quoteFuncs).toContain(callee);
      for (const word of words) expect(NEVER_QUOTED).toContain(word);
    }
    for (const { pos } of draw("base")) expect(HELD_OUT.quoteFuncs).not.toContain(lastCall(pos.prompt).callee);
  });

  it.each([0, 1, 2, 3, 4])("probes at %i disturb each side with as many of the other kind", (x) => {
    for (const { pos, neg } of draw(`comment@${x}`, 50)) {
      expect(pos.prompt.match(/^# \w+\('/gm)?.length ?? 0).toBe(x);
      expect(neg.prompt.match(/^# \w+\("/gm)?.length ?? 0).toBe(x);
    }
    for (const { pos, neg } of draw(`nested@${x}`, 50)) {
      expect(pos.prompt.slice(pos.prompt.lastIndexOf("\n")).match(/ '\w+'(?= )/g)?.length ?? 0).toBe(x);
      expect(neg.prompt.slice(neg.prompt.lastIndexOf("\n")).match(/ "\w+"(?= )/g)?.length ?? 0).toBe(x);
    }
    for (const { pos, neg } of draw(`strings@${x}`, 50)) {
      const lines = (prompt: string): string[] => prompt.split("\n").slice(0, -1);
      const changed = lines(pos.prompt).filter((line, i) => line !== lines(neg.prompt)[i]);
      expect(changed).toHaveLength(x);
      for (const line of changed) expect(line).toMatch(/^\w+\('[a-z ]+'\)$/);
    }
  });
});
