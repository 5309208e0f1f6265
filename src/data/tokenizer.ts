/**
 * Text to token ids and back. The `closed` tokenizer knows a closed list of pieces and, for everything else, single
 * characters: no merges, so a circuit's tokens read as words and the vocabulary stays in the hundreds. Contract:
 * `decode(encode(text))` is `text` for printable ASCII and newlines; other bytes become the unknown token, one each.
 * Ids: 0 unknown, 1 newline, 2 to 96 printable ASCII, then the pieces in code unit order, and end-of-text last.
 */
import { createHash } from "node:crypto";
import { assert } from "../util/errors.ts";
import { byteLength, cutPieces, PIECE_PATTERN } from "./pretokenize.ts";

export const EOT_TEXT = "<|endoftext|>";
export const UNK_TEXT = "<unk>";

export interface Tokenizer {
  readonly kind: "closed" | "bpe";
  readonly vocabSize: number;
  /** End of text: before each document and each prompt; always the last id. */
  readonly eot: number;
  /** Unknown bytes; undefined for a tokenizer that has every byte. */
  readonly unk: number | undefined;
  /** Text of each id. */
  readonly pieces: readonly string[];
  /** SHA-256 over pattern and pieces: equal for tokenizers that encode alike. */
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

/** Newline and printable ASCII, which a closed vocabulary always holds. */
export const ALPHABET: readonly string[] = ["\n", ...Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i))];

class ClosedTokenizer implements Tokenizer {
  readonly kind = "closed";
  readonly vocabSize: number;
  readonly eot: number;
  readonly unk = 0;
  readonly pieces: readonly string[];
  readonly hash: string;
  private readonly ids = new Map<string, number>();

  constructor(pieces: readonly string[]) {
    this.pieces = pieces;
    this.vocabSize = pieces.length;
    this.eot = pieces.length - 1;
    for (let id = 1; id < this.eot; id++) this.ids.set(pieces[id]!, id);
    this.hash = createHash("sha256")
      .update(JSON.stringify([PIECE_PATTERN, pieces]))
      .digest("hex");
  }

  encode(text: string, into: number[] = []): number[] {
    for (const piece of cutPieces(text)) {
      const id = this.ids.get(piece);
      if (id === undefined) this.spell(piece, into);
      else into.push(id);
    }
    return into;
  }

  /** A piece outside the vocabulary, character by character. */
  private spell(piece: string, into: number[]): void {
    for (const char of piece) {
      const id = this.ids.get(char);
      if (id !== undefined) into.push(id);
      else for (let bytes = byteLength(char); bytes > 0; bytes--) into.push(this.unk);
    }
  }

  decode(ids: ArrayLike<number>): string {
    let text = "";
    for (let i = 0; i < ids.length; i++) {
      const id = ids[i]!;
      const piece = this.pieces[id];
      assert(piece !== undefined, `token ${id} is outside the vocabulary of ${this.vocabSize}`);
      text += id === this.unk ? "\uFFFD" : piece;
    }
    return text;
  }

  idOf(piece: string): number | undefined {
    return this.ids.get(piece);
  }

  isSingle(text: string): boolean {
    return this.ids.has(text) && cutPieces(text).length === 1;
  }
}

/** A closed tokenizer of the alphabet and `pieces`, in any order and with repeats. */
export function closedTokenizer(pieces: Iterable<string>): Tokenizer {
  const alphabet = new Set(ALPHABET);
  const others = [...new Set(pieces)].filter((piece) => piece !== "" && !alphabet.has(piece)).sort();
  return new ClosedTokenizer([UNK_TEXT, ...ALPHABET, ...others, EOT_TEXT]);
}
