/** Circuits that a search has met, and how they are compared. */
import { lossOfMargins, type Score } from "./evaluator.ts";

export interface Size {
  readonly nodes: number;
  readonly edges: number;
}

export type Stage = "orders" | "elimination" | "local search" | "verification";

interface Verification {
  /** Task loss on the verification pairs, and its standard error. */
  readonly loss: number;
  readonly standardError: number;
}

export interface Candidate extends Size {
  /** Kept nodes, flat indices, ascending. */
  readonly kept: readonly number[];
  /** The stage that found it. */
  readonly stage: Stage;
  /** Task loss on the search pairs. */
  readonly loss: number;
  /** The search loss that elimination stayed within: the target, or less after verification failed. */
  readonly level: number;
  /** Whether no single node can go; false when the search was stopped before it knew. */
  readonly minimal: boolean;
  /** Undefined until scored on the verification pairs. */
  readonly verified?: Verification | undefined;
}

export interface StageSize extends Size {
  readonly stage: Stage;
  /** Task loss on the search pairs. */
  readonly loss: number;
}

/** Fewer edges first, then fewer nodes, then smaller loss. */
export function compareSize(a: Size & { readonly loss: number }, b: Size & { readonly loss: number }): number {
  return a.edges - b.edges || a.nodes - b.nodes || a.loss - b.loss;
}

/** Standard errors by which a circuit must stay below its target on pairs that it was not fitted to. */
export const SAFETY = 2;

/** Whether a circuit's score on pairs that it was not fitted to is surely within a target. */
export function holdsWithin(score: Score, target: number): boolean {
  return score.loss + SAFETY * pairStandardError(score) <= target;
}

/** Task loss of each pair: the mean of its two prompts. */
export function pairLosses({ margins }: Score): Float64Array {
  const loss = (margin: number): number => lossOfMargins([margin]);
  return Float64Array.from(
    { length: margins.length / 2 },
    (_, i) => (loss(margins[2 * i]!) + loss(margins[2 * i + 1]!)) / 2,
  );
}

/** Standard error of a mean loss over pairs; the two prompts of a pair are not independent. */
export function pairStandardError(score: Score): number {
  const losses = pairLosses(score);
  const pairs = losses.length;
  let sum = 0;
  let squares = 0;
  for (const loss of losses) {
    sum += loss;
    squares += loss * loss;
  }
  const mean = sum / pairs;
  return Math.sqrt(Math.max(0, squares / pairs - mean * mean) / Math.max(1, pairs - 1));
}
