/** What a search has met against the pairs that it was not fitted to: what holds there, what is spare, what is missing. */
import { type Candidate, compareMinimal, compareSize, upper, verification } from "./candidate.ts";
import { eliminate, removals } from "./eliminate.ts";
import { indices, keyOf, maskOf, without } from "./kept.ts";
import type { Measured, Met } from "./met.ts";
import type { SearchProblem } from "./search-problem.ts";

/** Circuits that hold from which nodes are taken that the target itself does not need. */
const TRIMMED = 4;
/** Circuits that fail to which nodes are added, and how often each may be scored on the verification pairs, of which there are more. */
const REPAIRED = 3;
const SCORES = 1000;

export interface HeldOutOptions {
  readonly problem: SearchProblem;
  readonly met: Met;
  /** Search loss that the search stayed within last. */
  readonly level: number;
  readonly halted: () => Promise<boolean>;
  readonly progress: (done: number, of: number) => void;
}

/** The smallest of the candidates that hold on the verification pairs, without what they do not need there. */
export async function smallestHeld({ problem, met, halted, progress }: HeldOutOptions): Promise<Candidate | undefined> {
  const ordered = met.within(Number.POSITIVE_INFINITY);
  const held: Candidate[] = [];
  for (const [i, candidate] of ordered.entries()) {
    progress(i, ordered.length);
    if ((await halted()) && held.length > 0) break;
    const checked = met.verify(candidate);
    if (met.holds(checked)) held.push(await trimmed(checked, problem, met, halted));
    if (held.filter(({ minimal }) => minimal).length === TRIMMED) break;
  }
  return held.sort(compareMinimal)[0];
}

/** What was found within a stricter level may have nodes that the target itself does not need. */
async function trimmed(
  candidate: Candidate,
  problem: SearchProblem,
  met: Met,
  halted: () => Promise<boolean>,
): Promise<Candidate> {
  const { target, connected } = problem;
  if (!candidate.minimal || candidate.level >= target) return candidate;
  const checked = (kept: Uint8Array): Candidate =>
    met.verify(met.candidate(kept, { stage: "verification", level: target, minimal: false }));
  let best = candidate;
  let spare = true;
  while (spare && !(await halted())) {
    spare = false;
    const kept = met.mask(best);
    const ranked = await removals(kept, (mask) => met.loss(mask), { ...problem, halted });
    if (!ranked) return { ...best, minimal: false };
    for (const { nodes, loss } of ranked) {
      if (loss > target) break;
      const trial = without(kept, nodes);
      if (!met.holds(checked(trial))) continue;
      spare = true;
      const rest = checked(connected(trial));
      // Rarely, a node can go but what it cuts off cannot: then the circuit stays, and is not called minimal.
      if (!met.holds(rest)) return { ...best, minimal: false };
      best = rest;
      break;
    }
  }
  return { ...best, minimal: !spare };
}

/**
 * The smallest of what the smallest candidates become when nodes of a larger circuit that holds on the verification pairs are
 * added until they hold there too, and those that neither set of pairs needs are removed again. `larger`: known circuits.
 */
export async function smallestRepaired(
  { problem, met, level, halted, progress }: HeldOutOptions,
  larger: readonly Measured[],
): Promise<Candidate | undefined> {
  const { estimate, target, verify, connected } = problem;
  if (!verify) return undefined;
  const known = new Map<string, number>();
  /** Loss on both sets of pairs. */
  const loss = (kept: Uint8Array): number => {
    const fitted = met.loss(kept);
    if (fitted > target) return fitted;
    const key = keyOf(kept);
    const other = known.get(key) ?? upper(verification(verify.score(kept)));
    known.set(key, other);
    return Math.max(fitted, other);
  };
  const held = async (): Promise<Measured | undefined> => {
    for (const circuit of larger.toSorted(compareSize)) {
      if (await halted()) return undefined;
      if (loss(circuit.kept) <= target) return circuit;
    }
    return undefined;
  };
  progress(0, REPAIRED * SCORES);
  const source = await held();
  if (!source) return undefined;
  const asCandidate = (kept: Uint8Array, minimal: boolean): Candidate =>
    met.verify(met.candidate(kept, { stage: "verification", level: target, minimal }));
  const repaired: Candidate[] = [];
  for (const [i, candidate] of met.within(level).slice(0, REPAIRED).entries()) {
    if (await halted()) break;
    const before = known.size;
    const ended = (): Promise<boolean> => {
      const scored = known.size - before;
      progress(i * SCORES + Math.min(scored, SCORES), REPAIRED * SCORES);
      return scored > SCORES ? Promise.resolve(true) : halted();
    };
    const circuit = met.mask(candidate);
    const change = estimate?.(circuit);
    const others = indices(source.kept).filter((n) => !circuit[n]);
    // What lowers the loss most when it is added first.
    if (change) others.sort((a, b) => change[b]! - change[a]! || a - b);
    let start = circuit;
    for (let count = 1; loss(start) > target && count < 2 * others.length; count *= 2) {
      start = connected(maskOf([...candidate.kept, ...others.slice(0, count)], circuit.length));
    }
    const eliminated = await eliminate(start, { ...problem, loss, level: target, halted: ended });
    if (eliminated) repaired.push(asCandidate(eliminated.kept, eliminated.minimal));
  }
  // If nothing came of it, what holds is at least known.
  return repaired.sort(compareMinimal)[0] ?? asCandidate(source.kept, false);
}
