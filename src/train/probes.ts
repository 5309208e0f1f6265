/**
 * Probes: a family of drafts swept over x, and what the model says at each. Where a model decides by a mechanism that can
 * be misled, the curve shows how (Gao et al. 2025, Figures 5 and 8).
 */
import type { PairSource } from "../data/pairs.ts";
import type { Split } from "../data/task.ts";
import type { Model } from "../model/model.ts";
import { SparseError } from "../util/errors.ts";
import { type Answer, pairAnswers } from "./evaluate.ts";

/** The prompts of one side of the pairs. */
export interface ProbeSide {
  /** Probability of the first side's completion among the two candidates, mean over prompts; 1 is right on that side. */
  readonly first: number;
  /** Its standard error over prompts. */
  readonly error: number;
  /** Fraction of prompts whose right completion beats the wrong one. */
  readonly accuracy: number;
}

export interface ProbePoint {
  readonly x: number;
  readonly pos: ProbeSide;
  readonly neg: ProbeSide;
  readonly pairAccuracy: number;
}

export interface ProbeCurve {
  readonly task: string;
  readonly probe: string;
  /** What x is. */
  readonly doc: string;
  readonly split: Split;
  /** At each x. */
  readonly pairs: number;
  /** The completions of both sides, where all pairs have the same. */
  readonly completions: readonly [first: string, second: string] | null;
  readonly points: readonly ProbePoint[];
  /** Values of x whose prompts are longer than the model's context. */
  readonly tooLong: readonly number[];
}

/** Sweeps a probe of a task over its values; `breathe` is waited for between them. */
export async function probeCurve(
  model: Model,
  source: PairSource,
  name: string,
  { split, pairs: most }: { readonly split: Split; readonly pairs: number },
  breathe: () => Promise<void>,
): Promise<ProbeCurve> {
  const { spec, tokenizer } = source;
  const { doc, values } = spec.probes![name]!;
  const pairs = Math.min(most, source.size(split));
  const targets = new Set<string>();
  const points: ProbePoint[] = [];
  const tooLong: number[] = [];
  for (const x of values) {
    await breathe();
    try {
      const encoded = Array.from({ length: pairs }, (_, i) => {
        const pair = source.pair(split, i, `${name}@${x}`);
        targets.add(JSON.stringify([pair.pos.target, pair.neg.target]));
        return source.encode(pair);
      });
      const answers = pairAnswers(model, encoded, tokenizer);
      const right = answers.filter(({ pos, neg }) => pos.margin > 0 && neg.margin > 0).length;
      points.push({
        x,
        pos: sideOf(
          answers.map((a) => a.pos),
          1,
        ),
        neg: sideOf(
          answers.map((a) => a.neg),
          -1,
        ),
        pairAccuracy: right / pairs,
      });
    } catch (error) {
      if (!(error instanceof SparseError && error.code === "prompt-length")) throw error;
      tooLong.push(x);
    }
  }
  const completions = targets.size === 1 ? (JSON.parse([...targets][0]!) as [string, string]) : null;
  return { task: spec.name, probe: name, doc, split, pairs, completions, points, tooLong };
}

/** `sign`: 1 where the first side's completion is right, -1 where it is wrong. */
function sideOf(answers: readonly Answer[], sign: 1 | -1): ProbeSide {
  const n = answers.length;
  const first = answers.map(({ margin }) => 1 / (1 + Math.exp(-sign * margin)));
  const mean = first.reduce((sum, p) => sum + p, 0) / n;
  const squares = first.reduce((sum, p) => sum + (p - mean) ** 2, 0);
  return {
    first: mean,
    error: n > 1 ? Math.sqrt(squares / (n - 1) / n) : 0,
    accuracy: answers.filter(({ margin }) => margin > 0).length / n,
  };
}
