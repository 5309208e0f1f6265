/** The trainer and its tokenizers against Hugging Face's own (the npm package `tokenizers`: the Rust library). */
import * as fs from "node:fs";
import fc from "fast-check";
import { Tokenizer as Peer } from "tokenizers";
import { beforeAll, describe, expect, it } from "vitest";
import { type Bpe, trainBpe } from "../../src/data/bpe/train.ts";
import { countPieces, PATTERNS, type PatternName, pieceCutter } from "../../src/data/pretokenize.ts";
import { tiktokenRanks } from "../../src/data/tiktoken.ts";
import { bpeTokenizer, EOT_TEXT, type Tokenizer } from "../../src/data/tokenizer.ts";
import { tokenizerFromJson, tokenizerToJson } from "../../src/data/tokenizer-json.ts";
import { checkProperty } from "../support/property.ts";
import { realText } from "../support/real-text.ts";
import { useTempDir } from "../support/temp.ts";

const temp = useTempDir();

const TEXTS = realText(2_000_000);

/** The peer reads its files line by line. */
const LINES = TEXTS.flatMap((text) => text.split(/(?<=\n)/));

function train(pattern: PatternName, size: number, required: readonly string[] = []): [Bpe, Tokenizer] {
  const bpe = trainBpe(countPieces(LINES, pieceCutter(PATTERNS[pattern])), { size, required });
  return [bpe, bpeTokenizer(bpe, PATTERNS[pattern])];
}

/** The peer trains with its defaults: 30,000 tokens, of which ours must be the first. */
function peerTrained(file: string, pattern: string): { merges: [string, string][]; json: string } {
  const empty = JSON.parse(tokenizerToJson(bpeTokenizer({ tokens: [], merges: [] }, pattern))) as {
    added_tokens: unknown[];
    model: { vocab: object };
  };
  empty.added_tokens = [];
  empty.model.vocab = {};
  fs.writeFileSync(file, TEXTS.join(""));
  const peer = Peer.fromString(JSON.stringify(empty));
  peer.train([file]);
  peer.save(`${file}.json`);
  const json = fs.readFileSync(`${file}.json`, "utf8");
  return { merges: (JSON.parse(json) as { model: { merges: [string, string][] } }).model.merges, json };
}

const REQUIRED = ['")\n', "')\n", " enumerate", "zebrafish"];
const unicode = fc.string({ unit: "binary", maxLength: 60 });

describe.each(["brackets", "published"] as const)("trained with the pattern %s", (pattern) => {
  let bpe: Bpe;
  let tokenizer: Tokenizer;
  beforeAll(() => {
    [bpe, tokenizer] = train(pattern, 2047);
  });

  it("has the merges of Hugging Face's trainer on real text", () => {
    expect(LINES.length).toBeGreaterThan(10_000);
    expect(bpe.merges).toHaveLength(2047 - 256);
    expect(bpe.merges).toEqual(peerTrained(temp("text"), PATTERNS[pattern]).merges.slice(0, 2047 - 256));
  }, 120_000);

  it("encodes as Hugging Face's library does, from the same file", async () => {
    const peer = Peer.fromString(tokenizerToJson(tokenizer));
    for (const text of TEXTS.slice(0, 60)) {
      const encoding = await peer.encode(text, null, { addSpecialTokens: false });
      expect(tokenizer.encode(text)).toEqual(encoding.getIds());
    }
  });

  it("has no unknown text: any Unicode round-trips", () => {
    checkProperty(unicode, 1000, (text) => {
      const ids = tokenizer.encode(text);
      expect(tokenizer.decode(ids)).toBe(text);
      expect(ids).not.toContain(tokenizer.eot);
    });
    expect(tokenizer.unk).toBeUndefined();
    expect(tokenizer.decode(tokenizer.encode("\uFEFF\u0000é"))).toBe("\uFEFF\u0000é");
    expect(tokenizer.decode(tokenizer.encode("\uD800"))).toBe("\uFFFD");
  });
});

describe("required pieces", () => {
  const [bpe, tokenizer] = train("brackets", 700, REQUIRED);

  it("are single tokens, right after the bytes, and the vocabulary keeps its size", () => {
    expect(REQUIRED.map((piece) => tokenizer.idOf(piece))).toEqual([256, 257, 258, 259]);
    for (const piece of REQUIRED) expect(tokenizer.isSingle(piece)).toBe(true);
    expect(tokenizer.vocabSize).toBe(701);
    expect(tokenizer.eot).toBe(700);
    expect(tokenizer.pieces[700]).toBe(EOT_TEXT);
    // Each merge makes a token, but for those that make a required one.
    expect(bpe.merges.length).toBeGreaterThanOrEqual(700 - 256 - REQUIRED.length);
  });

  it("round-trip, and encode as in Hugging Face's library", async () => {
    const peer = Peer.fromString(tokenizerToJson(tokenizer));
    const text = 'for i, x in enumerate(zebrafish):\n    print("zebra zebrafish")\n';
    const encoding = await peer.encode(text, null, { addSpecialTokens: false });
    expect(tokenizer.encode(text)).toEqual(encoding.getIds());
    checkProperty(fc.array(fc.constantFrom(...REQUIRED, "é", "x", " ", "zebra", "日")), 300, (parts) => {
      expect(tokenizer.decode(tokenizer.encode(parts.join("")))).toBe(parts.join(""));
    });
  });

  it("and the bytes must fit the vocabulary", () => {
    const counts = new Map([["ab", 5]]);
    for (const size of [255, 65_536, Number.NaN]) {
      expect(() => trainBpe(counts, { size })).toThrow(expect.objectContaining({ code: "vocabulary-size" }));
    }
    expect(() => trainBpe(counts, { size: 256, required: ["ab"] })).toThrow(/pieces of the tasks/);
  });
});

describe("trainer", () => {
  it("merges the most frequent pair, of equals the one of smaller ids, and none that occurs once", () => {
    const counts = new Map([
      ["bc", 3],
      ["ab", 3],
      ["xyx", 2],
      ["qr", 1],
    ]);
    expect(trainBpe(counts, { size: 2000 }).merges).toEqual([
      ["a", "b"],
      ["b", "c"],
      ["x", "y"],
      ["xy", "x"],
    ]);
    const other = new Map([...counts].reverse());
    expect(trainBpe(other, { size: 2000 })).toEqual(trainBpe(counts, { size: 2000 }));
  });

  it("counts runs of one character as they are merged", () => {
    const { merges, tokens } = trainBpe(new Map([["aaaaa", 4]]), { size: 1000 });
    expect(merges).toEqual([
      ["a", "a"],
      ["aa", "a"],
      ["aa", "aaa"],
    ]);
    expect(tokens.slice(256)).toEqual(["aa", "aaa", "aaaaa"]);
  });
});

describe("tokenizer.json and tiktoken ranks", () => {
  const [bpe, tokenizer] = train("brackets", 900);

  it("of an own tokenizer loads again as the same", () => {
    const json = tokenizerToJson(tokenizer);
    const loaded = tokenizerFromJson(json, "t.json");
    expect(loaded.hash).toBe(tokenizer.hash);
    expect(tokenizerToJson(loaded)).toBe(json);
    expect(loaded.kind).toBe("bpe");
  });

  it("of Hugging Face's trainer loads once it has an end-of-text, with merges as pairs or as text", () => {
    const { json } = peerTrained(temp("text"), PATTERNS.brackets);
    expect(() => tokenizerFromJson(json, "peer.json")).toThrow(/<\|endoftext\|>/);
    const file = JSON.parse(json) as {
      added_tokens: object[];
      model: { vocab: Record<string, number>; merges: ([string, string] | string)[]; unk_token: string | null };
    };
    const eot = Object.keys(file.model.vocab).length;
    file.added_tokens.push(
      { id: eot, content: EOT_TEXT, special: true },
      { id: eot + 1, content: "<unk>", special: true },
    );
    expect(() => tokenizerFromJson(JSON.stringify(file), "peer.json")).toThrow(/lacks \d+ of the 256 bytes/);
    file.model.unk_token = "<unk>";
    const loaded = tokenizerFromJson(JSON.stringify(file), "peer.json");
    expect([loaded.eot, loaded.unk]).toEqual([eot, eot + 1]);
    const text = TEXTS[3]!;
    expect(loaded.decode(loaded.encode(text))).toBe(text);
    file.model.merges = file.model.merges.map((merge) => (typeof merge === "string" ? merge : merge.join(" ")));
    expect(tokenizerFromJson(JSON.stringify(file), "peer.json").hash).toBe(loaded.hash);
  }, 120_000);

  it("ranks decode to the tokens, and merging by rank gives the same ids", () => {
    const ranks = new Map(
      tiktokenRanks(tokenizer)
        .trimEnd()
        .split("\n")
        .map((line) => {
          const [token, rank] = line.split(" ");
          return [Buffer.from(token!, "base64").toString("latin1"), Number(rank)] as const;
        }),
    );
    expect(ranks.size).toBe(bpe.tokens.length);
    const cut = pieceCutter(PATTERNS.brackets);
    for (const text of TEXTS.slice(0, 20)) {
      const ids = cut(text).flatMap((piece) => byRank(Buffer.from(piece).toString("latin1"), ranks));
      expect(ids).toEqual(tokenizer.encode(text));
    }
  });
});

/** What tiktoken does with a piece: whole if it is a token, else the neighbours that make the lowest rank, first. */
function byRank(piece: string, ranks: ReadonlyMap<string, number>): number[] {
  if (ranks.has(piece)) return [ranks.get(piece)!];
  const parts = [...piece];
  for (;;) {
    let [best, at] = [Number.POSITIVE_INFINITY, -1];
    for (let i = 1; i < parts.length; i++) {
      const rank = ranks.get(parts[i - 1]! + parts[i]!) ?? Number.POSITIVE_INFINITY;
      if (rank < best) [best, at] = [rank, i];
    }
    if (at < 0) return parts.map((part) => ranks.get(part)!);
    parts.splice(at - 1, 2, parts[at - 1]! + parts[at]!);
  }
}
