import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { STATEMENT_KINDS } from "../../src/data/grammar/kinds.ts";
import { HELD_OUT, NEVER_OPENED, NEVER_QUOTED } from "../../src/data/grammar/names.ts";
import { Grammar, type GrammarOptions, grammarOptions, PROFILES, type Program } from "../../src/data/grammar.ts";
import { cutPieces } from "../../src/data/pretokenize.ts";
import { Rng } from "../../src/util/rng.ts";
import { checkProperty } from "../support/property.ts";
import { complaints, python } from "../support/python.ts";

const EVERY_KIND: GrammarOptions = {
  weights: Object.fromEntries(STATEMENT_KINDS.map((kind) => [kind, 1])),
  docStmts: [8, 24],
  maxDepth: 3,
  quoteNoise: 0.3,
};

const MIXES: Record<string, GrammarOptions> = { ...PROFILES, "every kind": EVERY_KIND };

function programs(options: GrammarOptions, count: number): Program[] {
  const grammar = new Grammar(options);
  return Array.from({ length: count }, (_, i) => grammar.program(Rng.of("grammar.test", i)));
}

/** Text from the beginning to each quote decision, and which quote is right. */
function quoteDecisions(options: GrammarOptions): { before: string; right: string }[] {
  return programs(options, 300).flatMap(({ text, marks }) =>
    marks
      .filter((mark) => mark.task === "single_double_quote")
      .map(({ offset }) => ({ before: text.slice(0, offset), right: text[offset]! })),
  );
}

function accuracy(options: GrammarOptions, rule: (before: string) => string): number {
  const decisions = quoteDecisions(options);
  expect(decisions.length).toBeGreaterThan(1000);
  return decisions.filter(({ before, right }) => rule(before) === right).length / decisions.length;
}

/** The kind of quote of which more were opened than closed, by the tokens of calls. */
function openCallQuotes(before: string): string {
  const pieces = cutPieces(before);
  const count = (...tokens: string[]): number => pieces.filter((piece) => tokens.includes(piece)).length;
  const open = (quote: string): number => count(`(${quote}`) - count(`${quote})\n`, `${quote},`);
  return open('"') > open("'") ? '"' : "'";
}

/** The kind of quote that has an odd number of characters. */
function oddQuotes(before: string): string {
  return before.split('"').length % 2 === 0 ? '"' : "'";
}

function lastCallQuote(before: string): string {
  return before.lastIndexOf('("') > before.lastIndexOf("('") ? '"' : "'";
}

describe.each(Object.entries(MIXES))("grammar, %s", (_, options) => {
  it("gives the same program for the same key, whatever was drawn before", () => {
    const grammar = new Grammar(options);
    const law = ([seed, index]: [number, number]): void => {
      const first = grammar.program(Rng.of(seed, index));
      grammar.program(Rng.of(seed, index + 1));
      expect(new Grammar(options).program(Rng.of(seed, index))).toEqual(first);
      expect(grammar.program(Rng.of(seed, index + 1)).text).not.toBe(first.text);
    };
    checkProperty(fc.tuple(fc.nat(), fc.nat()), 50, law);
  });

  it("writes printable ASCII lines", () => {
    for (const { text } of programs(options, 300)) expect(text).toMatch(/^([ -~]+\n)+$/);
  });

  it("marks decisions at a piece boundary, before a completion of one piece that is not the wrong one", () => {
    const tasks = new Set<string>();
    for (const { text, marks } of programs(options, 200)) {
      const starts = new Map<number, string>();
      let offset = 0;
      for (const piece of cutPieces(text)) {
        starts.set(offset, piece);
        offset += piece.length;
      }
      for (const mark of marks) {
        tasks.add(mark.task);
        expect(starts.get(mark.offset), `${mark.task} in\n${text}`).toBeDefined();
        expect(starts.get(mark.offset)).not.toBe(mark.wrong);
        expect(cutPieces(mark.wrong)).toHaveLength(1);
      }
    }
    expect(tasks).toContain("single_double_quote");
  });

  it("takes either side of the quote decision equally often", () => {
    const decisions = quoteDecisions({ ...options, weights: { ...options.weights, quote: 8 } });
    const double = decisions.filter(({ right }) => right === '"').length / decisions.length;
    expect(Math.abs(double - 0.5)).toBeLessThan(0.05);
  });

  it.skipIf(python === undefined)("parses as Python, and reads only what it bound", () => {
    const texts = programs(options, 1000).map(({ text }) => text);
    const wrong = complaints(texts, { names: true })
      .map((complaint, i) => ({ complaint, text: texts[i] }))
      .filter(({ complaint }) => complaint !== "");
    expect(wrong.slice(0, 3)).toEqual([]);
  });
});

describe("the quotes profiles", () => {
  it("quotes: counting quotes is always right", () => {
    expect(accuracy(PROFILES.quotes, openCallQuotes)).toBe(1);
    expect(accuracy(PROFILES.quotes, oddQuotes)).toBe(1);
  });

  it("quotes-hard: counting fails, the last opening call quote is always right", () => {
    expect(accuracy(PROFILES["quotes-hard"], openCallQuotes)).toBeLessThan(0.8);
    expect(accuracy(PROFILES["quotes-hard"], oddQuotes)).toBeLessThan(0.8);
    expect(accuracy(PROFILES["quotes-hard"], lastCallQuote)).toBe(1);
  });
});

describe("held-out names are used, but never in the role", () => {
  const text = Object.values(PROFILES)
    .flatMap((options) => programs(options, 500))
    .map((program) => program.text)
    .join("")
    .replaceAll(/^ *#.*\n/gm, "");
  const inBraces = /\{\w+\}/g;
  const strings = new Set(
    text.match(/(["'])[^\n]*?\1/g)!.flatMap((part) => part.replaceAll(inBraces, "").split(/\W+/)),
  );
  const names = new Set(text.replaceAll(/(["'])[^\n]*?\1/g, "").split(/\W+/));

  /** Everything that `pattern` has in its group. */
  const found = (pattern: RegExp): Set<string> => new Set([...text.matchAll(pattern)].map((match) => match[1]!));

  it.each([
    ["call with a string", HELD_OUT.quoteFuncs, found(/\b(\w+)\(["']/g), names, "print"],
    ["swap", HELD_OUT.swapped, found(/(?<=^ *(?:\w+, )?)(\w+)(?=(?:, \w+)? = \w+, \w+$)/gm), names, "count"],
    ["definition", HELD_OUT.defined, found(/\b(?:def|lambda) (\w+)/g), names, "load"],
    ["file", NEVER_OPENED, found(/open\("(\w+)\./g), strings, "users"],
    ["string", NEVER_QUOTED, strings, names, "ready"],
  ])("%s", (_, heldOut, inRole, elsewhere, usual) => {
    expect(inRole).toContain(usual);
    for (const name of heldOut) {
      expect(inRole).not.toContain(name);
      expect(elsewhere).toContain(name);
    }
  });
});

describe("grammar options", () => {
  it("keep to weights, depth and length", () => {
    const flat = programs({ ...EVERY_KIND, maxDepth: 0 }, 100);
    for (const { text } of flat) expect(text).not.toMatch(/^ /m);
    const comments = programs({ weights: { comment: 1 }, docStmts: [3, 3], maxDepth: 2, quoteNoise: 0 }, 20);
    for (const { text } of comments) expect(text).toMatch(/^(#[a-z ]+\n){3}$/);
  });

  it("do not depend on the order in which weights are written", () => {
    const [one, other] = [
      { quote: 1, assign: 2 },
      { assign: 2, quote: 1 },
    ].map((weights) => programs({ ...PROFILES.quotes, weights }, 5));
    expect(one).toEqual(other);
  });

  it("replace the profile's", () => {
    expect(grammarOptions("quotes", { maxDepth: 0 })).toEqual({ ...PROFILES.quotes, maxDepth: 0 });
  });

  it.each([
    ["an unknown profile", () => grammarOptions("qoutes"), /"qoutes"/, /Did you mean "quotes"/],
    ["an unknown kind", () => grammarOptions("quotes", { weights: { quotes: 1 } as never }), /"quotes"/, /"quote"/],
    ["a negative weight", () => grammarOptions("quotes", { weights: { if: -1 } }), /weight of if is -1/, /./],
    ["no weight", () => grammarOptions("quotes", { weights: {} }), /all weights are 0/, /./],
    ["no statements", () => grammarOptions("quotes", { docStmts: [0, 4] }), /docStmts is \[0, 4\]/, /./],
    ["a broken depth", () => grammarOptions("quotes", { maxDepth: 1.5 }), /maxDepth is 1.5/, /./],
    ["too much noise", () => grammarOptions("quotes", { quoteNoise: 2 }), /quoteNoise is 2/, /./],
  ])("refuse %s", (_, make, message, hint) => {
    expect(make).toThrow(
      expect.objectContaining({
        exitCode: 2,
        message: expect.stringMatching(message),
        hint: expect.stringMatching(hint),
      }),
    );
  });

  it("keep a preamble from binding the names it must avoid", () => {
    const grammar = new Grammar({ ...EVERY_KIND, maxDepth: 0, weights: { assign: 1 } });
    const lines = (avoid: string[]): string => {
      const next = grammar.statements(Rng.of("avoid"), avoid);
      return Array.from({ length: 400 }, next).join("");
    };
    expect(lines([])).toMatch(/^count = /m);
    expect(lines(["count", "node"])).not.toMatch(/^(count|node) = /m);
  });
});
