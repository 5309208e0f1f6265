/**
 * Training checkpoints `checkpoints/step-000500/`: the model (a model folder of its own), optimizer moments and the
 * state that training continues from. A checkpoint appears whole or not at all, and is found by name.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { loadModelFolder, writeModelFiles } from "../model/checkpoint.ts";
import { paramSpecs } from "../model/names.ts";
import type { Params, StoredModel } from "../model/params.ts";
import { type NamedTensor, readSafetensors, writeSafetensors } from "../model/safetensors.ts";
import { assert, inputError } from "../util/errors.ts";
import { onFile, pathExists, writeDirAtomic } from "../util/files.ts";
import { type JsonObject, readVersioned, writeVersioned } from "../util/json.ts";
import { CHECKPOINT_FORMAT, parseStepName, runPaths, stepName } from "./layout.ts";

const STATE = "state.json";
const OPTIMIZER = "optimizer.safetensors";

/** Adam's moments by parameter name. A parameter that is not trained has none. */
interface Moments {
  readonly m: Params;
  readonly v: Params;
}

export interface Checkpoint {
  /** How many steps are done. */
  readonly step: number;
  readonly model: StoredModel;
  readonly moments: Moments;
  /** What else training continues from: random state, data cursor, schedule. */
  readonly state: JsonObject;
}

export interface CheckpointRef {
  readonly step: number;
  readonly dir: string;
}

/** Finished checkpoints of a run, oldest first. Unfinished and incomplete ones are passed over. */
export function listCheckpoints(run: string): CheckpointRef[] {
  const { checkpoints } = runPaths(run);
  if (!pathExists(checkpoints)) return [];
  const names = onFile(checkpoints, "read", () => fs.readdirSync(checkpoints));
  const found: CheckpointRef[] = [];
  for (const name of names) {
    const step = parseStepName(name);
    const dir = path.join(checkpoints, name);
    if (step !== undefined && pathExists(path.join(dir, STATE))) found.push({ step, dir });
  }
  return found.sort((a, b) => a.step - b.step);
}

export function latestCheckpoint(run: string): CheckpointRef | undefined {
  return listCheckpoints(run).at(-1);
}

/** Writes a checkpoint of a run; one of the same step is replaced. `metricsBytes` is the length of metrics.jsonl. */
export function writeCheckpoint(run: string, checkpoint: Checkpoint, metricsBytes: number): CheckpointRef {
  const { step, model, moments, state } = checkpoint;
  const dir = path.join(runPaths(run).checkpoints, stepName(step));
  const tensors = new Map<string, NamedTensor>();
  for (const { name, shape } of paramSpecs(model.config)) {
    const m = moments.m.get(name);
    const v = moments.v.get(name);
    assert((m === undefined) === (v === undefined), `parameter ${name} has one moment`);
    if (m === undefined || v === undefined) continue;
    tensors.set(`m.${name}`, { shape, values: m }).set(`v.${name}`, { shape, values: v });
  }
  writeDirAtomic(
    dir,
    (temp) => {
      writeModelFiles(temp, model);
      writeSafetensors(path.join(temp, OPTIMIZER), tensors);
      writeVersioned(path.join(temp, STATE), CHECKPOINT_FORMAT, { step, metricsBytes, state });
    },
    "replace",
  );
  return { step, dir };
}

/** Reads a checkpoint, and how long metrics.jsonl was when it was written. */
export function readCheckpoint(dir: string): Checkpoint & { readonly metricsBytes: number } {
  const stateFile = path.join(dir, STATE);
  const { step, metricsBytes, state } = readVersioned(stateFile, CHECKPOINT_FORMAT);
  if (!isCount(step) || !isCount(metricsBytes) || typeof state !== "object" || state === null || Array.isArray(state)) {
    throw inputError(
      "bad-checkpoint",
      `${stateFile}: step, metricsBytes or state is malformed`,
      "Use an earlier checkpoint.",
    );
  }
  const model = loadModelFolder(dir);
  return { step, metricsBytes, state: state as JsonObject, model, moments: readMoments(dir, model) };
}

/** What the newest checkpoint of a run remembers beside the model; empty without one. */
export function latestState(run: string): JsonObject {
  const newest = latestCheckpoint(run);
  if (newest === undefined) return {};
  const { state } = readVersioned(path.join(newest.dir, STATE), CHECKPOINT_FORMAT);
  return typeof state === "object" && state !== null && !Array.isArray(state) ? (state as JsonObject) : {};
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function readMoments(dir: string, model: StoredModel): Moments {
  const file = path.join(dir, OPTIMIZER);
  const moments: Moments = { m: new Map(), v: new Map() };
  for (const [name, { values }] of readSafetensors(file).tensors) {
    const param = name.slice(2);
    const which = name.startsWith("m.") ? moments.m : name.startsWith("v.") ? moments.v : undefined;
    if (which === undefined || model.params.get(param)?.length !== values.length) {
      throw inputError(
        "bad-checkpoint",
        `${file}: ${name} does not belong to this model`,
        "Use an earlier checkpoint.",
      );
    }
    which.set(param, values);
  }
  return moments;
}
