/** A finished run opened for use: its configuration, tokenizer, tasks and data as they were when it was trained. */
import * as path from "node:path";
import { findTasks } from "../../tasks/index.ts";
import type { TaskSpec } from "../data/task.ts";
import { readRecord } from "../data/token-corpus.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import { tokenizerFromJson } from "../data/tokenizer-json.ts";
import type { StoredModel } from "../model/params.ts";
import { latestState } from "../runs/checkpoints.ts";
import { loadModel, openRun, type Run } from "../runs/open.ts";
import { resolveTrainConfig, type TrainConfig, type TrainOverrides } from "../train/config.ts";
import { TrainingData } from "../train/trainer.ts";
import { inputError } from "../util/errors.ts";
import { readText } from "../util/files.ts";
import type { JsonObject } from "../util/json.ts";
import { nearest } from "../util/nearest.ts";
import { readingProgress } from "./corpus-options.ts";
import type { Output } from "./output.ts";
import { tasksOf } from "./task-source.ts";

export interface TrainedRun {
  readonly run: Run;
  /** The folder's name. */
  readonly name: string;
  readonly config: TrainConfig;
  readonly tokenizer: Tokenizer;
  readonly data: TrainingData;
  readonly model: StoredModel;
}

/** Opens a finished run. Throws an input error for one that is missing, unfinished, newer or damaged. */
export async function openTrainedRun(dir: string): Promise<TrainedRun> {
  const run = openRun(dir);
  const config = resolveTrainConfig([run.config as TrainOverrides]);
  const tokenizer = tokenizerFromJson(readText(run.paths.tokenizer), run.paths.tokenizer);
  const data = new TrainingData(config, await tasksOf(run, config.task), tokenizer);
  const model = loadModel(dir);
  if (model.config.vocabSize !== tokenizer.vocabSize) {
    throw inputError(
      "tokenizer-mismatch",
      `${run.paths.tokenizer} has ${tokenizer.vocabSize} tokens but the model has ${model.config.vocabSize}`,
      "The files are of different runs; restore the run's own tokenizer.json, or train again.",
    );
  }
  checkTokenizer(run.paths.tokenizer, tokenizer, latestState(dir));
  return { run, name: path.basename(path.resolve(dir)), config, tokenizer, data, model };
}

/** Checks that a tokenizer is the one that a checkpoint was trained with; old checkpoints do not say. */
export function checkTokenizer(file: string, tokenizer: Tokenizer, state: JsonObject): void {
  const { tokenizer: expected } = state;
  if (expected === undefined || expected === tokenizer.hash) return;
  throw inputError(
    "tokenizer-mismatch",
    `${file} is not the tokenizer that the model was trained with: expected hash ${String(expected).slice(0, 16)}, ` +
      `found ${tokenizer.hash.slice(0, 16)}`,
    "Restore the run's own tokenizer.json, or train again.",
  );
}

/** Opens the real corpus of a run that has one, before its text is asked for; refuses one that has changed. */
export async function prepareText(run: Run, data: TrainingData, out: Output, signal: AbortSignal): Promise<void> {
  if (data.config.data.corpus.length === 0) return;
  const expected = readRecord(run.paths.corpus);
  await data.prepare({ expected, onProgress: readingProgress(out, signal, "reading the corpus") });
}

/** The run's tasks that a name stands for; all of them without one. Refuses tasks that the run was not trained for. */
export function tasksOfRun({ run, data }: TrainedRun, typed: string | undefined): readonly TaskSpec[] {
  if (typed === undefined) return data.tasks;
  const own = data.tasks.filter(({ name, group, aliases }) => [name, group, ...(aliases ?? [])].includes(typed));
  if (own.length > 0) return own;
  const wanted = findTasks(typed);
  const known = new Set(data.tasks.map((task) => task.name));
  const missing = wanted.find((task) => !known.has(task.name));
  if (missing === undefined) return wanted;
  const near = nearest(missing.name, known);
  throw inputError(
    "task-of-run",
    `${run.dir} was not trained for task ${missing.name}`,
    `Its tasks: ${[...known].join(", ")}${known.size > 1 && near !== undefined ? ` (nearest: ${near})` : ""}.`,
  );
}
