/**
 * Keeps the corpus apart from what a run is scored on: finds documents that contain the end of a validation or test
 * prompt, i.e. any run of 24 tokens that equals a prompt's last 24. A rolling hash asks, an exact comparison answers.
 */
import { inputError } from "../util/errors.ts";
import { hash32 } from "../util/rng.ts";

/** Tokens that must agree. Shorter runs of code repeat by chance. */
export const CONTAMINATION_WINDOW = 24;

const BASE = 0x01000193;

/** A power of two: bits of the filter that answers most windows without the map. */
const FILTER_SIZE = 1 << 20;

/** What a stream asks of each document. */
export interface DocumentFilter {
  /** Equal for filters that find the same documents. */
  readonly fingerprint: string;
  /** True for a document to leave out. */
  contains(tokens: ArrayLike<number>): boolean;
}

/** Finds what any of `filters` finds. */
export function filterAny(filters: readonly DocumentFilter[]): DocumentFilter {
  return {
    fingerprint: filters.map((filter) => filter.fingerprint).join("+"),
    contains: (tokens) => filters.some((filter) => filter.contains(tokens)),
  };
}

export class Decontaminator implements DocumentFilter {
  /** Tokens that must agree. */
  readonly window: number;
  /** Number of different prompt ends looked for. */
  readonly size: number;
  /** Equal for equal sets of prompts. */
  readonly fingerprint: string;
  private readonly ends = new Map<number, Int32Array[]>();
  private readonly filter = new Uint8Array(FILTER_SIZE);
  /** BASE ** window, to take the oldest token out of the rolling hash. */
  private readonly outgoing: number;

  /** @throws inputError for a prompt of fewer than `window` tokens: it would be found nearly everywhere. */
  constructor(prompts: Iterable<ArrayLike<number>>, window: number = CONTAMINATION_WINDOW) {
    this.window = window;
    let power = 1;
    for (let i = 0; i < window; i++) power = Math.imul(power, BASE);
    this.outgoing = power;
    let size = 0;
    let mixed = 0;
    for (const prompt of prompts) {
      if (prompt.length < window) {
        throw inputError(
          "short-prompt",
          `A held-out prompt has ${prompt.length} tokens; ${window} or more are needed to keep it out of the corpus`,
          "Lengthen the task's prompts, or decontaminate with a shorter window.",
        );
      }
      const end = Int32Array.from({ length: window }, (_, i) => prompt[prompt.length - window + i]!);
      let hash = 0;
      for (const token of end) hash = (Math.imul(hash, BASE) + token + 1) | 0;
      const same = this.ends.get(hash);
      if (same === undefined) this.ends.set(hash, [end]);
      else if (same.some((other) => other.every((token, i) => token === end[i]))) continue;
      else same.push(end);
      this.filter[hash & (FILTER_SIZE - 1)] = 1;
      mixed ^= hash32(end.join(" "));
      size++;
    }
    this.size = size;
    this.fingerprint = `${window}:${size}:${(mixed >>> 0).toString(16)}`;
  }

  /** True when the document holds the end of a prompt. */
  contains(tokens: ArrayLike<number>): boolean {
    const { window, outgoing, filter } = this;
    let hash = 0;
    for (let i = 0; i < tokens.length; i++) {
      hash = (Math.imul(hash, BASE) + tokens[i]! + 1) | 0;
      if (i >= window) hash = (hash - Math.imul(outgoing, tokens[i - window]! + 1)) | 0;
      if (i >= window - 1 && filter[hash & (FILTER_SIZE - 1)] === 1 && this.endsAt(tokens, i, hash)) return true;
    }
    return false;
  }

  private endsAt(tokens: ArrayLike<number>, last: number, hash: number): boolean {
    const first = last - this.window + 1;
    return this.ends.get(hash)?.some((end) => end.every((token, i) => tokens[first + i] === token)) ?? false;
  }
}
