/** A small model and what a run of it writes, for tests of run directories. */
import { mapReleaseConfig } from "../../src/model/import/release.ts";
import { initParams } from "../../src/model/names.ts";
import type { Checkpoint } from "../../src/runs/checkpoints.ts";
import { describeEnv } from "../../src/runs/env.ts";
import { createRun, type RunWriter } from "../../src/runs/write.ts";

export const WTE_NAME = "transformer.wte.weight";
export const config = mapReleaseConfig(
  { block_size: 8, vocab_size: 10, n_layer: 1, n_head: 2, d_model: 8, d_pos_emb: 3 },
  "test",
);
export const params = initParams(config, 1);
export const env = describeEnv(11, { name: "reference", isa: "javascript", threads: 1 });

export function checkpoint(step: number): Checkpoint {
  const scaled = (by: number) => new Map([[WTE_NAME, params.get(WTE_NAME)!.map((v) => v * by)]]);
  return {
    step,
    model: { config, params },
    moments: { m: scaled(step), v: scaled(-step) },
    state: { cursor: step, rng: [1, 2, 3, 4] },
  };
}

/** Starts a run whose config has the given name. */
export function startRun(dir: string, name: string, force = false): RunWriter {
  return createRun(dir, { config: { lr: 0.5, name }, env, force });
}

/** A finished run with one checkpoint. */
export function finishedRun(dir: string, name: string): void {
  const run = startRun(dir, name);
  run.checkpoint(checkpoint(1));
  run.finish();
}
