/**
 * Where things are in a run directory, and nothing else:
 *
 *   runs/<name>/config.json     resolved configuration      metrics.jsonl         one line a record, append-only
 *               env.json        versions, platform, seed    events.out.tfevents*  the same for TensorBoard
 *               tokenizer.json  report.json                 checkpoints/step-000500/
 *               task/<file>     the user's own task     circuits/<task>/...
 *               corpus.json     sources of a real corpus
 *               probes/<task>/  curves                  plots/                figures of training
 *               DONE            written last
 */
import * as path from "node:path";
import { inputError } from "../util/errors.ts";
import type { Format } from "../util/json.ts";

export const RUN_FORMAT: Format = { format: "sparse-circuits/run", version: 1 };
export const ENV_FORMAT: Format = { format: "sparse-circuits/env", version: 1 };
export const REPORT_FORMAT: Format = { format: "sparse-circuits/report", version: 1 };
export const PROBE_FORMAT: Format = { format: "sparse-circuits/probe", version: 1 };
export const CURVES_FORMAT: Format = { format: "sparse-circuits/curves", version: 1 };
export const CHECKPOINT_FORMAT: Format = { format: "sparse-circuits/checkpoint", version: 1 };

export interface RunPaths {
  readonly config: string;
  readonly env: string;
  readonly metrics: string;
  readonly checkpoints: string;
  /** Folder of the file that the task was read from, when it is the user's own. */
  readonly task: string;
  readonly tokenizer: string;
  readonly corpus: string;
  readonly report: string;
  readonly circuits: string;
  readonly probes: string;
  readonly plots: string;
  readonly done: string;
}

export function runPaths(dir: string): RunPaths {
  return {
    config: path.join(dir, "config.json"),
    env: path.join(dir, "env.json"),
    metrics: path.join(dir, "metrics.jsonl"),
    checkpoints: path.join(dir, "checkpoints"),
    task: path.join(dir, "task"),
    tokenizer: path.join(dir, "tokenizer.json"),
    corpus: path.join(dir, "corpus.json"),
    report: path.join(dir, "report.json"),
    circuits: path.join(dir, "circuits"),
    probes: path.join(dir, "probes"),
    plots: path.join(dir, "plots"),
    done: path.join(dir, "DONE"),
  };
}

/** `step-000500`; sorts by step up to a million, and is parsed as a number beyond. */
export function stepName(step: number): string {
  return `step-${String(step).padStart(6, "0")}`;
}

/** The inverse of `stepName`; undefined for any other name. */
export function parseStepName(name: string): number | undefined {
  const match = /^step-(\d{6,15})$/.exec(name);
  return match ? Number(match[1]) : undefined;
}

const SAFE_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]*$/;

/** `circuits/<task>/<parts...>` of a run; refuses names that would leave the folder. */
export function circuitPath(dir: string, task: string, ...parts: string[]): string {
  for (const name of [task, ...parts]) {
    if (!SAFE_NAME.test(name)) {
      throw inputError(
        "circuit-name",
        `"${name}" is not a file name`,
        "Use letters, digits, dots, dashes and underscores.",
      );
    }
  }
  return path.join(runPaths(dir).circuits, task, ...parts);
}

/** Where the run that a forced one replaces is kept until the new one is finished. */
export function replacedPath(dir: string): string {
  return path.join(path.dirname(dir), `.${path.basename(dir)}.replaced`);
}
