/**
 * Text to token ids and back: pieces by a pattern, bytes of a piece merged by byte-pair encoding, which Hugging Face's
 * library does, once for each different piece. Two kinds share this one form, and `tokenizer.json` stores it whole:
 * `bpe`, trained on a corpus, has every byte; `closed` knows a closed list of pieces and, for everything else, single
 * printable ASCII characters: no merges, so a circuit's tokens read as words and the vocabulary stays in the hundreds.
 * Contract: `decode(encode(text))` is `text`, for `closed` as far as its alphabet goes (other bytes become the unknown
 * token, one each).
 */
import { createHash } from "node:crypto";
import * as huggingface from "@huggingface/tokenizers";
import { assert } from "../util/errors.ts";
import type { Bpe } from "./bpe/train.ts";
import { type Cut, fromByteChars, PIECE_PATTERN, pieceCutter, toByteChars } from "./pretokenize.ts";

export const EOT_TEXT = "<|endoftext|>";
const UNK_TEXT = "<unk>";

export interface Tokenizer {
  readonly kind: "closed" | "bpe";
  readonly vocabSize: number;
  /** End of text: before each document and each prompt; the last id of the tokenizers made here. */
  readonly eot: number;
  /** Unknown bytes; undefined for a tokenizer that has every byte. */
  readonly unk: number | undefined;
  /** Text of each id; U+FFFD stands for bytes that are no character by themselves. */
  readonly pieces: readonly string[];
  readonly parts: TokenizerParts;
  /** SHA-256 of the parts: equal for tokenizers that encode alike. */
  readonly hash: string;
  /** Appends to `into` when it is given. Special tokens are never read out of text. */
  encode(text: string, into?: number[]): number[];
  /** Unknown tokens read as U+FFFD, end-of-text as `<|endoftext|>`. */
  decode(ids: ArrayLike<number>): string;
  /** The id whose text is exactly `piece`; undefined also for the special tokens. */
  idOf(piece: string): number | undefined;
  /** True when `text` alone is one token, and a known one. */
  isSingle(text: string): boolean;
}

/** What a tokenizer is made of, and what `tokenizer.json` stores. */
export interface TokenizerParts extends Bpe {
  /** How text is cut into pieces. */
  readonly pattern: string;
  /** By id, in the byte-level alphabet; special tokens as their text. */
  readonly tokens: readonly string[];
  /** Whether a piece that is a token is that token, whatever the merges would make of it. */
  readonly ignoreMerges: boolean;
  /** Ids of special tokens; that of end-of-text and, if there is one, the unknown token's are among them. */
  readonly special: readonly number[];
  readonly eot: number;
  readonly unk?: number | undefined;
}

/** The library's byte-pair encoding; its declarations do not resolve under Node's module rules. */
const { BPE } = huggingface as unknown as { BPE: new (config: object) => { encode(pieces: string[]): string[] } };

/** Different pieces remembered; text has a long tail of pieces that come once. */
const CACHE_PIECES = 200_000;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

class BpeTokenizer implements Tokenizer {
  readonly kind: "closed" | "bpe";
  readonly vocabSize: number;
  readonly eot: number;
  readonly unk: number | undefined;
  readonly pieces: readonly string[];
  readonly parts: TokenizerParts;
  readonly hash: string;
  private readonly bytes: readonly Uint8Array[];
  private readonly ids = new Map<string, number>();
  private readonly cut: Cut;
  private readonly model: InstanceType<typeof BPE>;
  private readonly cache = new Map<string, readonly number[]>();

  constructor(parts: TokenizerParts) {
    const { pattern, tokens, merges, ignoreMerges, special, eot, unk } = parts;
    this.parts = parts;
    this.kind = merges.length === 0 && unk !== undefined ? "closed" : "bpe";
    this.vocabSize = tokens.length;
    this.eot = eot;
    this.unk = unk;
    const isSpecial = new Set(special);
    this.bytes = tokens.map((token, id) => {
      if (isSpecial.has(id)) return encoder.encode(id === unk ? "\uFFFD" : token);
      const bytes = fromByteChars(token);
      assert(bytes !== undefined, `token ${JSON.stringify(token)} is not byte-level text`);
      this.ids.set(token, id);
      return bytes;
    });
    this.pieces = tokens.map((token, id) => (isSpecial.has(id) ? token : decoder.decode(this.bytes[id])));
    this.hash = createHash("sha256")
      .update(JSON.stringify([pattern, tokens, merges, ignoreMerges, special]))
      .digest("hex");
    this.cut = pieceCutter(pattern);
    this.model = new BPE({
      type: "BPE",
      // Without the special tokens, which text never is.
      vocab: Object.fromEntries(this.ids),
      merges,
      ignore_merges: ignoreMerges,
      unk_token: UNK_TEXT,
    });
  }

  encode(text: string, into: number[] = []): number[] {
    for (const piece of this.cut(text)) {
      for (const id of this.cache.get(piece) ?? this.encodePiece(piece)) into.push(id);
    }
    return into;
  }

  private encodePiece(piece: string): readonly number[] {
    const tokens = this.model.encode([toByteChars(piece)]);
    const ids = tokens.map((token) => {
      const id = this.ids.get(token) ?? this.unk;
      assert(id !== undefined, `no token for ${JSON.stringify(token)}`);
      return id;
    });
    if (this.cache.size >= CACHE_PIECES) this.cache.clear();
    this.cache.set(piece, ids);
    return ids;
  }

  decode(ids: ArrayLike<number>): string {
    const parts: Uint8Array[] = [];
    for (let i = 0; i < ids.length; i++) {
      const bytes = this.bytes[ids[i]!];
      assert(bytes !== undefined, `token ${ids[i]} is outside the vocabulary of ${this.vocabSize}`);
      parts.push(bytes);
    }
    return decoder.decode(Buffer.concat(parts));
  }

  idOf(piece: string): number | undefined {
    return this.ids.get(toByteChars(piece));
  }

  isSingle(text: string): boolean {
    const [id, second] = this.encode(text);
    return id !== undefined && second === undefined && id !== this.unk;
  }
}

/** A tokenizer of given parts, which must be complete: every id, every byte or an unknown token. */
export function tokenizerOf(parts: TokenizerParts): Tokenizer {
  return new BpeTokenizer(parts);
}

/** Newline and printable ASCII, which a closed vocabulary always holds. */
const ALPHABET: readonly string[] = ["\n", ...Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i))];

/**
 * A closed tokenizer of the alphabet and `pieces`, in any order and with repeats. Ids: 0 unknown, 1 newline, 2 to 96
 * printable ASCII, then the pieces in code unit order, and end-of-text last.
 */
export function closedTokenizer(pieces: Iterable<string>): Tokenizer {
  const alphabet = new Set(ALPHABET);
  const others = [...new Set(pieces)].filter((piece) => piece !== "" && !alphabet.has(piece)).sort();
  const tokens = [UNK_TEXT, ...[...ALPHABET, ...others].map(toByteChars), EOT_TEXT];
  const eot = tokens.length - 1;
  return tokenizerOf({
    pattern: PIECE_PATTERN,
    tokens,
    merges: [],
    ignoreMerges: true,
    special: [0, eot],
    unk: 0,
    eot,
  });
}

/** A tokenizer of trained merges: end-of-text comes last. */
export function bpeTokenizer({ tokens, merges }: Bpe, pattern: string): Tokenizer {
  const eot = tokens.length;
  return tokenizerOf({ pattern, tokens: [...tokens, EOT_TEXT], merges, ignoreMerges: true, special: [eot], eot });
}
