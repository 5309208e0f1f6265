import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Grammar, PROFILES } from "../../src/data/grammar.ts";
import { cutPieces } from "../../src/data/pretokenize.ts";
import { closedTokenizer, EOT_TEXT } from "../../src/data/tokenizer.ts";
import { tokenizerFromJson, tokenizerToJson } from "../../src/data/tokenizer-json.ts";
import { taskTokenizer } from "../../src/data/vocabulary.ts";
import { Rng } from "../../src/util/rng.ts";
import { TASKS } from "../../tasks/index.ts";
import { checkProperty } from "../support/property.ts";

const tokenizer = taskTokenizer(PROFILES.quotes, TASKS);

const asciiText = fc.string({
  unit: fc.constantFrom("\n", ...Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i))),
});

describe("pieces", () => {
  it.each([
    ['print("ready line")\n', ["print", '("', "ready", " line", '")\n']],
    ["    x += 'a'\n", ["   ", " x", " +=", " '", "a", "'\n"]],
    ["grid = [[5, 3], [11]]\n", ["grid", " =", " [", "[", "5", ",", " ", "3", "],", " [", "11", "]]\n"]],
    ["if x:\n\n", ["if", " x", ":\n\n"]],
    ["1234 é_é", ["123", "4", " é", "_é"]],
  ])("of %j", (text, pieces) => {
    expect(cutPieces(text)).toEqual(pieces);
  });

  it("join to the text again", () => {
    checkProperty(fc.string({ unit: "binary", maxLength: 30 }), 200, (text) => {
      expect(cutPieces(text).join("")).toBe(text);
    });
  });
});

describe("closed tokenizer", () => {
  it("has unknown, alphabet, pieces in order, and end-of-text last", () => {
    const small = closedTokenizer([" b", "ab", " b", "a", ""]);
    expect(small.pieces).toHaveLength(1 + 96 + 2 + 1);
    expect(small.pieces.slice(97)).toEqual([" b", "ab", EOT_TEXT]);
    expect([small.unk, small.eot, small.vocabSize]).toEqual([0, 99, 100]);
    expect(small.encode("ab b\n")).toEqual([98, 97, 1]);
    expect(small.encode("b", [7])).toEqual([7, small.idOf("b")]);
    expect(closedTokenizer(["ab", " b"]).hash).toBe(small.hash);
    expect(closedTokenizer(["ab"]).hash).not.toBe(small.hash);
  });

  it("round-trips printable ASCII without unknowns", () => {
    checkProperty(asciiText, 500, (text) => {
      const ids = tokenizer.encode(text);
      expect(tokenizer.decode(ids)).toBe(text);
      expect(ids).not.toContain(tokenizer.unk);
    });
  });

  it("reads other bytes as one unknown each, and no special token out of text", () => {
    expect(tokenizer.encode("é")).toEqual([0, 0]);
    expect(tokenizer.encode("\t")).toEqual([0]);
    expect(tokenizer.decode([0, tokenizer.eot])).toBe("\uFFFD<|endoftext|>");
    expect(tokenizer.encode(EOT_TEXT)).not.toContain(tokenizer.eot);
    expect(tokenizer.encode("<unk>")).not.toContain(0);
    expect(() => tokenizer.decode([tokenizer.vocabSize])).toThrow(/outside the vocabulary/);
  });

  it("knows single tokens", () => {
    for (const text of ['("', "')\n", " line", "ready", "7", "42"]) expect(tokenizer.isSingle(text)).toBe(true);
    for (const text of ["", " 7", "zebra", "é", EOT_TEXT, "<unk>"]) expect(tokenizer.isSingle(text)).toBe(false);
    expect(tokenizer.pieces[tokenizer.idOf('")\n')!]).toBe('")\n');
    for (const text of ["zebra", EOT_TEXT, "<unk>"]) expect(tokenizer.idOf(text)).toBeUndefined();
  });
});

describe.each(Object.entries(PROFILES))("vocabulary of %s", (_, options) => {
  const own = taskTokenizer(options, TASKS);

  it("has every piece of documents that it has not seen", () => {
    const grammar = new Grammar(options);
    const spelled = new Map<string, number>();
    for (let i = 0; i < 3000; i++) {
      for (const piece of cutPieces(grammar.program(Rng.of("unseen", i)).text)) {
        if (!own.isSingle(piece)) spelled.set(piece, (spelled.get(piece) ?? 0) + 1);
      }
    }
    expect([...spelled]).toEqual([]);
  });

  it("is small and always the same", () => {
    expect(own.vocabSize).toBeGreaterThan(400);
    expect(own.vocabSize).toBeLessThan(700);
    expect(taskTokenizer(options, TASKS).hash).toBe(own.hash);
  });
});

interface TokenizerFile {
  version: string;
  added_tokens: { special: boolean }[];
  normalizer: unknown;
  pre_tokenizer: { pretokenizers: { pattern: { Regex: string }; behavior: string }[] };
  model: { vocab: Record<string, number>; merges: unknown[] } & Record<string, unknown>;
}

describe("tokenizer.json", () => {
  const json = tokenizerToJson(tokenizer);
  const edited = (edit: (file: TokenizerFile) => void): string => {
    const file = JSON.parse(json) as TokenizerFile;
    edit(file);
    return JSON.stringify(file);
  };

  it("loads as the tokenizer it was made of", () => {
    const loaded = tokenizerFromJson(json, "tokenizer.json");
    expect(loaded.pieces).toEqual(tokenizer.pieces);
    expect(loaded.hash).toBe(tokenizer.hash);
    expect(tokenizerToJson(loaded)).toBe(json);
    const { text } = new Grammar(PROFILES.quotes).program(Rng.of("reload"));
    expect(loaded.encode(`${text}\té`)).toEqual(tokenizer.encode(`${text}\té`));
  });

  it("names pieces in the byte-level alphabet", () => {
    const { vocab } = JSON.parse(json).model;
    expect(vocab.Ġline).toBe(tokenizer.idOf(" line"));
    expect(vocab['")Ċ']).toBe(tokenizer.idOf('")\n'));
  });

  it.each<[string, string, RegExp]>([
    ["truncated text", json.slice(0, json.length / 2), /not complete JSON/],
    ["an empty file", "", /not complete JSON/],
    ["something else", '{"a": 1}', /version/],
    ["a newer version", edited((f) => (f.version = "2.0")), /version/],
    ["a merge that makes no token", edited((f) => f.model.merges.push(["a", "b"])), /merge \["a","b"\] does not make/],
    ["a merge that is no pair", edited((f) => f.model.merges.push("a")), /merge \["a"\] does not make/],
    ["another model", edited((f) => (f.model.type = "WordPiece")), /model\.type/],
    ["a normalizer", edited((f) => (f.normalizer = { type: "NFC" })), /normalizer/],
    ["dropout", edited((f) => (f.model.dropout = 0.1)), /dropout/],
    ["byte fallback", edited((f) => (f.model.byte_fallback = true)), /byte_fallback/],
    ["another way to split", edited((f) => (f.pre_tokenizer.pretokenizers[0]!.behavior = "Removed")), /behavior/],
    [
      "a pattern of another language",
      edited((f) => (f.pre_tokenizer.pretokenizers[0]!.pattern.Regex = "(?i:'s)|\\p{L}++")),
      /pattern cannot be used/,
    ],
    ["no end-of-text", edited((f) => f.added_tokens.pop()), /expected the special token <\|endoftext\|>/],
    [
      "an added token that is read out of text",
      edited((f) => (f.added_tokens[0]!.special = false)),
      /"<unk>", which is not special/,
    ],
    ["a missing id", edited((f) => delete f.model.vocab.Ġline), /\d+ is missing/],
    ["too few bytes and no unknown token", edited((f) => (f.model.unk_token = null)), /lacks \d+ of the 256 bytes/],
    [
      "text that is not byte-level",
      edited(({ model: { vocab } }) => {
        vocab["€"] = vocab.a!;
        delete vocab.a;
      }),
      /"€" is not byte-level/,
    ],
  ])("refuses %s", (_, text, message) => {
    expect(() => tokenizerFromJson(text, "my/tokenizer.json")).toThrow(
      expect.objectContaining({
        exitCode: 2,
        message: expect.stringMatching(message),
        hint: expect.stringContaining("tokenizer.json"),
      }),
    );
    expect(() => tokenizerFromJson(text, "my/tokenizer.json")).toThrow(/my\/tokenizer\.json/);
  });
});
