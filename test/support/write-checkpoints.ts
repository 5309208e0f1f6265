/** A process for tests to kill: resumes or creates the run given as argument and writes checkpoints,
 * each with a dot on stdout, until it is ended. */
import { mapReleaseConfig } from "../../src/model/import/release.ts";
import { initParams, paramSpecs } from "../../src/model/names.ts";
import { latestCheckpoint } from "../../src/runs/checkpoints.ts";
import { describeEnv } from "../../src/runs/env.ts";
import { createRun, resumeRun } from "../../src/runs/write.ts";

const dir = process.argv[2]!;
const config = mapReleaseConfig(
  { block_size: 16, vocab_size: 64, n_layer: 2, n_head: 4, d_model: 32, rms_norm: true },
  "test",
);
const params = initParams(config, 1);
const trained = new Map([...params].filter(([name]) => paramSpecs(config).some((s) => s.name === name && s.trained)));

const last = latestCheckpoint(dir);
const writer = last
  ? resumeRun(dir).writer
  : createRun(dir, {
      config: {},
      env: describeEnv(1, { name: "reference", isa: "javascript", threads: 1 }),
      force: true,
    });
for (let step = last?.step ?? 0; ; step++) {
  writer.log({ step, loss: 1 / (1 + step) });
  writer.checkpoint({
    step: step + 1,
    model: { config, params },
    moments: { m: trained, v: trained },
    state: { cursor: step + 1 },
  });
  process.stdout.write(".");
}
