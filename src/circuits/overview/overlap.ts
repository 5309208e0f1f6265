/**
 * How much the circuits of one model have in common, and how much they would by chance. Sets of numbers only: once of nodes,
 * once of edges.
 *
 * Chance is a null model: each circuit is replaced, independently of the others, by as many elements drawn at random in each
 * stratum (nodes by site, edges by matrix), so that circuits that all need, say, the first attention layer do not count as
 * entangled for that. Every expectation is exact, nothing is sampled: an overlap of two is a sum of hypergeometric numbers, and
 * how many circuits an element is in a Poisson binomial one.
 */
import { mean } from "../../util/statistics.ts";

export interface Strata {
  /** Elements in each stratum, those of no circuit too. */
  readonly sizes: readonly number[];
  readonly of: (element: number) => number;
}

export interface PairOverlap {
  /** Which sets, the first of them first. */
  readonly a: number;
  readonly b: number;
  readonly shared: number;
  /** Shared over those in either; null where both are empty. */
  readonly jaccard: number | null;
  /** Mean of the Jaccard index by chance. */
  readonly expected: number | null;
  /** Probability that at least so many are shared by chance. */
  readonly atLeast: number;
}

interface UsedBy {
  /** Elements that are in exactly so many sets. */
  readonly sets: number;
  readonly count: number;
  /** Mean by chance. */
  readonly expected: number;
}

export interface Overlap {
  /** Elements of the model. */
  readonly total: number;
  /** Of each set. */
  readonly sizes: readonly number[];
  /** For 0, 1, ... sets. */
  readonly usedBy: readonly UsedBy[];
  readonly pairs: readonly PairOverlap[];
  /** Over pairs; null where a pair has none, or there is no pair. */
  readonly meanJaccard: number | null;
  readonly expectedJaccard: number | null;
  /** See `disentanglement`. */
  readonly disentanglement: number | null;
  readonly expectedDisentanglement: number | null;
}

/** Mean by chance that rounds to none. */
const NONE = 0.05;

/** The numbers of sets, from 0 on, that some node or edge is in, or would be by chance. */
export function setsInUse(...overlaps: readonly Overlap[]): number[] {
  const sets = overlaps[0]!.usedBy.map((u) => u.sets);
  return sets.filter((k) => overlaps.some(({ usedBy }) => usedBy[k]!.count > 0 || usedBy[k]!.expected >= NONE));
}

export function overlapOf(sets: readonly ReadonlySet<number>[], strata: Strata): Overlap {
  const total = strata.sizes.reduce((sum, n) => sum + n, 0);
  const logs = logFactorials(Math.max(0, ...strata.sizes));
  const perStratum = sets.map((set) => {
    const counts = strata.sizes.map(() => 0);
    for (const element of set) counts[strata.of(element)]!++;
    return counts;
  });
  const pairs = sets.flatMap((a, i) =>
    sets.slice(i + 1).map((b, more): PairOverlap => {
      const j = i + 1 + more;
      const shared = [...a].filter((element) => b.has(element)).length;
      const both = a.size + b.size;
      const chances = strata.sizes
        .map((n, s) => hypergeometric(n, perStratum[i]![s]!, perStratum[j]![s]!, logs))
        .reduce(convolved, [1]);
      return {
        ...{ a: i, b: j, shared },
        jaccard: both === 0 ? null : shared / (both - shared),
        expected: both === 0 ? null : chances.reduce((sum, p, k) => sum + (p * k) / (both - k), 0),
        atLeast: Math.min(
          1,
          chances.slice(shared).reduce((sum, p) => sum + p, 0),
        ),
      };
    }),
  );
  const usedBy = Array.from({ length: sets.length + 1 }, (_, k) => ({ sets: k, count: 0, expected: 0 }));
  const timesUsed = new Map<number, number>();
  for (const set of sets) for (const element of set) timesUsed.set(element, (timesUsed.get(element) ?? 0) + 1);
  for (const times of timesUsed.values()) usedBy[times]!.count++;
  usedBy[0]!.count = total - timesUsed.size;
  for (const [s, n] of strata.sizes.entries()) {
    const inSets = perStratum.map((counts): number[] => [1 - counts[s]! / n, counts[s]! / n]);
    if (n > 0) for (const [k, p] of inSets.reduce(convolved, [1]).entries()) usedBy[k]!.expected += n * p;
  }
  const meanOf = (of: (pair: PairOverlap) => number | null): number | null => {
    const values = pairs.map(of);
    return values.length > 0 && values.every((x) => x !== null) ? mean(values) : null;
  };
  return {
    ...{ total, sizes: sets.map((set) => set.size), usedBy, pairs },
    meanJaccard: meanOf(({ jaccard }) => jaccard),
    expectedJaccard: meanOf(({ expected }) => expected),
    disentanglement: disentanglement(usedBy.map(({ count }) => count)),
    expectedDisentanglement: disentanglement(usedBy.map(({ expected }) => expected)),
  };
}

/**
 * Disentanglement as Eastwood and Williams define it (A framework for the quantitative evaluation of disentangled
 * representations, ICLR 2018, section 2), elements for their codes and circuits for their factors: the mean of 1 - H over
 * elements, H the entropy, to the base of the number of circuits, of which circuit an element is used in. All circuits that
 * have it use it alike; elements weigh as much as they are used. 1: none is in two circuits; 0: each is in all.
 * @param usedBy how many elements are in exactly 0, 1, ... circuits
 * @returns null for fewer than two circuits, and where none has an element
 */
export function disentanglement(usedBy: readonly number[]): number | null {
  const circuits = usedBy.length - 1;
  const uses = usedBy.reduce((sum, n, k) => sum + n * k, 0);
  if (circuits < 2 || uses === 0) return null;
  const alone = usedBy.reduce((sum, n, k) => (k === 0 ? sum : sum + n * k * (1 - Math.log(k) / Math.log(circuits))), 0);
  return alone / uses;
}

/** log n! for n up to `most`. */
function logFactorials(most: number): Float64Array {
  const logs = new Float64Array(most + 1);
  for (let n = 1; n <= most; n++) logs[n] = logs[n - 1]! + Math.log(n);
  return logs;
}

/** The chances that a random `a` and `b` of n elements share 0, 1, ... of them. */
function hypergeometric(n: number, a: number, b: number, logs: Float64Array): number[] {
  const choose = (m: number, k: number): number => logs[m]! - logs[k]! - logs[m - k]!;
  return Array.from({ length: Math.min(a, b) + 1 }, (_, k) =>
    n - a < b - k ? 0 : Math.exp(choose(a, k) + choose(n - a, b - k) - choose(n, b)),
  );
}

/** The chances of a sum of two independent numbers. */
function convolved(a: readonly number[], b: readonly number[]): number[] {
  const sum = new Array<number>(a.length + b.length - 1).fill(0);
  for (const [i, p] of a.entries()) for (const [j, q] of b.entries()) sum[i + j]! += p * q;
  return sum;
}
