/** Circuits that a search has met, and how they are compared. */
import { lossOfMargins, type Score } from "./evaluator.ts";

export interface Size {
  readonly nodes: number;
  readonly edges: number;
}

export type Stage = "orders" | "elimination" | "local search" | "verification";

export interface Verification {
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

/** How many times as many edges a circuit that is not 1-minimal counts as when it is compared with one that is. */
const NOT_MINIMAL = 1.25;

/** The smaller first; what is not 1-minimal as if it had more edges. */
export function compareMinimal(a: Candidate, b: Candidate): number {
  const edges = ({ edges, minimal }: Candidate): number => (minimal ? edges : NOT_MINIMAL * edges);
  return edges(a) - edges(b) || Number(b.minimal) - Number(a.minimal) || compareSize(a, b);
}

/** Standard errors by which a circuit must stay below its target on pairs that it was not fitted to. */
export const SAFETY = 2;

/** What a circuit's loss on all pairs is surely within, from that on some that it was not fitted to. */
export function upper({ loss, standardError }: Verification): number {
  return loss + SAFETY * standardError;
}

/** A score on pairs that a circuit was not fitted to. */
export function verification(score: Score): Verification {
  return { loss: score.loss, standardError: pairStandardError(score) };
}

/** Whether a circuit's score on pairs that it was not fitted to is surely within a target. */
export function holdsWithin(score: Score, target: number): boolean {
  return upper(verification(score)) <= target;
}

/** Task loss of each pair: the mean of its two prompts. */
export function pairLosses({ margins }: Score): Float64Array {
  const loss = (margin: number): number => lossOfMargins([margin]);
  return Float64Array.from(
    { length: margins.length / 2 },
    (_, i) => (loss(margins[2 * i]!) + loss(margins[2 * i + 1]!)) / 2,
  );
}

/**
 * Standard error of a mean loss over pairs; the two prompts of a pair are not independent. Draws of ablated values are the
 * same for all pairs: what differs between draws is no chance of the pairs, so the variance is that within them.
 */
export function pairStandardError(score: Score): number {
  const losses = pairLosses(score);
  const { draws = 1 } = score;
  let variance = 0;
  for (let draw = 0; draw < draws; draw++) {
    const of = losses.filter((_, pair) => pair % draws === draw);
    const mean = of.reduce((sum, loss) => sum + loss, 0) / of.length;
    const squares = of.reduce((sum, loss) => sum + loss * loss, 0) / of.length;
    const share = of.length / losses.length;
    if (of.length > 0) variance += (share ** 2 * Math.max(0, squares - mean * mean)) / Math.max(1, of.length - 1);
  }
  return Math.sqrt(variance);
}
