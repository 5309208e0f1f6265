/** How the task loss falls as a circuit may have more edges (Gao et al. 2025, Figure 2): a small circuit for each target. */
import { compareSize, holdsWithin, type Size } from "./candidate.ts";
import { eliminate } from "./eliminate.ts";
import type { Evaluator } from "./evaluator.ts";

/** Targets of a curve, strictest first. Stricter ones can take longer than all the rest. */
const TARGETS = [0.05, 0.1, 0.15, 0.25, 0.35, 0.5];
/** How much stricter another try is, and how many there are. */
const STRICTER = 0.85;
const TRIES = 4;

export interface CurveProblem {
  readonly search: Evaluator;
  readonly verify: Evaluator;
  readonly connected: (kept: Uint8Array) => Uint8Array;
  readonly size: (kept: Uint8Array) => Size;
  readonly partner?: ((node: number) => number | undefined) | undefined;
  readonly stays?: Uint8Array | undefined;
  readonly estimate?: ((kept: Uint8Array) => Float32Array) | undefined;
  /** Circuits of any size and loss to start from. */
  readonly starts: readonly Uint8Array[];
  readonly halted: () => Promise<boolean>;
  readonly progress?: ((done: number, of: number) => void) | undefined;
}

export interface CurvePoint extends Size {
  readonly target: number;
  readonly kept: Uint8Array;
}

/** The smallest circuit found for each target that holds on the verification pairs too; targets without one are left out. */
export async function lossCurve(problem: CurveProblem): Promise<CurvePoint[]> {
  const { search, verify, size, connected } = problem;
  const losses = new Map<Uint8Array, number>(problem.starts.map((kept) => [kept, search.score(kept).loss]));
  const holds = (kept: Uint8Array, target: number): boolean =>
    search.score(kept).loss <= target && holdsWithin(verify.score(kept), target);
  const points: CurvePoint[] = [];
  for (const [i, target] of TARGETS.entries()) {
    let best: CurvePoint | undefined;
    const offer = (kept: Uint8Array): void => {
      const point = { target, kept, ...size(kept) };
      if ((!best || compareSize({ ...point, loss: 0 }, { ...best, loss: 0 }) < 0) && holds(kept, target)) best = point;
    };
    for (let level = target, tries = 0; tries < TRIES && !(await problem.halted()); tries++, level *= STRICTER) {
      const [start] = [...losses]
        .filter(([, loss]) => loss <= level)
        .map(([kept, loss]) => ({ kept, loss, ...size(kept) }))
        .sort(compareSize);
      if (!start) break;
      const { halted, partner, stays } = problem;
      const estimate = problem.estimate && ((kept: Uint8Array) => problem.estimate!(kept).map(Math.abs));
      const loss = (kept: Uint8Array): number => search.score(kept).loss;
      const left = await eliminate(start.kept, { loss, level, connected, partner, stays, estimate, halted });
      if (left) losses.set(left.kept, loss(left.kept));
      if (left) offer(left.kept);
      offer(start.kept);
      if (best) break;
    }
    // What was found for a stricter target serves here too.
    const before = points[points.length - 1];
    if (before) offer(before.kept);
    if (best) points.push(best);
    problem.progress?.(i + 1, TARGETS.length);
  }
  return points.reverse();
}
