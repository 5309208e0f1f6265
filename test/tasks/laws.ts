/** What every task keeps to, as properties over variant, seed and index. */
import fc from "fast-check";
import { expect } from "vitest";
import { differences } from "../../src/data/contrast.ts";
import { minPromptTokens, PairSource, splitOf } from "../../src/data/pairs.ts";
import {
  type ContrastPair,
  probeVariants,
  type Split,
  sideText,
  type TaskSpec,
  variantNames,
} from "../../src/data/task.ts";
import type { Tokenizer } from "../../src/data/tokenizer.ts";
import { checkProperty } from "../support/property.ts";

const SPLITS: readonly Split[] = ["train", "val", "test"];

export interface LawSubject {
  readonly spec: TaskSpec;
  readonly tokenizer: Tokenizer;
  readonly contextLength: number;
}

export function allVariants(spec: TaskSpec): string[] {
  return [...variantNames(spec), ...probeVariants(spec)];
}

export function source({ spec, tokenizer, contextLength }: LawSubject, seed: number): PairSource {
  return new PairSource(spec, tokenizer, { seed, contextLength });
}

/** Each law holds for pairs of any split, variant, seed and index. */
export function checkPairs(
  subject: LawSubject,
  runs: number,
  law: (pair: ContrastPair, from: PairSource) => void,
): void {
  const { spec } = subject;
  const key = fc.record({
    variant: fc.constantFrom(...allVariants(spec)),
    seed: fc.nat(),
    split: fc.constantFrom(...SPLITS),
    index: fc.nat(5000),
  });
  checkProperty(key, runs, ({ variant, seed, split, index }) => {
    const from = source(subject, seed);
    law(from.pair(split, index, variant), from);
  });
}

/** The same arguments give the same pair, whatever was asked before. */
export function isRepeatable(pair: ContrastPair, from: PairSource): void {
  from.pair(pair.split, pair.index + 1, pair.variant);
  const again = new PairSource(from.spec, from.tokenizer, from.options);
  expect(again.pair(pair.split, pair.index, pair.variant)).toEqual(pair);
}

/** enc(prompt + target + tail) begins with enc(prompt) and one target token, known and unlike the other side's. */
export function hasSingleTargets(pair: ContrastPair, from: PairSource): void {
  const { tokenizer } = from;
  const encoded = from.encode(pair);
  for (const [side, ids, target] of [
    [pair.pos, encoded.pos, encoded.posTarget],
    [pair.neg, encoded.neg, encoded.negTarget],
  ] as const) {
    const whole = tokenizer.encode(sideText(side), [tokenizer.eot]);
    expect(whole.slice(0, ids.length + 1)).toEqual([...ids, target]);
    expect(tokenizer.decode([target])).toBe(side.target);
    expect(tokenizer.decode(ids)).toBe(`<|endoftext|>${side.prompt}`);
    expect([...ids]).not.toContain(tokenizer.unk);
  }
  expect(encoded.posTarget).not.toBe(encoded.negTarget);
}

/** Equal lengths where the task says so, within the bounds. */
export function hasFittingLengths(pair: ContrastPair, from: PairSource): void {
  const { pos, neg } = from.encode(pair);
  if (from.spec.sameLength !== false) expect(pos.length).toBe(neg.length);
  for (const ids of [pos, neg]) {
    expect(ids.length - 1).toBeGreaterThanOrEqual(minPromptTokens(from.spec));
    expect(ids.length).toBeLessThan(from.options.contextLength);
  }
}

/** Every name was found: none of an empty pool. */
export function isWhole({ pos, neg }: ContrastPair): void {
  for (const side of [pos, neg]) expect(sideText(side)).not.toMatch(/undefined|NaN|\[object/);
}

/** Lines that only one side has: that of the padding, and at most three where the contrast is (probes repeat theirs). */
export function differsInFewLines({ pos, neg, variant }: ContrastPair): void {
  if (variant.includes("@")) return;
  const [lines, others] = [pos, neg].map(({ prompt }) => prompt.split("\n")) as [string[], string[]];
  for (const marked of differences(lines, others)) expect(marked.filter(Boolean).length).toBeLessThanOrEqual(4);
}

/** Prompts differ, and begin with the same preamble. */
export function sharesPreamble(pair: ContrastPair): void {
  expect(pair.pos.prompt).not.toBe(pair.neg.prompt);
  expect(pair.pos.prompt.split("\n")[0]).toBe(pair.neg.prompt.split("\n")[0]);
  expect(splitOf(pair)).toBe(pair.split);
}

/** No pair twice in `count` of the training split and a fifth as many of the others (a tenth of drafts is theirs), none in two. */
export function checkDistinct(subject: LawSubject, variant: string, count: number): void {
  const from = source(subject, 11);
  const seen = new Set<string>();
  let drawn = 0;
  for (const split of SPLITS) {
    for (let i = 0; i < (split === "train" ? count : count / 5); i++, drawn++) {
      seen.add(from.pair(split, i, variant).pos.prompt);
    }
  }
  expect(seen.size).toBe(drawn);
}
