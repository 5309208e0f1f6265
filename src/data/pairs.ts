/**
 * Contrast pairs of a task, as text and as tokens. Contract: pair i of a split and variant is a function of (seed, task,
 * variant, split, i) and the tokenizer, so any pair can be made alone; the splits share no pair; every prompt has
 * `minPromptTokens` tokens or more, and the two of a pair have equal length (unless the task says otherwise); targets are
 * single known tokens that differ. What cannot be had is refused with the task's name.
 */
import { inputError, SparseError } from "../util/errors.ts";
import { hash32, Rng } from "../util/rng.ts";
import { CONTAMINATION_WINDOW, Decontaminator, type DocumentFilter, filterAny } from "./decontaminate.ts";
import { NAME_FORMS, POOLS, type Pools } from "./grammar/names.ts";
import { Grammar, type Weights } from "./grammar.ts";
import {
  type ContrastPair,
  type Draft,
  type Draw,
  drawOf,
  type EncodedPair,
  type Side,
  type Split,
  sideText,
  type TaskEnv,
  type TaskSpec,
} from "./task.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** Shortest prompt, end-of-text not counted: long enough to be told apart from the corpus by its last tokens. */
export function minPromptTokens({ heldOutWindow }: TaskSpec): number {
  return heldOutWindow ?? CONTAMINATION_WINDOW;
}

/** Pairs of the finite splits, where the task has as many; train is endless. */
export const SPLIT_SIZE = { val: 512, test: 1024 } as const;

/** Redraws of a draft whose lengths no padding evens out. */
const PAD_TRIES = 50;

/** Drafts skipped because they belong to other splits. A split has a tenth of them or more, and preambles vary. */
const SPLIT_TRIES = 2_000;

/** Statements without a decision of their own. */
const NEUTRAL: Weights = { assign: 3, augment: 1 };

/** What precedes the prompts of a task: top-level statements of one line. */
export function preambleGrammar(spec: TaskSpec): Grammar {
  return new Grammar({ weights: spec.preamble ?? NEUTRAL, docStmts: [1, 4], maxDepth: 0, quoteNoise: 0 });
}

const ANYWHERE = ["", " "];

/** Names that the tokenizer has as one token wherever programs use them. */
export function taskEnv(tokenizer: Pick<Tokenizer, "isSingle">): TaskEnv {
  const pools = Object.fromEntries(
    (Object.keys(POOLS) as (keyof Pools)[]).map((pool) => {
      const forms = NAME_FORMS[pool] ?? ANYWHERE;
      return [pool, POOLS[pool].filter((name) => forms.every((before) => tokenizer.isSingle(before + name)))];
    }),
  );
  return { pools: pools as unknown as Pools, isSingle: (text) => tokenizer.isSingle(text) };
}

/** What errors call a pair. */
export function pairName({ task, split, index, variant, where }: ContrastPair): string {
  return `Task ${task} (${where ?? `${variant}, ${split} pair ${index}`})`;
}

/** The split that a pair belongs to, by its text: 8 in 10 train, 1 validation, 1 test. */
export function splitOf(pair: Draft): Split {
  const bucket = hash32(`${pair.pos.prompt}\u0000${pair.neg.prompt}`) % 10;
  return bucket < 8 ? "train" : bucket === 8 ? "val" : "test";
}

export interface PairBatch {
  /** [2P, length]: rows 2i and 2i + 1 are pair i; padded on the right with end-of-text. */
  readonly tokens: Int32Array;
  readonly rows: number;
  readonly length: number;
  /** Position whose logits answer, for each row: the last of its prompt. */
  readonly last: Int32Array;
  /** Ids of the right and the wrong completion of each row. */
  readonly right: Int32Array;
  readonly wrong: Int32Array;
}

/** @param length row length; by default that of the longest prompt. */
export function batchPairs(pairs: readonly EncodedPair[], tokenizer: Tokenizer, length?: number): PairBatch {
  let longest = 0;
  for (const { pos, neg } of pairs) longest = Math.max(longest, pos.length, neg.length);
  const width = length ?? longest;
  if (width < longest) {
    throw inputError(
      "prompt-length",
      `A prompt of ${longest} tokens does not fit rows of ${width}`,
      "Use longer rows.",
    );
  }
  const rows = 2 * pairs.length;
  const batch: PairBatch = {
    tokens: new Int32Array(rows * width).fill(tokenizer.eot),
    rows,
    length: width,
    last: new Int32Array(rows),
    right: new Int32Array(rows),
    wrong: new Int32Array(rows),
  };
  pairs.forEach(({ pos, neg, posTarget, negTarget }, i) => {
    [pos, neg].forEach((prompt, side) => {
      const row = 2 * i + side;
      batch.tokens.set(prompt, row * width);
      batch.last[row] = prompt.length - 1;
      batch.right[row] = side === 0 ? posTarget : negTarget;
      batch.wrong[row] = side === 0 ? negTarget : posTarget;
    });
  });
  return batch;
}

export interface PairSourceOptions {
  readonly seed: number;
  /** The model's; a prompt and its completion must fit. */
  readonly contextLength: number;
}

/** The pairs of one task for one tokenizer. */
export class PairSource {
  readonly spec: TaskSpec;
  readonly tokenizer: Tokenizer;
  readonly options: PairSourceOptions;
  private readonly env: TaskEnv;
  private readonly grammar: Grammar;
  private readonly made = new Map<string, EncodedPair[]>();

  constructor(spec: TaskSpec, tokenizer: Tokenizer, options: PairSourceOptions) {
    this.spec = spec;
    this.tokenizer = tokenizer;
    this.options = options;
    this.env = taskEnv(tokenizer);
    this.grammar = preambleGrammar(spec);
  }

  /**
   * Pair `index` as text.
   *
   * @param variant `base`, `far`, one of the task's own, or `<probe>@<x>`.
   * @throws inputError when the variant is unknown, or no padding evens out the lengths.
   */
  pair(split: Split, index: number, variant = "base"): ContrastPair {
    const draw = drawOf(this.spec, variant);
    const place = { task: this.spec.name, split, index, variant };
    if (this.spec.pairs !== undefined) {
      const given = this.spec.pairs[split];
      return { ...given[index % given.length]!, ...place };
    }
    const rng = Rng.of(this.options.seed, this.spec.name, variant, split, index);
    for (let tries = 0; tries < SPLIT_TRIES; tries++) {
      const { pos, neg } = this.complete(rng, () => this.draft(draw, rng, variant));
      if (splitOf({ pos, neg }) === split) return { pos, neg, ...place };
    }
    throw inputError(
      "task-few-pairs",
      `Task ${this.spec.name} (${variant}): none of ${SPLIT_TRIES} drafts belongs to the split ${split}`,
      "The task has too few different pairs; let its drafts vary more.",
    );
  }

  /** Pairs of a split before they repeat, at most those that are scored; endless for the training pairs of drafts. */
  size(split: Split): number {
    const most = split === "train" ? Number.POSITIVE_INFINITY : SPLIT_SIZE[split];
    return Math.min(most, this.spec.pairs?.[split].length ?? most);
  }

  private draft(draw: Draw, rng: Rng, variant: string): Draft {
    try {
      return draw(rng, this.env);
    } catch (error) {
      if (!(error instanceof SparseError && error.code === "task-names")) throw error;
      throw inputError(error.code, `Task ${this.spec.name} (${variant}): ${error.message}`, error.hint, error);
    }
  }

  /** Preamble, padding line and prompts. */
  private complete(rng: Rng, draw: () => Draft): Draft {
    for (let tries = 0; tries < PAD_TRIES; tries++) {
      const draft = draw();
      const posLength = this.count(draft.pos.prompt);
      const negLength = this.count(draft.neg.prompt);
      const even = posLength === negLength || this.spec.sameLength === false;
      const pads = even ? { pos: "", neg: "" } : this.padding(rng, negLength - posLength, draft.avoid ?? []);
      if (pads === undefined) continue;
      const next = this.grammar.statements(rng, draft.avoid);
      let preamble = next();
      const rest = Math.min(posLength + this.count(pads.pos), negLength + this.count(pads.neg));
      let length = this.count(preamble) + rest;
      // Statements end with a newline and prompts begin without one: no piece joins two of them, so lengths add up.
      const add = (): void => {
        const statement = next();
        preamble += statement;
        length += this.count(statement);
      };
      while (length < minPromptTokens(this.spec)) add();
      for (let extra = draft.extra ?? 0; extra > 0; extra--) add();
      return {
        pos: { ...draft.pos, prompt: preamble + pads.pos + draft.pos.prompt },
        neg: { ...draft.neg, prompt: preamble + pads.neg + draft.neg.prompt },
      };
    }
    throw inputError(
      "task-padding",
      `Task ${this.spec.name}: in ${PAD_TRIES} drafts the two prompts differ by a number of tokens that no line of ` +
        `padding evens out, with the ${this.tokenizer.kind} tokenizer of ${this.tokenizer.vocabSize} tokens`,
      "Use a tokenizer trained with this task, or set sameLength: false in a task of your own.",
    );
  }

  private count(text: string): number {
    return this.tokenizer.encode(text).length;
  }

  /** Two neutral lines, the first longer than the second by `difference` tokens (or shorter, when negative). */
  private padding(rng: Rng, difference: number, avoid: readonly string[]): { pos: string; neg: string } | undefined {
    const { ints, funcs } = this.env.pools;
    const names = ints.filter((name) => !avoid.includes(name));
    if (names.length < 4 || funcs.length === 0) return undefined;
    const [n, m, k, j] = rng.sample(names, 4);
    const lines = [
      `${rng.pick(funcs)}()\n`,
      `${n} = ${m}\n`,
      `${n} = 5\n`,
      `${n} = ${m} + ${k}\n`,
      `${n} = ${m} + 5\n`,
      `${n} = ${m} + ${k} + ${j}\n`,
    ].map((text) => ({ text, length: this.count(text) }));
    const fitting = lines.flatMap((pos) =>
      lines.filter((neg) => pos.length - neg.length === difference).map((neg) => ({ pos: pos.text, neg: neg.text })),
    );
    return fitting.length === 0 ? undefined : rng.pick(fitting);
  }

  /** @throws inputError when a prompt is too long, or a target is not one token of its own, known and different. */
  encode(pair: ContrastPair): EncodedPair {
    const pos = this.encodeSide(pair, pair.pos);
    const neg = this.encodeSide(pair, pair.neg);
    if (pos.target === neg.target) throw this.badTarget(pair, pair.neg.target, "is the target of both sides");
    return { pos: pos.prompt, neg: neg.prompt, posTarget: pos.target, negTarget: neg.target };
  }

  private encodeSide(pair: ContrastPair, side: Side): { prompt: Uint16Array; target: number } {
    const { tokenizer } = this;
    const { contextLength } = this.options;
    const prompt = tokenizer.encode(side.prompt, [tokenizer.eot]);
    if (prompt.length >= contextLength) {
      throw inputError(
        "prompt-length",
        `${pairName(pair)}: a prompt has ${prompt.length} tokens; ` +
          `a context of ${contextLength} holds ${contextLength - 1} and the completion`,
        "Use a longer context (model.contextLength), or leave this variant out.",
      );
    }
    const target = tokenizer.idOf(side.target);
    if (target === undefined) {
      const parts = tokenizer.encode(side.target).map((id) => JSON.stringify(tokenizer.pieces[id]));
      throw this.badTarget(pair, side.target, `is not one token but ${parts.join(" ")}`);
    }
    // Read in its place: with what follows, the target must still be cut as the one token after the same prompt.
    const whole = tokenizer.encode(sideText(side), [tokenizer.eot]);
    if (whole[prompt.length] !== target || prompt.some((id, i) => whole[i] !== id)) {
      throw this.badTarget(pair, side.target, "is not cut as one token after the prompt");
    }
    return { prompt: Uint16Array.from(prompt), target };
  }

  private badTarget(pair: ContrastPair, target: string, why: string): Error {
    return inputError(
      "task-target",
      `${pairName(pair)}: the completion ${JSON.stringify(target)} ${why}, with the ` +
        `${this.tokenizer.kind} tokenizer of ${this.tokenizer.vocabSize} tokens`,
      `Use a tokenizer trained with this task (\`sparse tokenizer train --task\`), or a completion that it has as one token.`,
    );
  }

  /** Pairs `from` to `from + count - 1`, encoded. Those of the finite splits, which cost ten drafts each, are remembered. */
  pairs(split: Split, count: number, variant = "base", from = 0): EncodedPair[] {
    const make = (index: number): EncodedPair => this.encode(this.pair(split, index, variant));
    if (split === "train") return Array.from({ length: count }, (_, i) => make(from + i));
    const key = `${split} ${variant}`;
    const made = this.made.get(key) ?? [];
    this.made.set(key, made);
    while (made.length < from + count) made.push(make(made.length));
    return made.slice(from, from + count);
  }

  /** The same as one batch. */
  batch(split: Split, count: number, variant = "base", from = 0): PairBatch {
    return batchPairs(this.pairs(split, count, variant, from), this.tokenizer);
  }

  /**
   * Every validation and test prompt of the variants: what the corpus must not contain. Prompts given by the user that
   * are shorter than drafts ever are cannot be told apart from the corpus and are left out.
   */
  *heldOutPrompts(variants: readonly string[] = ["base"]): Generator<Uint16Array> {
    for (const variant of variants) {
      for (const split of ["val", "test"] as const) {
        for (const { pos, neg } of this.pairs(split, this.size(split), variant)) {
          for (const prompt of [pos, neg]) {
            if (this.spec.pairs === undefined || prompt.length >= minPromptTokens(this.spec)) yield prompt;
          }
        }
      }
    }
  }
}

/** Finds documents that hold the end of a validation or test prompt of the tasks, by the window of each. */
export function heldOutFilter(sources: readonly PairSource[]): DocumentFilter {
  const windows = new Set(sources.map(({ spec }) => minPromptTokens(spec)));
  const filters = [...windows].map((window) => {
    const alike = sources.filter(({ spec }) => minPromptTokens(spec) === window);
    return new Decontaminator(
      alike.flatMap((from) => [...from.heldOutPrompts()]),
      window,
    );
  });
  return filterAny(filters);
}
