/**
 * Writing run directories. One process writes a run; readers may look at any time.
 *
 * Replacing (`force`) loses nothing that is finished: the new run's first files are written beside the old run, then
 * the two change places, and the old run is kept (hidden, see `replacedPath`) until the new one is finished.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { inputError } from "../util/errors.ts";
import { fsErrorCode, onFile, pathExists, removeTemporaries, writeDirAtomic, writeFileAtomic } from "../util/files.ts";
import { formatJson, type JsonObject, writeVersioned } from "../util/json.ts";
import {
  type Checkpoint,
  type CheckpointRef,
  latestCheckpoint,
  readCheckpoint,
  writeCheckpoint,
} from "./checkpoints.ts";
import type { RunEnv } from "./env.ts";
import { ENV_FORMAT, REPORT_FORMAT, RUN_FORMAT, type RunPaths, replacedPath, runPaths } from "./layout.ts";
import { type MetricsRow, MetricsWriter } from "./metrics.ts";
import { occupant, openRun, restoreReplaced } from "./open.ts";
import { EventWriter } from "./tensorboard.ts";

/** Writes everything of one run. Made by `createRun` and `resumeRun`. */
export class RunWriter {
  readonly dir: string;
  readonly paths: RunPaths;
  private readonly metrics: MetricsWriter;
  private readonly events: EventWriter;
  private open = true;

  constructor(dir: string, resumed?: { readonly step: number; readonly metricsBytes: number }) {
    this.dir = dir;
    this.paths = runPaths(dir);
    this.metrics = new MetricsWriter(this.paths.metrics, resumed?.metricsBytes ?? 0);
    this.events = new EventWriter(dir, resumed?.step);
  }

  /** Appends a record to metrics.jsonl and its numbers to the TensorBoard file. */
  log(row: MetricsRow): void {
    this.metrics.append(row);
    const numbers = Object.entries(row).filter(
      (e): e is [string, number] => e[0] !== "step" && typeof e[1] === "number",
    );
    this.events.scalars(row.step, numbers);
  }

  /** Resuming drops records after the newest checkpoint, so log what belongs before it first. */
  checkpoint(checkpoint: Checkpoint): CheckpointRef {
    this.metrics.flush();
    return writeCheckpoint(this.dir, checkpoint, this.metrics.bytes);
  }

  tokenizer(tokenizer: object): void {
    writeFileAtomic(this.paths.tokenizer, formatJson(tokenizer));
  }

  /** What a real corpus was made of, as text. */
  corpus(record: string): void {
    writeFileAtomic(this.paths.corpus, record);
  }

  report(report: object): void {
    writeVersioned(this.paths.report, REPORT_FORMAT, report);
  }

  /** Closes the run and marks it finished; a run that it replaced is deleted only now. */
  finish(): void {
    this.closeFiles();
    writeFileAtomic(this.paths.done, "finished\n");
    onFile(replacedPath(this.dir), "write", () => fs.rmSync(replacedPath(this.dir), { recursive: true, force: true }));
  }

  /**
   * Closes the run without marking it finished: it can be resumed. One that got to no checkpoint gives its place back to
   * the run that it was to replace. Closing twice does nothing.
   */
  close(): void {
    if (!this.open) return;
    this.closeFiles();
    const kept = replacedPath(this.dir);
    if (latestCheckpoint(this.dir) !== undefined || !pathExists(kept)) return;
    onFile(this.dir, "write", () => {
      fs.rmSync(this.dir, { recursive: true, force: true });
      fs.renameSync(kept, this.dir);
    });
  }

  private closeFiles(): void {
    if (!this.open) return;
    this.open = false;
    this.metrics.flush();
    this.metrics.close();
    this.events.close();
  }
}

export interface NewRun {
  /** The resolved configuration. */
  readonly config: object;
  readonly env: RunEnv;
  /** The file of the user's own task. */
  readonly task?: { readonly name: string; readonly text: string };
  /** Replace a run that is there. Anything else that is there is refused all the same. */
  readonly force?: boolean;
}

/** What is at the place of a new run; throws an input error if that must stay. */
export function checkPlace(dir: string, force: boolean): "nothing" | "run" {
  const place = path.resolve(dir);
  restoreReplaced(place);
  const there = occupant(place);
  if (there === "other") {
    throw inputError("not-a-run", `${dir} exists and is not a run directory`, "Choose another name.");
  }
  if (there === "run" && !force) throw taken(dir);
  return there;
}

/** Starts a run in a new directory. Throws an input error before anything is written if the place is taken. */
export function createRun(dir: string, { config, env, task, force = false }: NewRun): RunWriter {
  const place = path.resolve(dir);
  const there = checkPlace(dir, force);
  const fill = (temp: string): void => {
    const paths = runPaths(temp);
    writeVersioned(paths.config, RUN_FORMAT, { config });
    writeVersioned(paths.env, ENV_FORMAT, env);
    fs.mkdirSync(paths.checkpoints);
    if (task !== undefined) {
      fs.mkdirSync(paths.task);
      fs.writeFileSync(path.join(paths.task, task.name), task.text);
    }
  };
  try {
    writeDirAtomic(place, fill, there === "run" ? keepOrReplace(place) : "refuse");
  } catch (error) {
    // Another process was first.
    const code = fsErrorCode((error as Error).cause);
    if ((code === "ENOTEMPTY" || code === "EEXIST") && occupant(place) !== "nothing") throw taken(dir);
    throw error;
  }
  return new RunWriter(dir);
}

function taken(dir: string): Error {
  const { finished } = openRun(dir, { allowUnfinished: true });
  const resume = finished ? "" : `, continue it with \`--resume ${dir}\``;
  return inputError(
    "run-exists",
    `${dir} exists already${finished ? "" : " and is not finished"}`,
    `Choose another name${resume}, or replace it with --force.`,
  );
}

/** What becomes of the run that a forced one replaces. */
function keepOrReplace(dir: string): "replace" | { readonly keepOldAs: string } {
  const kept = replacedPath(dir);
  if (pathExists(kept)) {
    // Of a kept run and an unfinished one that was to replace it, the kept one stays.
    if (!pathExists(runPaths(dir).done)) return "replace";
    // The one here was finished but could not clean up.
    onFile(kept, "write", () => fs.rmSync(kept, { recursive: true }));
  }
  return { keepOldAs: kept };
}

/** Continues an unfinished run from its newest checkpoint; what was logged after it is dropped. */
export function resumeRun(dir: string): {
  readonly writer: RunWriter;
  readonly checkpoint: Checkpoint;
  readonly config: JsonObject;
} {
  const run = openRun(dir, { allowUnfinished: true });
  if (run.finished)
    throw inputError("run-finished", `the run ${dir} is finished already`, "There is nothing to resume.");
  if (run.checkpoint === undefined) {
    throw inputError(
      "no-checkpoint",
      `the run ${dir} has no checkpoint to resume from`,
      `Start it again with --force.`,
    );
  }
  const checkpoint = readCheckpoint(run.checkpoint.dir);
  removeTemporaries(run.dir);
  removeTemporaries(run.paths.checkpoints);
  return { writer: new RunWriter(dir, checkpoint), checkpoint, config: run.config };
}
