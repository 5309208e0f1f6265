/** Made-up tasks whose circuits are known: losses from hidden sets of nodes, with redundancy and without monotony. */
import fc from "fast-check";
import { type Evaluator, lossOfMargins, type Score } from "../../src/prune/evaluator.ts";
import type { SearchProblem } from "../../src/prune/search-problem.ts";
import { Rng } from "../../src/util/rng.ts";

export interface SyntheticSpec {
  readonly seed: number;
  readonly nodes: number;
  /** Parts of the hidden circuit. */
  readonly slots: number;
  /** Nodes that can play each part; where `exclusive`, exactly one of them must be kept. */
  readonly alternatives: number;
  readonly exclusive: boolean;
  /** How much any other node shifts the margins, up or down. */
  readonly noise: number;
  /** Shift of the margins on the verification pairs. */
  readonly gap: number;
  readonly target: number;
}

export const syntheticSpec: fc.Arbitrary<SyntheticSpec> = fc.record({
  seed: fc.nat(),
  nodes: fc.integer({ min: 20, max: 120 }),
  slots: fc.integer({ min: 1, max: 6 }),
  alternatives: fc.integer({ min: 1, max: 3 }),
  exclusive: fc.boolean(),
  noise: fc.constantFrom(0, 0.05, 0.3),
  gap: fc.constantFrom(0, 0.2, -0.2),
  target: fc.constantFrom(0.05, 0.15, 0.4),
});

const PAIRS = 12;

export interface Synthetic extends SearchProblem {
  /** Nodes that play each part. */
  readonly parts: readonly (readonly number[])[];
}

export function synthetic(spec: SyntheticSpec): Synthetic {
  const rng = Rng.of("synthetic", spec.seed);
  const { nodes, slots, alternatives } = spec;
  const shuffled = rng.shuffle(Array.from({ length: nodes }, (_, n) => n));
  const parts = Array.from({ length: slots }, (_, i) => shuffled.slice(i * alternatives, (i + 1) * alternatives));
  const special = new Set(parts.flat());
  const weights = Float64Array.from({ length: nodes * PAIRS }, () => spec.noise * rng.normal());
  const evaluator = (gap: number): Evaluator => ({
    score(kept): Score {
      let played = 0;
      for (const part of parts) {
        const count = part.filter((n) => kept[n]).length;
        if (spec.exclusive ? count === 1 : count > 0) played++;
      }
      const margins = new Float64Array(2 * PAIRS);
      for (let p = 0; p < PAIRS; p++) {
        let margin = 8 * (played / slots) - 4 - gap;
        for (let n = 0; n < nodes; n++) if (kept[n] && !special.has(n)) margin += weights[n * PAIRS + p]!;
        margins[2 * p] = margin;
        margins[2 * p + 1] = margin;
      }
      return { loss: lossOfMargins(margins), margins };
    },
  });
  const ranked = (spread: number): Int32Array => {
    const place = Array.from({ length: nodes }, (_, n) => rng.float() * spread + (special.has(n) ? 0 : 1));
    return Int32Array.from(shuffled).sort((a, b) => place[a]! - place[b]!);
  };
  const cost = Int32Array.from({ length: nodes }, () => rng.int(0, 3));
  return {
    parts,
    target: spec.target,
    search: evaluator(0),
    verify: evaluator(spec.gap),
    orders: [ranked(0.5), ranked(1.5), ranked(4)],
    connected: (kept) => kept.slice(),
    size: (kept) => ({
      nodes: kept.reduce((sum, m) => sum + m, 0),
      edges: kept.reduce((sum, m, n) => sum + m * cost[n]!, 0),
    }),
  };
}

export async function checkAsync<T>(
  arbitrary: fc.Arbitrary<T>,
  numRuns: number,
  law: (value: T) => Promise<void>,
): Promise<void> {
  const seed = Number(process.env.FC_SEED ?? 20251113);
  await fc.assert(fc.asyncProperty(arbitrary, law), { numRuns, seed });
}
