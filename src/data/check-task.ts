/**
 * Whether a task keeps its contract under a tokenizer, asked before anything is trained on it: a sample of each variant,
 * probe and split (every pair of a list). Throws input errors that name the task, the pair and the token.
 */
import { inputError } from "../util/errors.ts";
import { type PairSource, pairName } from "./pairs.ts";
import { cutPieces } from "./pretokenize.ts";
import { type ContrastPair, probeVariants, SPLITS, type TaskSpec, variantNames } from "./task.ts";

/** Drafts looked at of each variant and split. */
const SAMPLE = 8;

/**
 * Refuses targets that are not single known tokens, or equal, or not cut as one token after the prompt; prompts that are
 * too long (in `base`; other variants may be), equal, of different lengths, or with unknown tokens; and drafts that do
 * not repeat.
 */
export function checkTask(source: PairSource): void {
  const { spec } = source;
  for (const variant of [...variantNames(spec), ...(spec.pairs ? [] : probeVariants(spec))]) {
    for (const split of SPLITS) {
      const count = spec.pairs?.[split].length ?? SAMPLE;
      for (let index = 0; index < count; index++) {
        const pair = source.pair(split, index, variant);
        checkPair(source, pair);
        if (!spec.pairs) checkRepeats(spec, pair, source.pair(split, index, variant));
      }
    }
  }
}

function checkPair(source: PairSource, pair: ContrastPair): void {
  const { pos, neg } = pair;
  const which = pairName(pair);
  if (pos.prompt === neg.prompt) {
    throw inputError(
      "task-prompts",
      `${which}: both prompts are ${JSON.stringify(end(pos.prompt))}`,
      "The prompts of a pair must differ where they decide the completion.",
    );
  }
  const { tokenizer, spec, options } = source;
  for (const { prompt } of [pos, neg]) {
    const unknown = cutPieces(prompt).find((piece) => tokenizer.encode(piece).includes(tokenizer.unk ?? -1));
    if (unknown !== undefined) {
      throw inputError(
        "task-unknown-token",
        `${which}: the prompt ${JSON.stringify(end(prompt))} holds ${JSON.stringify(unknown)}, which the ` +
          `${tokenizer.kind} tokenizer of ${tokenizer.vocabSize} tokens does not know`,
        "Leave it out, or use a tokenizer that has it.",
      );
    }
  }
  const [a, b] = [pos, neg].map(({ prompt }) => tokenizer.encode(prompt).length) as [number, number];
  if (spec.sameLength !== false && a !== b) {
    throw inputError(
      "task-lengths",
      `${which}: the prompts have ${a} and ${b} tokens`,
      "Give them the same number of tokens, or set sameLength: false.",
    );
  }
  // A probe or a harder variant may outgrow the context: it is then left out of the scores.
  if (pair.variant === "base" || Math.max(a, b) + 1 < options.contextLength) source.encode(pair);
}

function checkRepeats(spec: TaskSpec, pair: ContrastPair, again: ContrastPair): void {
  if (JSON.stringify(pair) === JSON.stringify(again)) return;
  throw inputError(
    "task-repeats",
    `${pairName(pair)}: drawn twice, the pair is not the same`,
    `Let the drafts of ${spec.name} depend on the generator they are given alone, not on Math.random, time or a counter.`,
  );
}

/** The end of a long prompt: the pair's own part. */
function end(prompt: string): string {
  return prompt.length > 80 ? `…${prompt.slice(-80)}` : prompt;
}
