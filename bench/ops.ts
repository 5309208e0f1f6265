/** Where our step spends its time. */
import type { Engine } from "../src/engine/engine.ts";
import { type Lap, LapSum, type ProfileReport, Profiler } from "../src/engine/profile.ts";
import { Model } from "../src/model/model.ts";
import { initParams } from "../src/model/names.ts";
import { Stepper } from "../src/train/step.ts";
import { batchOf, type Case, stepConfig } from "./cases.ts";
import { cycleOf, type Mode } from "./mode.ts";

/** Means over the faster half of the cycles, so that parts add up and other jobs of the machine disturb little. */
export interface OpsResult extends ProfileReport {
  readonly case: string;
  readonly density: number;
  readonly mode: Mode;
  readonly isa: string;
  readonly threads: number;
}

export function profile(
  real: Engine,
  c: Case,
  density: number,
  mode: Mode,
  run: { readonly warmup: number; readonly steps: number },
): OpsResult {
  const profiler = new Profiler(real);
  const model = new Model(profiler.engine, { config: c.model, params: initParams(c.model, 0) });
  const stepper = new Stepper(model, stepConfig(c, density, { mode }));
  const cycle = cycleOf(mode);
  const samples: { readonly ms: number; readonly laps: readonly Lap[] }[] = [];
  let i = 0;
  const step = (): Lap => {
    const { ids, targets } = batchOf(c, i);
    profiler.lap();
    stepper.step(i++, ids, targets, c.tokens);
    return profiler.lap();
  };
  const warmup = Math.ceil(run.warmup / cycle) * cycle;
  for (let w = 0; w < warmup; w++) step();
  for (let s = 0; s < run.steps; s++) {
    const laps = Array.from({ length: cycle }, step);
    samples.push({ ms: laps.reduce((sum, lap) => sum + lap.ms, 0), laps });
  }
  samples.sort((a, b) => a.ms - b.ms);
  const sum = new LapSum();
  for (const { laps } of samples.slice(0, Math.ceil(samples.length / 2))) laps.forEach(sum.add, sum);
  const { isa, threads } = real.info;
  return { case: c.name, density, mode, isa, threads, ...sum.report() };
}
