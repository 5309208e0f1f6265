/** The vocabulary of the procedural grammar: statement kinds, weights and knobs, and what a generated program is. */

export const STATEMENT_KINDS = [
  "assign",
  "augment",
  "quote",
  "setstr",
  "swap",
  "list",
  "dict",
  "comment",
  "if",
  "for",
  "while",
  "def",
  "class",
  "with",
  "fileOrNone",
  "fprint",
  "ternary",
  "lambda",
  "boolIf",
] as const;
export type StatementKind = (typeof STATEMENT_KINDS)[number];

/** Kinds that open an indented block; not chosen at the deepest level. */
export const BLOCK_KINDS: ReadonlySet<StatementKind> = new Set([
  "if",
  "for",
  "while",
  "def",
  "class",
  "with",
  "boolIf",
]);

/** Relative frequencies; a kind left out never occurs. */
export type Weights = Readonly<Partial<Record<StatementKind, number>>>;

export interface GrammarOptions {
  readonly weights: Weights;
  /** Fewest and most statements at the top level of a document. */
  readonly docStmts: readonly [number, number];
  /** Deepest block: 0 means top-level statements only. */
  readonly maxDepth: number;
  /**
   * Share of strings and comments with misleading quotes: the other kind inside a string; an apostrophe, an opening or
   * a closing quote without its partner in a comment. At 0 a counter of quotes is always right.
   */
  readonly quoteNoise: number;
}

/**
 * A place in a program where a task's decision is taken: the text at `offset` begins with the right completion, `wrong`
 * is the one of the other side. Lets training report the accuracy of each task on corpus text.
 */
export interface Mark {
  /** Task name, e.g. `single_double_quote`. */
  readonly task: string;
  readonly side: "pos" | "neg";
  /** Index into the program's text. */
  readonly offset: number;
  readonly wrong: string;
}

export interface Program {
  readonly text: string;
  readonly marks: readonly Mark[];
}
