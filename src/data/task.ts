/**
 * What a task is: a generator of contrast pairs (Gao et al. 2025, 2.2). A pair has two prompts of the same length that
 * differ in as few tokens as possible; the right completion of the first is the wrong one of the second. Tasks are text
 * and tokens: no tensors here.
 */
import { inputError } from "../util/errors.ts";
import { nearest } from "../util/nearest.ts";
import type { Rng } from "../util/rng.ts";
import type { Pools } from "./grammar/names.ts";
import type { StatementKind, Weights } from "./grammar.ts";

export const SPLITS = ["train", "val", "test"] as const;
export type Split = (typeof SPLITS)[number];

/** One prompt; `prompt + target + tail` parses as Python. */
export interface Side {
  readonly prompt: string;
  readonly target: string;
  readonly tail?: string;
}

/** The whole of a side: what parses. */
export function sideText({ prompt, target, tail = "" }: Side): string {
  return prompt + target + tail;
}

/** What a generator returns before the preamble and padding are added. */
export interface Draft {
  readonly pos: Side;
  readonly neg: Side;
  /** Preamble statements beyond those that the shortest prompt needs; 0 when left out. */
  readonly extra?: number;
  /** Names that the preamble must not bind, since the prompt is about them. */
  readonly avoid?: readonly string[];
  /** File and line that it was read from, for errors. */
  readonly where?: string;
}

export interface ContrastPair {
  readonly pos: Side;
  readonly neg: Side;
  readonly task: string;
  readonly split: Split;
  readonly index: number;
  readonly variant: string;
  readonly where?: string;
}

/** Token ids; prompts start with the end-of-text token as begin marker. */
export interface EncodedPair {
  readonly pos: Uint16Array;
  readonly neg: Uint16Array;
  readonly posTarget: number;
  readonly negTarget: number;
}

/** What a draft may use: names that are single tokens where programs use them, and the test for other text. */
export interface TaskEnv {
  readonly pools: Pools;
  isSingle(text: string): boolean;
}

export type Draw = (rng: Rng, env: TaskEnv) => Draft;

/** A family of drafts, swept over x and reported as a curve. */
export interface Probe {
  /** What x is, e.g. "earlier strings of the other kind". */
  readonly doc: string;
  /** The values swept by default, the undisturbed one first. */
  readonly values: readonly number[];
  readonly draw: (rng: Rng, env: TaskEnv, x: number) => Draft;
}

/** What a task loss is over: `pair` the two candidates only, `target-or-not` the whole vocabulary (train/evaluate.ts). */
export const TASK_LOSSES = ["pair", "target-or-not"] as const;
export type TaskLoss = (typeof TASK_LOSSES)[number];

export interface TaskSpec {
  readonly name: string;
  readonly aliases?: readonly string[];
  readonly group: string;
  /** One line for `sparse tasks`. */
  readonly doc: string;
  /** Default `pair`. */
  readonly loss?: TaskLoss;
  /** Whether the prompts of a pair are padded to one length. Default true. */
  readonly sameLength?: boolean;
  /**
   * Last tokens of a validation or test prompt that no document of the corpus may hold; no prompt has fewer. Default 24:
   * shorter runs of code repeat by chance. More where the text of a task has few forms.
   */
  readonly heldOutWindow?: number;
  readonly draft: Draw;
  /** A closed collection in the place of drafts: taken as they are, without preamble or padding, and only `base`. */
  readonly pairs?: Readonly<Record<Split, readonly Draft[]>>;
  /** Harder or held-out forms by name. Every task also has `base` (the draft) and `far` (3 to 6 more statements). */
  readonly variants?: Readonly<Record<string, Draw>>;
  readonly probes?: Readonly<Record<string, Probe>>;
  /** Statements before the prompt; one-line kinds. Default: assignments and calls. */
  readonly preamble?: Weights;
  /** Corpus weights of `sparse train --task`. */
  readonly focus: Partial<Record<StatementKind, number>>;
}

/**
 * The names of a pool (or of a list, known both at the beginning of a line and after a space) that may be drawn, none of
 * `avoid`.
 *
 * @throws inputError when the tokenizer has fewer than `count` of them as single tokens.
 */
export function knownNames(
  env: TaskEnv,
  from: keyof Pools | readonly string[],
  count: number,
  avoid: readonly string[] = [],
): readonly string[] {
  const known =
    typeof from === "string" ? env.pools[from] : from.filter((name) => env.isSingle(name) && env.isSingle(` ${name}`));
  const names = avoid.length === 0 ? known : known.filter((name) => !avoid.includes(name));
  if (names.length >= count) return names;
  const pool = typeof from === "string" ? `the pool "${from}"` : from.join(", ");
  throw inputError(
    "task-names",
    `expected ${count} or more names of ${pool} as single tokens, but the tokenizer has ${names.length} of them`,
    "Use a tokenizer trained with this task (`sparse tokenizer train --task`), or one with a larger vocabulary.",
  );
}

/** `count` different ones of `knownNames`, in random order. */
export function drawNames(
  rng: Rng,
  env: TaskEnv,
  from: keyof Pools | readonly string[],
  count: number,
  avoid?: readonly string[],
): string[] {
  return rng.sample(knownNames(env, from, count, avoid), count);
}

/** One of `knownNames`. */
export function drawName(
  rng: Rng,
  env: TaskEnv,
  from: keyof Pools | readonly string[],
  avoid?: readonly string[],
): string {
  return drawNames(rng, env, from, 1, avoid)[0]!;
}

/** Identity, with types: for a user's own task file. */
export function defineTask(spec: TaskSpec): TaskSpec {
  return spec;
}

/** `base`, `far` and the task's own variants. */
export function variantNames(spec: TaskSpec): string[] {
  return spec.pairs ? ["base"] : [...new Set(["base", "far", ...Object.keys(spec.variants ?? {})])];
}

/** The default sweep of each probe, as variants `<probe>@<x>`. */
export function probeVariants(spec: TaskSpec): string[] {
  return Object.entries(spec.probes ?? {}).flatMap(([name, { values }]) => values.map((x) => `${name}@${x}`));
}

/**
 * The generator of a variant: `base`, `far`, a name of `spec.variants`, or `<probe>@<x>`.
 *
 * @throws inputError for a name the task does not have.
 */
export function drawOf(spec: TaskSpec, variant: string): Draw {
  const own = spec.variants;
  if (own !== undefined && Object.hasOwn(own, variant)) return own[variant]!;
  if (variant === "base") return spec.draft;
  if (variant === "far") return (rng, env) => ({ ...spec.draft(rng, env), extra: rng.int(3, 6) });
  const [name, value] = variant.split("@");
  const x = Number(value);
  if (value !== undefined && value !== "" && Number.isInteger(x) && x >= 0 && Object.hasOwn(spec.probes ?? {}, name!)) {
    const { draw } = spec.probes![name!]!;
    return (rng, env) => draw(rng, env, x);
  }
  const names = [...variantNames(spec), ...Object.keys(spec.probes ?? {}).map((probe) => `${probe}@<whole number>`)];
  throw inputError(
    "unknown-variant",
    `Task ${spec.name} has no variant "${variant}"`,
    `Did you mean "${nearest(variant, names)}"? Variants: ${names.join(", ")}.`,
  );
}
