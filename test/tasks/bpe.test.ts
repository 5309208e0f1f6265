/** The laws of the tasks with tokenizers trained on real text. */
import { describe, expect, it } from "vitest";
import { trainBpe } from "../../src/data/bpe/train.ts";
import { taskEnv } from "../../src/data/pairs.ts";
import { countPieces, PATTERNS, pieceCutter } from "../../src/data/pretokenize.ts";
import { requiredPieces } from "../../src/data/required-pieces.ts";
import { bpeTokenizer } from "../../src/data/tokenizer.ts";
import { TASKS } from "../../tasks/index.ts";
import { python } from "../support/python.ts";
import { realText } from "../support/real-text.ts";
import { checkPairs, hasFittingLengths, hasSingleTargets, type LawSubject, sharesPreamble } from "./laws.ts";

const cut = pieceCutter(PATTERNS.brackets);
const counts = countPieces(realText(5_000_000), cut);

it("hold names and completions of all tasks at once", () => {
  const bpe = trainBpe(counts, { size: 2047, required: requiredPieces(TASKS, cut) });
  const { pools } = taskEnv(bpeTokenizer(bpe, PATTERNS.brackets));
  for (const names of Object.values(pools)) expect(names.length).toBeGreaterThan(2);
  expect(bpe.merges.length).toBeGreaterThan(1000);
});

// Elsewhere numbers and keywords are not single tokens, and lengths may not be evened out.
describe.skipIf(python === undefined).each(TASKS.map((spec) => [spec.name, spec] as const))("task %s", (_, spec) => {
  const bpe = trainBpe(counts, { size: 2047, required: requiredPieces([spec], cut) });
  const subject: LawSubject = { spec, tokenizer: bpeTokenizer(bpe, PATTERNS.brackets), contextLength: 512 };

  it("has single, known, different targets", () => checkPairs(subject, 60, hasSingleTargets));
  it("has prompts of equal, fitting length", () => checkPairs(subject, 60, hasFittingLengths));
  it("has different prompts after a shared preamble", () => checkPairs(subject, 60, sharesPreamble));
});
