/** Where circuits are, in a run or in a folder of their own, and opening them. */
import * as fs from "node:fs";
import * as path from "node:path";
import { findTasks } from "../../tasks/index.ts";
import { readCircuit } from "../circuits/file.ts";
import type { Circuit } from "../circuits/schema.ts";
import { circuitPath, runPaths } from "../runs/layout.ts";
import { openRun } from "../runs/open.ts";
import { inputError } from "../util/errors.ts";
import { onFile, pathExists } from "../util/files.ts";
import { nearest } from "../util/nearest.ts";

const CIRCUIT = "circuit.json";

export interface StoredCircuit {
  readonly task: string;
  /** The folder that holds circuit.json. */
  readonly dir: string;
  readonly circuit: Circuit;
}

/** Names of the tasks of which the run has a circuit, sorted. */
function extractedTasks(run: string): string[] {
  const { circuits } = runPaths(run);
  if (!pathExists(circuits)) return [];
  return onFile(circuits, "read", () => fs.readdirSync(circuits))
    .filter((task) => pathExists(circuitPath(run, task, CIRCUIT)))
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

/** The run's circuits: those of a task or group, or all of them. Throws an input error when one is not there. */
export function openCircuits(run: string, typed: string | undefined): StoredCircuit[] {
  const loose = looseCircuit(run);
  if (loose) return [loose];
  openRun(run);
  const there = extractedTasks(run);
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
    const file = circuitPath(run, task, CIRCUIT);
    return { task, dir: circuitPath(run, task), circuit: readCircuit(file) };
  });
}
