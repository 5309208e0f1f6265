/**
 * Training of byte-pair encoding on counted pieces (Sennrich et al. 2016, over bytes). Contract: a function of the
 * counts, not of their order; of equally frequent pairs the one of smaller ids is merged first, as Hugging Face's
 * trainer does, whose merges it equals. Pieces that must be one token come right after the bytes and are left out of
 * the counts: whoever encodes looks whole pieces up first (`ignore_merges`). Knows nothing of special tokens.
 */
import { inputError } from "../../util/errors.ts";
import { BYTE_ALPHABET, toByteChars } from "../pretokenize.ts";
import { MergeQueue } from "./queue.ts";

/** A token in the byte-level alphabet, as `tokenizer.json` spells it. */
type ByteChars = string;

export interface Bpe {
  /** By id: the 256 bytes, the required pieces, then what the merges made. */
  readonly tokens: readonly ByteChars[];
  /** In order of rank. */
  readonly merges: readonly (readonly [ByteChars, ByteChars])[];
}

export interface BpeOptions {
  /** Tokens wanted; fewer come back when no pair is left that occurs twice. */
  readonly size: number;
  /** Pieces that become tokens whatever their frequency. */
  readonly required?: Iterable<string>;
}

/** Ids fit 16 bits, so that a pair is one number. */
const RADIX = 65_536;

/** A pair seen once is no pattern. */
const FEWEST = 2;

/** @throws inputError when `size` does not hold the bytes and the required pieces, or ids would not fit 16 bits. */
export function trainBpe(counts: ReadonlyMap<string, number>, { size, required = [] }: BpeOptions): Bpe {
  const tokens: ByteChars[] = [...BYTE_ALPHABET];
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const idOf = (token: ByteChars): number => {
    let id = ids.get(token);
    if (id === undefined) {
      id = tokens.push(token) - 1;
      ids.set(token, id);
    }
    return id;
  };
  for (const piece of required) idOf(toByteChars(piece));
  if (!(size >= tokens.length && size < RADIX)) {
    const needed = tokens.length > BYTE_ALPHABET.length ? " and the pieces of the tasks" : "";
    throw inputError(
      "vocabulary-size",
      `A vocabulary of ${size + 1} was asked for; expected ${tokens.length + 1} (bytes, end-of-text${needed}) to ${RADIX}`,
      `The usual size is 2048.`,
    );
  }
  const words = new Words(counts, ids);
  const merges: [ByteChars, ByteChars][] = [];
  while (tokens.length < size) {
    const pair = words.mostFrequent();
    if (pair === undefined) break;
    const [left, right] = pair;
    merges.push([tokens[left]!, tokens[right]!]);
    words.merge(left, right, idOf(tokens[left]! + tokens[right]!));
  }
  return { tokens, merges };
}

/** The pieces as sequences of ids, and how often each neighbouring pair occurs in them. */
class Words {
  private readonly words: number[][] = [];
  private readonly weights: number[] = [];
  private readonly pairs = new Map<number, number>();
  /** Words that a pair occurs in, or once did. */
  private readonly places = new Map<number, number[]>();
  private readonly queue = new MergeQueue();

  constructor(counts: ReadonlyMap<string, number>, ids: ReadonlyMap<ByteChars, number>) {
    for (const [piece, count] of counts) {
      const chars = toByteChars(piece);
      if (chars.length < 2 || ids.has(chars)) continue;
      const word = Array.from(chars, (char) => ids.get(char)!);
      const index = this.words.push(word) - 1;
      this.weights.push(count);
      for (let i = 1; i < word.length; i++) this.add(word[i - 1]! * RADIX + word[i]!, count, index);
    }
    for (const [pair, count] of this.pairs) this.queue.push(count, pair);
  }

  private add(pair: number, change: number, word: number): void {
    this.pairs.set(pair, (this.pairs.get(pair) ?? 0) + change);
    if (change < 0) return;
    const places = this.places.get(pair);
    if (places === undefined) this.places.set(pair, [word]);
    else if (places[places.length - 1] !== word) places.push(word);
  }

  /** The queue is not told of pairs that became rarer: a count that is out of date is put right when it comes up. */
  mostFrequent(): readonly [number, number] | undefined {
    for (;;) {
      const top = this.queue.pop();
      if (top === undefined) return undefined;
      const [count, pair] = top;
      const now = this.pairs.get(pair) ?? 0;
      if (now < FEWEST) continue;
      if (now === count) return [Math.floor(pair / RADIX), pair % RADIX];
      this.queue.push(now, pair);
    }
  }

  merge(left: number, right: number, merged: number): void {
    const pair = left * RADIX + right;
    const places = this.places.get(pair)!;
    this.places.delete(pair);
    const grown = new Set<number>();
    for (const index of places) {
      const word = this.words[index]!;
      const weight = this.weights[index]!;
      const replace = (before: number, after: number): void => {
        this.add(before, -weight, index);
        this.add(after, weight, index);
        grown.add(after);
      };
      let length = 0;
      for (let i = 0; i < word.length; i++) {
        if (word[i] !== left || word[i + 1] !== right) {
          word[length++] = word[i]!;
          continue;
        }
        const previous = word[length - 1];
        const next = word[i + 2];
        if (previous !== undefined) replace(previous * RADIX + left, previous * RADIX + merged);
        if (next !== undefined) replace(right * RADIX + next, merged * RADIX + next);
        word[length++] = merged;
        i++;
      }
      word.length = length;
    }
    this.pairs.delete(pair);
    for (const other of grown) this.queue.push(this.pairs.get(other) ?? 0, other);
  }
}
