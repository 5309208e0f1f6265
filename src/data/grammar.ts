/**
 * The procedural corpus: a probabilistic grammar of small Python programs. Contract: a program is a function of the
 * options and the key of its generator alone (document i needs no document before it), it always parses as Python, it
 * is printable ASCII and newlines, and it carries the decision marks of the tasks. The profiles name mixes of
 * statements that make the decisions of a task group frequent. Gao et al. 2025 train on real code; this stands in for
 * it where a small model is to learn a task in minutes.
 */
import { inputError } from "../util/errors.ts";
import { nearest } from "../util/nearest.ts";
import type { Rng } from "../util/rng.ts";
import { boolIf, classInit, define, forLoop, ifElse, whileLoop, withOpen } from "./grammar/blocks.ts";
import {
  BLOCK_KINDS,
  type GrammarOptions,
  type Program,
  STATEMENT_KINDS,
  type StatementKind,
  type Weights,
} from "./grammar/kinds.ts";
import {
  assign,
  augment,
  dict,
  fileOrNone,
  fprint,
  lambda,
  list,
  quote,
  setstr,
  swap,
  ternary,
} from "./grammar/simple.ts";
import { comment } from "./grammar/strings.ts";
import { type Dispatch, Writer } from "./grammar/writer.ts";

export type { GrammarOptions, Mark, Program, StatementKind, Weights } from "./grammar/kinds.ts";

const EMIT: Readonly<Record<StatementKind, (w: Writer) => void>> = {
  assign,
  augment,
  quote,
  setstr,
  swap,
  list,
  dict,
  comment,
  if: ifElse,
  for: forLoop,
  while: whileLoop,
  def: define,
  class: classInit,
  with: withOpen,
  fileOrNone,
  fprint,
  ternary,
  lambda,
  boolIf,
};

const QUOTES: Weights = { quote: 8, assign: 3, augment: 1, list: 1, fprint: 1, setstr: 1, if: 1, comment: 0.5 };

/** Blocks less often than their decisions would ask for: their bodies are filled with statements by these weights too. */
const FULL: Weights = {
  setstr: 4,
  swap: 4,
  class: 2,
  quote: 3,
  list: 5,
  dict: 2,
  with: 2,
  fileOrNone: 2,
  for: 4,
  while: 3.5,
  def: 4,
  if: 3,
  boolIf: 3,
  ternary: 1.5,
  lambda: 1,
  fprint: 3,
  assign: 1,
  augment: 0.5,
  comment: 0.5,
};

const SHORT = { docStmts: [3, 8], maxDepth: 2, quoteNoise: 0 } as const;

const DEFAULTS = { docStmts: [8, 24], maxDepth: 2, quoteNoise: 0 } as const;

export const PROFILES = {
  /** Quoted calls. A model may solve these by counting quotes, and small ones do. */
  quotes: { ...DEFAULTS, weights: QUOTES },
  /** Quoted calls among misleading quotes: counting fails, reading the last opening call quote does not. */
  "quotes-hard": { ...DEFAULTS, weights: { ...QUOTES, comment: 5 }, quoteNoise: 0.5 },
  /** Sets and strings, swaps and classes in short documents: every other statement is a decision. */
  binding: {
    docStmts: [2, 5],
    maxDepth: 1,
    quoteNoise: 0,
    weights: { setstr: 6, swap: 6, class: 4, assign: 1, quote: 0.5, list: 0.5, augment: 0.5, dict: 0.3 },
  },
  brackets: { ...DEFAULTS, weights: { list: 8, dict: 4, assign: 2, comment: 1, quote: 1, for: 1 } },
  files: { ...SHORT, maxDepth: 1, weights: { with: 8, fileOrNone: 5, assign: 2, augment: 1, quote: 0.5 } },
  loops: { ...SHORT, maxDepth: 3, weights: { for: 7, while: 5, def: 5, assign: 2, augment: 1, list: 0.5, quote: 0.5 } },
  conditions: { ...SHORT, weights: { if: 8, boolIf: 6, ternary: 2, assign: 2, augment: 1, quote: 0.5 } },
  functions: { ...SHORT, maxDepth: 1, weights: { def: 8, lambda: 2, assign: 1, augment: 1, quote: 0.5 } },
  strings: { ...SHORT, maxDepth: 1, weights: { fprint: 8, assign: 2, augment: 1, quote: 1, if: 0.5 } },
  /** Every decision of every task. */
  full: { ...SHORT, maxDepth: 3, weights: FULL },
} as const satisfies Record<string, GrammarOptions>;

type ProfileName = keyof typeof PROFILES;

/** The options of a named profile, with the caller's own in their place. Weights replace, they do not add. */
export function grammarOptions(profile: string, overrides: Partial<GrammarOptions> = {}): GrammarOptions {
  if (!Object.hasOwn(PROFILES, profile)) {
    throw inputError(
      "unknown-profile",
      `No corpus profile is called "${profile}"`,
      `Did you mean "${nearest(profile, Object.keys(PROFILES))}"? Profiles: ${Object.keys(PROFILES).join(", ")}.`,
    );
  }
  const options: GrammarOptions = { ...PROFILES[profile as ProfileName], ...overrides };
  return checkGrammarOptions(options);
}

function checkGrammarOptions(options: GrammarOptions): GrammarOptions {
  let sum = 0;
  for (const [kind, weight] of Object.entries(options.weights)) {
    if (!(STATEMENT_KINDS as readonly string[]).includes(kind)) {
      throw inputError(
        "grammar-options",
        `No statement kind is called "${kind}"`,
        `Did you mean "${nearest(kind, STATEMENT_KINDS)}"? Kinds: ${STATEMENT_KINDS.join(", ")}.`,
      );
    }
    if (!(weight >= 0 && Number.isFinite(weight))) throw bad(`the weight of ${kind} is ${weight}`, "0 or more");
    sum += weight;
  }
  const [fewest, most] = options.docStmts;
  if (sum <= 0) throw bad("all weights are 0", "at least one above 0");
  if (!(Number.isInteger(fewest) && Number.isInteger(most) && fewest >= 1 && most >= fewest)) {
    throw bad(`docStmts is [${fewest}, ${most}]`, "two integers, 1 <= fewest <= most");
  }
  if (!(Number.isInteger(options.maxDepth) && options.maxDepth >= 0 && options.maxDepth <= 8)) {
    throw bad(`maxDepth is ${options.maxDepth}`, "an integer from 0 to 8");
  }
  if (!(options.quoteNoise >= 0 && options.quoteNoise <= 1)) {
    throw bad(`quoteNoise is ${options.quoteNoise}`, "a number from 0 to 1");
  }
  return options;
}

function bad(found: string, expected: string): Error {
  return inputError("grammar-options", `In the corpus options ${found}; expected ${expected}`, "Change that option.");
}

/** Draws kinds by weight; the running sums are made once, since this is asked for every statement. */
class KindSampler {
  private readonly kinds: StatementKind[] = [];
  private readonly sums: number[] = [];

  constructor(weights: Weights, allow: (kind: StatementKind) => boolean) {
    let sum = 0;
    // In the fixed order of the kinds: the same weights give the same programs however their object was written.
    for (const kind of STATEMENT_KINDS) {
      const weight = weights[kind] ?? 0;
      if (weight <= 0 || !allow(kind)) continue;
      sum += weight;
      this.kinds.push(kind);
      this.sums.push(sum);
    }
    if (sum === 0) {
      this.kinds.push("assign");
      this.sums.push(1);
    }
  }

  draw(rng: Rng): StatementKind {
    const x = rng.float() * this.sums[this.sums.length - 1]!;
    let i = 0;
    while (x >= this.sums[i]!) i++;
    return this.kinds[i]!;
  }
}

export class Grammar {
  readonly options: GrammarOptions;
  private readonly dispatch: Dispatch;

  /** @throws inputError for options out of range. */
  constructor(options: GrammarOptions) {
    this.options = checkGrammarOptions(options);
    const any = new KindSampler(options.weights, () => true);
    const simple = new KindSampler(options.weights, (kind) => !BLOCK_KINDS.has(kind));
    this.dispatch = {
      pick: (rng, onlySimple) => (onlySimple ? simple : any).draw(rng),
      emit: (kind, writer) => EMIT[kind](writer),
    };
  }

  /** A program of `docStmts` statements. */
  program(rng: Rng): Program {
    const writer = new Writer(rng, this.options, this.dispatch);
    const [fewest, most] = this.options.docStmts;
    for (let count = rng.int(fewest, most); count > 0; count--) writer.statement();
    return { text: writer.text, marks: writer.marks };
  }

  /** An endless program, a top-level statement at a call: each text ends with a newline. Binds none of `avoid`. */
  statements(rng: Rng, avoid: readonly string[] = []): () => string {
    const writer = new Writer(rng, this.options, this.dispatch, avoid);
    return () => {
      writer.text = "";
      writer.statement();
      return writer.text;
    };
  }
}
