/**
 * The pieces that a corpus and a set of tasks are written with: the vocabulary of their closed tokenizer. Contract: a
 * function of the grammar's options and the tasks. Documents and drafts are read, then completed by role: a form (`(` +
 * name, space + name, ...) that a name pool was seen in is added for all names of that pool, so that a rare name in a
 * rare place does not fall back to characters.
 */
import { Rng } from "../util/rng.ts";
import { POOLS } from "./grammar/names.ts";
import { Grammar, type GrammarOptions } from "./grammar.ts";
import { preambleGrammar } from "./pairs.ts";
import { cutPieces } from "./pretokenize.ts";
import {
  type Draft,
  drawOf,
  probeVariants,
  SPLITS,
  sideText,
  type TaskEnv,
  type TaskSpec,
  variantNames,
} from "./task.ts";
import { closedTokenizer, type Tokenizer } from "./tokenizer.ts";

/** Read to find the forms and the punctuation; the names are completed from the pools. */
const DOCUMENTS = 600;
const DRAFTS = 60;

const NUMBERS = Array.from({ length: 100 }, (_, n) => String(n));

/** What may stand before a name within its piece: at most one character that is neither letter nor digit. */
const NAME_PIECE = /^([^\p{L}\p{N}]?)(\p{L}+)$/u;

/** Any name may be used: being read is what makes it one token. */
export const OPEN_ENV: TaskEnv = { pools: POOLS, isSingle: (text) => cutPieces(text).length === 1 };

/** The closed tokenizer of a procedural corpus and the tasks to be asked of it. */
export function taskTokenizer(options: GrammarOptions, tasks: readonly TaskSpec[]): Tokenizer {
  const seen = new Set<string>();
  const read = (text: string): void => {
    for (const piece of cutPieces(text)) seen.add(piece);
  };
  const grammar = new Grammar(options);
  for (let i = 0; i < DOCUMENTS; i++) read(grammar.program(Rng.of("vocabulary", i)).text);
  const readDraft = ({ pos, neg }: Draft): void => {
    for (const side of [pos, neg]) read(sideText(side));
  };
  for (const task of tasks) {
    if (task.pairs !== undefined) {
      for (const split of SPLITS) task.pairs[split].forEach(readDraft);
      continue;
    }
    const preamble = preambleGrammar(task);
    for (const variant of [...variantNames(task), ...probeVariants(task)]) {
      const draw = drawOf(task, variant);
      for (let i = 0; i < DRAFTS; i++) {
        const rng = Rng.of("vocabulary", task.name, variant, i);
        const draft = draw(rng, OPEN_ENV);
        read(preamble.program(rng).text);
        readDraft(draft);
      }
    }
  }
  complete(seen);
  return closedTokenizer(seen);
}

/** Adds, for each pool of names and each form that half of the pool was seen in, the form of the rest. */
function complete(seen: Set<string>): void {
  const prefixes = new Set<string>();
  for (const piece of seen) {
    const prefix = NAME_PIECE.exec(piece)?.[1];
    if (prefix !== undefined) prefixes.add(prefix);
  }
  const observed = new Set(seen);
  for (const pool of [...Object.values(POOLS), NUMBERS] as (readonly string[])[]) {
    for (const prefix of prefixes) {
      const count = pool.filter((name) => observed.has(prefix + name)).length;
      if (count * 2 < pool.length) continue;
      for (const name of pool) seen.add(prefix + name);
    }
  }
}
