/** Quoted text and comments: plain words, or, by `quoteNoise`, words with quotes that mislead a counter of quotes. */
import type { Rng } from "../../util/rng.ts";
import { POOLS } from "./names.ts";
import type { Writer } from "./writer.ts";

export type Quote = '"' | "'";

export function otherQuote(quote: Quote): Quote {
  return quote === '"' ? "'" : '"';
}

export function pickQuote(rng: Rng): Quote {
  return rng.bool() ? '"' : "'";
}

/** `min` to `max` words, spaced. */
export function words(rng: Rng, min: number, max: number): string {
  let text = rng.pick(POOLS.words);
  for (let count = rng.int(min, max); count > 1; count--) text += ` ${rng.pick(POOLS.words)}`;
  return text;
}

/**
 * What stands between two quotes. A misleading quote has a word on either side, so that it joins neither the opening
 * nor the closing quote in one token: those must stay what they are elsewhere.
 */
export function stringBody(w: Writer, quote: Quote, min: number, max: number): string {
  if (!w.rng.bool(w.options.quoteNoise)) return words(w.rng, min, max);
  const other = otherQuote(quote);
  const closing = w.rng.bool() ? other : "";
  return `${words(w.rng, 1, Math.max(1, max - 2))} ${other}${w.rng.pick(POOLS.words)}${closing} ${w.rng.pick(POOLS.words)}`;
}

const CONTRACTIONS = ["it's", "don't", "that's", "can't"];

/**
 * A comment of words; with noise, an apostrophe, or up to three lines that open (or close) quotes of one kind without
 * their partners: several, so that the string that follows does not outweigh them in a count.
 */
export function comment(w: Writer): void {
  const { rng } = w;
  const noisy = rng.bool(w.options.quoteNoise);
  const quote = pickQuote(rng);
  const form = noisy ? rng.int(0, 4) : 5;
  if (form === 0) {
    w.line(`# ${rng.pick(CONTRACTIONS)} ${words(rng, 1, 4)}`);
  } else if (form === 5) {
    w.line(`# ${words(rng, 2, 5)}`);
  } else {
    for (let lines = rng.int(1, 3); lines > 0; lines--) {
      const text = words(rng, 1, 4);
      w.line(form <= 2 ? `# ${rng.pick(POOLS.funcs)}(${quote}${text}` : `# ${text}${quote})`);
    }
  }
}
