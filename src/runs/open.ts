/** Reading run directories: what is there, whether it is finished, and what to do if it is not what was expected. */
import * as fs from "node:fs";
import * as path from "node:path";
import { isModelFolder, loadModelFolder } from "../model/checkpoint.ts";
import type { StoredModel } from "../model/params.ts";
import { inputError } from "../util/errors.ts";
import { onFile, pathExists } from "../util/files.ts";
import { type JsonObject, readJsonObject, readVersioned } from "../util/json.ts";
import { type CheckpointRef, latestCheckpoint } from "./checkpoints.ts";
import { ENV_FORMAT, REPORT_FORMAT, RUN_FORMAT, type RunPaths, replacedPath, runPaths } from "./layout.ts";
import { type MetricsRow, readMetricsFile } from "./metrics.ts";

export interface Run {
  readonly dir: string;
  readonly paths: RunPaths;
  /** The resolved configuration, as it was given to `createRun`. */
  readonly config: JsonObject;
  readonly finished: boolean;
  /** The newest finished checkpoint. */
  readonly checkpoint: CheckpointRef | undefined;
}

export type Occupant = "nothing" | "run" | "other";

/** What is at a path: nothing (or an empty folder), a run, or something else. */
export function occupant(dir: string): Occupant {
  if (!pathExists(dir)) return "nothing";
  return onFile(dir, "read", () => {
    if (!fs.statSync(dir).isDirectory()) return "other";
    if (fs.readdirSync(dir).length === 0) return "nothing";
    const { config } = runPaths(dir);
    if (!fs.existsSync(config)) return "other";
    return readJsonObject(config).format === RUN_FORMAT.format ? "run" : "other";
  });
}

/** Puts a run back that was set aside when a forced one was killed before it took the place. */
export function restoreReplaced(dir: string): void {
  const kept = replacedPath(dir);
  if (!pathExists(dir) && pathExists(kept)) onFile(dir, "write", () => fs.renameSync(kept, dir));
}

/** Opens a run. Unfinished ones are refused unless allowed. */
export function openRun(dir: string, options: { readonly allowUnfinished?: boolean } = {}): Run {
  restoreReplaced(dir);
  switch (occupant(dir)) {
    case "nothing":
      throw inputError(
        "run-missing",
        `there is no run at ${dir}`,
        `Make it with \`sparse train --out ${dir}\`, or check the path.`,
      );
    case "other":
      throw inputError(
        "not-a-run",
        `${dir} is not a run directory: its config.json is missing or of another kind`,
        isModelFolder(dir)
          ? "This is a model folder; a run is expected here."
          : "Give a folder that `sparse train` has made.",
      );
    case "run":
  }
  const paths = runPaths(dir);
  const { config } = readVersioned(paths.config, RUN_FORMAT);
  if (typeof config !== "object" || config === null || Array.isArray(config)) {
    throw inputError("bad-run", `${paths.config}: "config" is not an object`, "Restore the file, or train again.");
  }
  const run: Run = {
    dir,
    paths,
    config: config as JsonObject,
    finished: pathExists(paths.done),
    checkpoint: latestCheckpoint(dir),
  };
  if (!run.finished && !options.allowUnfinished) throw unfinished(run);
  return run;
}

function unfinished(run: Run): Error {
  const { dir, checkpoint } = run;
  const kept = replacedPath(dir);
  const last = checkpoint === undefined ? "it has no checkpoint" : `its last checkpoint is step ${checkpoint.step}`;
  const next =
    checkpoint === undefined
      ? `Start it again with \`sparse train --out ${dir} --force\`.`
      : `Continue it with \`sparse train --resume ${dir}\`.`;
  const old = pathExists(kept) ? ` The run that it was to replace is kept in ${kept}.` : "";
  return inputError("run-unfinished", `the run ${dir} is not finished: ${last}`, next + old);
}

/** Versions, platform, engine and seed of a run; see `RunEnv`. */
export function readEnv(run: Run): JsonObject {
  return readVersioned(run.paths.env, ENV_FORMAT);
}

export function readReport(run: Run): JsonObject {
  return readVersioned(run.paths.report, REPORT_FORMAT);
}

export function readTokenizer(run: Run): JsonObject {
  return readJsonObject(run.paths.tokenizer);
}

export function readMetrics(run: Run): MetricsRow[] {
  return pathExists(run.paths.metrics) ? readMetricsFile(run.paths.metrics) : [];
}

/** A model from any folder that holds one: a run (its newest checkpoint), a checkpoint, a model folder, a release. */
export function loadModel(dir: string): StoredModel {
  restoreReplaced(dir);
  if (occupant(dir) !== "run") return loadModelFolder(dir);
  const { checkpoint } = openRun(dir, { allowUnfinished: true });
  if (checkpoint === undefined) {
    throw inputError(
      "no-checkpoint",
      `the run ${dir} has no checkpoint`,
      `Start it again with \`sparse train --out ${dir} --force\`.`,
    );
  }
  return loadModelFolder(path.join(checkpoint.dir));
}
