/**
 * Group `quotes`: does a string end with the kind of quote it began with? (Gao et al. 2025, Table 1.)
 *
 *     print("ready line        completes with   ")
 *     print('ready line        completes with   ')
 *
 * The prompts differ in one token, the opening `("` or `('`; the completion is quote, bracket and newline in one token.
 */
import { HELD_OUT, NEVER_QUOTED, QUOTE_FUNCS } from "../src/data/grammar/names.ts";
import { otherQuote, type Quote } from "../src/data/grammar/strings.ts";
import { PROFILES } from "../src/data/grammar.ts";
import { type Draft, defineTask, knownNames, type Side, type TaskEnv, type TaskSpec } from "../src/data/task.ts";
import type { Rng } from "../src/util/rng.ts";
import { wordList } from "./lines.ts";

/** The same call with either kind of quote; `before` and `inside` may depend on the kind. */
function quotedCall(
  callee: string,
  text: readonly string[],
  before: (quote: Quote) => string = () => "",
  inside: (quote: Quote) => string = () => "",
): Draft {
  const [first, ...rest] = text;
  const side = (quote: Quote): Side => {
    const body = [first, inside(quote), ...rest].filter((part) => part !== "").join(" ");
    return { prompt: `${before(quote)}${callee}(${quote}${body}`, target: `${quote})\n` };
  };
  return { pos: side('"'), neg: side("'") };
}

/** What the corpus calls with a string: half the time `print`. */
function pickCallee(rng: Rng, env: TaskEnv): string {
  const callees = QUOTE_FUNCS.filter((name) => env.pools.funcs.includes(name));
  return rng.bool() || callees.length === 0 ? "print" : rng.pick(callees);
}

function drawWords(rng: Rng, env: TaskEnv, min: number, max: number): string[] {
  return wordList(rng, env, rng.int(min, max));
}

/** One line for each of `x` calls or comments, the same words on both sides of the pair. */
function linesBefore(rng: Rng, env: TaskEnv, x: number, line: (callee: string, text: string, quote: Quote) => string) {
  const parts = Array.from({ length: x }, () => [pickCallee(rng, env), drawWords(rng, env, 1, 3).join(" ")] as const);
  return (quote: Quote): string => parts.map(([callee, text]) => line(callee, text, quote)).join("");
}

/** Comments that open a quote of the other kind. */
function misleadingComments(rng: Rng, env: TaskEnv, x: number) {
  return linesBefore(rng, env, x, (callee, text, quote) => `# ${callee}(${otherQuote(quote)}${text}\n`);
}

const singleDoubleQuote = defineTask({
  name: "single_double_quote",
  aliases: ["quotes"],
  group: "quotes",
  doc: "close a string with the kind of quote that opened it",
  draft: (rng, env) => quotedCall(pickCallee(rng, env), drawWords(rng, env, 2, 5)),
  variants: {
    /** Longer than any string of the corpus. */
    long: (rng, env) => quotedCall(pickCallee(rng, env), drawWords(rng, env, 8, 40)),
    /** A function that the corpus never calls with a string, and words that it never puts into one. */
    names: (rng, env) => {
      const callee = rng.pick(knownNames(env, HELD_OUT.quoteFuncs, 1));
      return quotedCall(callee, wordList(rng, env, rng.int(2, 5), NEVER_QUOTED));
    },
    /** After comments that open quotes of the other kind and never close them: counting fails. */
    misled: (rng, env) => {
      const before = misleadingComments(rng, env, rng.int(1, 3));
      return quotedCall(pickCallee(rng, env), drawWords(rng, env, 2, 5), before);
    },
  },
  probes: {
    comment: {
      doc: "earlier comments that open a quote of the other kind and never close it",
      values: [0, 1, 2, 3, 4],
      draw: (rng, env, x) =>
        quotedCall(pickCallee(rng, env), drawWords(rng, env, 2, 5), misleadingComments(rng, env, x)),
    },
    nested: {
      doc: "words in quotes of the other kind inside the string",
      values: [0, 1, 2, 3],
      draw: (rng, env, x) => {
        const quoted = wordList(rng, env, x);
        const inside = (quote: Quote): string =>
          quoted.map((word) => `${otherQuote(quote)}${word}${otherQuote(quote)}`).join(" ");
        return quotedCall(pickCallee(rng, env), drawWords(rng, env, 2, 5), undefined, inside);
      },
    },
    strings: {
      doc: "earlier calls with a string of the other kind",
      values: [0, 1, 2, 3, 4],
      draw: (rng, env, x) => {
        const before = linesBefore(rng, env, x, (callee, text, quote) => {
          const other = otherQuote(quote);
          return `${callee}(${other}${text}${other})\n`;
        });
        return quotedCall(pickCallee(rng, env), drawWords(rng, env, 2, 5), before);
      },
    },
  },
  // Strings too, of either kind, as in the corpus: without them a model could look for any quote at all.
  preamble: { assign: 3, quote: 2, augment: 1 },
  focus: PROFILES.quotes.weights,
});

export const QUOTE_TASKS: readonly TaskSpec[] = [singleDoubleQuote];
