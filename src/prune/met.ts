/** Every circuit that a search has met: its loss, its size, and whether it does the task on other pairs. */
import {
  type Candidate,
  compareMinimal,
  compareSize,
  type Size,
  type Stage,
  upper,
  verification,
} from "./candidate.ts";
import { indices, keyOf, maskOf } from "./kept.ts";
import type { SearchProblem } from "./search-problem.ts";

/** How a circuit was met. */
export interface Meeting {
  readonly stage: Stage;
  /** Search loss that the search stayed within. */
  readonly level: number;
  readonly minimal: boolean;
}

export interface Measured extends Size {
  readonly kept: Uint8Array;
  readonly loss: number;
}

export class Met {
  private readonly problem: SearchProblem;
  private readonly losses = new Map<string, number>();
  private readonly candidates = new Map<string, Candidate>();
  /** Sets of nodes that were scored on the search pairs. */
  evaluations = 0;

  constructor(problem: SearchProblem) {
    this.problem = problem;
  }

  /** Task loss on the search pairs. */
  loss(kept: Uint8Array): number {
    const key = keyOf(kept);
    const known = this.losses.get(key);
    if (known !== undefined) return known;
    const { loss } = this.problem.search.score(kept);
    this.evaluations++;
    this.losses.set(key, loss);
    return loss;
  }

  measured(kept: Uint8Array): Measured {
    return { kept, loss: this.loss(kept), ...this.problem.size(kept) };
  }

  candidate(kept: Uint8Array, meeting: Meeting): Candidate {
    return { ...this.measured(kept), kept: indices(kept), ...meeting };
  }

  mask({ kept }: Pick<Candidate, "kept">): Uint8Array {
    return maskOf(kept, this.problem.orders[0]!.length);
  }

  /** Notes a circuit at which an elimination ended. */
  keep(kept: Uint8Array, meeting: Meeting): Candidate {
    const key = keyOf(kept);
    const known = this.candidates.get(key);
    if (known && (known.minimal || !meeting.minimal)) return known;
    const candidate = this.candidate(kept, meeting);
    this.candidates.set(key, candidate);
    return candidate;
  }

  /** Scores a candidate on the verification pairs, and notes it. */
  verify(candidate: Candidate): Candidate {
    const { verify } = this.problem;
    if (!verify || candidate.verified) return candidate;
    const kept = this.mask(candidate);
    const checked: Candidate = { ...candidate, verified: verification(verify.score(kept)) };
    this.candidates.set(keyOf(kept), checked);
    return checked;
  }

  /** Whether a candidate that was scored there meets the target on both sets of pairs. */
  holds({ loss, verified }: Candidate): boolean {
    const { target, verify } = this.problem;
    if (loss > target) return false;
    return !verify || (verified !== undefined && upper(verified) <= target);
  }

  /** All that meet a search loss, smallest first. */
  within(level: number): Candidate[] {
    return [...this.candidates.values()].filter(({ loss }) => loss <= level).sort(compareSize);
  }

  /** The smallest of them, those that are 1-minimal preferred. */
  smallest(level: number): Candidate | undefined {
    let best: Candidate | undefined;
    for (const candidate of this.candidates.values()) {
      if (candidate.loss <= level && (!best || compareMinimal(candidate, best) < 0)) best = candidate;
    }
    return best;
  }
}
