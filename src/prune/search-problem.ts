/** What a search is given and what it returns. */
import type { Candidate, Size, Stage, StageSize } from "./candidate.ts";
import type { Evaluator } from "./evaluator.ts";

export interface SearchProblem {
  /** Task loss that a circuit must not exceed, nats. */
  readonly target: number;
  /** Scores on the pairs that the search fits. */
  readonly search: Evaluator;
  /** Scores on other pairs, which decide among what was found; without it the search pairs decide alone. */
  readonly verify?: Evaluator | undefined;
  /** The nodes that have a path from input to output; the others are dropped before counting. */
  readonly connected: (kept: Uint8Array) => Uint8Array;
  readonly size: (kept: Uint8Array) => Size;
  /** Rankings of all nodes, most important first. */
  readonly orders: readonly Int32Array[];
  /** The node that must go with a node, if there is one. */
  readonly partner?: ((node: number) => number | undefined) | undefined;
  /** Nodes that are never removed, one byte each. */
  readonly stays?: Uint8Array | undefined;
  /** Estimates of how much the loss changes without each node of a circuit. */
  readonly estimate?: ((kept: Uint8Array) => Float32Array) | undefined;
  /** Circuits to start from besides the orders' top nodes. */
  readonly starts?: readonly Uint8Array[] | undefined;
}

export interface SearchOptions {
  readonly seed: number;
  /** Rounds of local search; it ends after a third of them without a smaller circuit. */
  readonly kicks: number;
  /** Circuits scored after which local search ends, however many rounds are left. */
  readonly evaluations: number;
  /**
   * Moment of `performance.now()` at which the search ends. Local search then goes on until it, and what is found depends
   * on the machine's speed.
   */
  readonly deadline?: number | undefined;
  /** When it is set, the search ends soon with the best so far. */
  readonly signal?: AbortSignal | undefined;
  readonly progress?: ((stage: Stage, done: number, of: number, best: Size | undefined) => void) | undefined;
}

export interface SearchResult {
  /** The smallest circuit that holds on the verification pairs; undefined when none does. */
  readonly best: Candidate | undefined;
  /** Every circuit at which an elimination ended, smallest first. */
  readonly candidates: readonly Candidate[];
  /** Size after each stage. */
  readonly stages: readonly StageSize[];
  /** Smallest loss of the orders' top nodes, and their size: above the target when there are no candidates. */
  readonly lowest: StageSize | undefined;
  readonly evaluations: number;
  /** True when the signal ended it early, or the deadline came before local search. */
  readonly stopped: boolean;
}
