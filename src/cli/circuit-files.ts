/** Where circuits are, in a run or in a folder of their own, and opening them. */
import * as fs from "node:fs";
import * as path from "node:path";
import { findTasks } from "../../tasks/index.ts";
import { readCircuit } from "../circuits/file.ts";
import type { Circuit } from "../circuits/schema.ts";
import { circuitPath, runPaths } from "../runs/layout.ts";
import { occupant, openRun, type Run } from "../runs/open.ts";
import { inputError } from "../util/errors.ts";
import { onFile, pathExists } from "../util/files.ts";
import { nearest } from "../util/nearest.ts";

/** Name of the file in the folder of a circuit. */
export const CIRCUIT = "circuit.json";

export interface StoredCircuit {
  readonly task: string;
  /** The folder that holds circuit.json. */
  readonly dir: string;
  readonly circuit: Circuit;
}

/** Names of the folders with a circuit in a folder of circuits, sorted: those of the tasks. */
export function extractedTasks(circuits: string): string[] {
  if (!pathExists(circuits)) return [];
  return onFile(circuits, "read", () => fs.readdirSync(circuits))
    .filter((task) => pathExists(path.join(circuits, task, CIRCUIT)))
    .sort();
}

/** A circuit outside of a run: a circuit.json, or the folder of one. */
function looseCircuit(place: string): StoredCircuit | undefined {
  const file = path.basename(place) === CIRCUIT ? place : path.join(place, CIRCUIT);
  if (!pathExists(file)) return undefined;
  const circuit = readCircuit(file);
  return { task: circuit.task.name, dir: path.dirname(file), circuit };
}

function namesOf(typed: string): string[] {
  return findTasks(typed).map((task) => task.name);
}

/** The circuits of one model. */
export interface CircuitCollection {
  /** As it was typed. */
  readonly place: string;
  /** Undefined of circuits outside of a run. */
  readonly run: Run | undefined;
  /** By task; none in a run that has no circuit yet. */
  readonly circuits: ReadonlyMap<string, Circuit>;
}

/** Opens a run, a folder of circuits as `circuit extract --out` makes it, or a single circuit. */
export function openCollection(place: string): CircuitCollection {
  const loose = looseCircuit(place);
  const names = loose ? [] : extractedTasks(place);
  const run = loose || names.length > 0 ? undefined : openAnyRun(place);
  const folder = run?.paths.circuits ?? place;
  const found = loose ? [loose.circuit] : (run ? extractedTasks(folder) : names).map((name) => read(folder, name));
  const other = found.find(({ model }) => model.weightsHash !== found[0]!.model.weightsHash);
  const circuits = new Map(found.map((circuit) => [circuit.task.name, circuit]));
  if (other === undefined && circuits.size === found.length) return { place, run, circuits };
  throw inputError(
    "circuit-models",
    other === undefined
      ? `${place} has several circuits of one task`
      : `${place} has circuits of different models: ${found[0]!.task.name} and ${other.task.name}`,
    "Give a folder that holds the circuits of one model, as `circuit extract --out` writes them.",
  );
}

function read(folder: string, task: string): Circuit {
  return readCircuit(path.join(folder, task, CIRCUIT));
}

function openAnyRun(place: string): Run {
  if (occupant(place) !== "other") return openRun(place);
  throw inputError(
    "circuit-missing",
    `${place} is neither a run nor a folder of circuits`,
    "Give a folder that `sparse train` has made, or one that `circuit extract --out` has written.",
  );
}

/** The run's circuits: those of a task or group, or all of them. Throws an input error when one is not there. */
export function openCircuits(run: string, typed: string | undefined): StoredCircuit[] {
  const loose = looseCircuit(run);
  if (loose) return [loose];
  openRun(run);
  const there = extractedTasks(runPaths(run).circuits);
  if (there.length === 0) {
    throw inputError("circuit-missing", `${run} has no circuit yet`, `Find it with \`circuit extract ${run}\`.`);
  }
  // By its own name first: a task of the user's own is in no registry.
  const wanted = typed === undefined ? there : there.includes(typed) ? [typed] : namesOf(typed);
  const missing = wanted.find((task) => !there.includes(task));
  if (missing !== undefined) {
    throw inputError(
      "circuit-missing",
      `${run} has no circuit of task ${missing}`,
      `It has ${there.join(", ")} (nearest: ${nearest(missing, there)}). Find it with \`circuit extract ${run} --task ${missing}\`.`,
    );
  }
  return wanted.map((task) => {
    return { task, dir: circuitPath(run, task), circuit: read(runPaths(run).circuits, task) };
  });
}
