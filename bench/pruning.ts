/** A pruning step against our own exact training step on as many tokens. */

import type { EngineInfo } from "../src/engine/engine.ts";
import { alternate, round, type Timing, timingOf } from "./alternate.ts";
import type { Case } from "./cases.ts";
import type { Options } from "./options.ts";
import { type Side, startOurs } from "./sides.ts";

export interface PruningResult {
  readonly case: string;
  readonly density: number;
  readonly training: Timing;
  readonly pruning: Timing;
  /** training / pruning */
  readonly ratio: number;
  readonly threads: number;
  readonly isa: string;
  readonly steps: number;
}

export async function comparePruning(c: Case, density: number, options: Options): Promise<PruningResult> {
  const sides: Side<EngineInfo>[] = [];
  try {
    for (const work of ["training", "pruning"] as const) {
      sides.push(await startOurs(c, density, { threads: options.threads, work }));
    }
    const [training, pruning] = (await alternate(c, sides, options)).map(timingOf) as [Timing, Timing];
    const { threads, isa } = sides[0]!.info;
    const ratio = round(training.ms / pruning.ms, 3);
    return { case: c.name, density, training, pruning, ratio, threads, isa, steps: options.steps };
  } finally {
    for (const side of sides) await side.close();
  }
}
