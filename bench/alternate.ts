/** Times contenders on the same batches, their samples alternating, so that what else the machine does meets all alike. */
import { type Batch, batchOf, type Case } from "./cases.ts";

export interface StepAnswer {
  readonly ms: number;
  /** Processor time of all threads: other jobs of the machine disturb it less than `ms`. */
  readonly cpuMs: number;
  readonly loss: number;
}

/** Anything that does a step of the case on a batch. */
export interface Contender {
  step(batch: Batch): Promise<StepAnswer>;
  /** Steps after which what it does repeats; a sample is the mean of so many. */
  readonly cycle: number;
}

export interface Sample {
  readonly ms: number;
  readonly cpuMs: number;
}

export interface Run {
  /** Steps before, rounded up to whole cycles. */
  readonly warmup: number;
  /** Samples to take. */
  readonly steps: number;
}

/** The samples of each contender. Throws when a loss is not a number. */
export async function alternate(c: Case, contenders: readonly Contender[], run: Run): Promise<Sample[][]> {
  const next = contenders.map(() => 0);
  const cycleOfSteps = async (which: number): Promise<Sample> => {
    const { cycle } = contenders[which]!;
    const sum = { ms: 0, cpuMs: 0 };
    for (let s = 0; s < cycle; s++) {
      const i = next[which]!++;
      const { ms, cpuMs, loss } = await contenders[which]!.step(batchOf(c, i));
      if (!Number.isFinite(loss)) throw new Error(`case ${c.name}: the loss of step ${i} is ${loss}`);
      sum.ms += ms;
      sum.cpuMs += cpuMs;
    }
    return { ms: sum.ms / cycle, cpuMs: sum.cpuMs / cycle };
  };
  for (const [which, { cycle }] of contenders.entries()) {
    for (let w = 0; w < run.warmup; w += cycle) await cycleOfSteps(which);
  }
  const samples: Sample[][] = contenders.map(() => []);
  for (let s = 0; s < run.steps; s++) {
    for (const which of contenders.keys()) samples[which]!.push(await cycleOfSteps(which));
  }
  return samples;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** What is reported of samples. */
export interface Timing {
  /** Medians. */
  readonly ms: number;
  /** Processor time of all threads. */
  readonly cpuMs: number;
  /** The fastest sample: what other jobs of the machine disturbed least. */
  readonly minMs: number;
}

export function timingOf(samples: readonly Sample[]): Timing {
  return {
    ms: round(median(samples.map((s) => s.ms)), 3),
    cpuMs: round(median(samples.map((s) => s.cpuMs)), 3),
    minMs: round(Math.min(...samples.map((s) => s.ms)), 3),
  };
}

export function round(x: number, digits: number): number {
  return Number(x.toFixed(digits));
}
