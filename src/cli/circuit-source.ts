/** The stored circuits of what they were extracted from: where they lie, and that they are of this model. */
import * as path from "node:path";
import { type Command, Option } from "commander";
import { readCircuit } from "../circuits/file.ts";
import type { Circuit } from "../circuits/schema.ts";
import { weightsHash } from "../model/params.ts";
import { circuitPath } from "../runs/layout.ts";
import { inputError } from "../util/errors.ts";
import { pathExists } from "../util/files.ts";
import { CIRCUIT } from "./circuit-files.ts";
import type { ExtractableTask, ExtractSource } from "./extract-source.ts";

export interface TaskCircuit {
  readonly task: ExtractableTask;
  /** Folder of circuit.json. */
  readonly folder: string;
  readonly circuit: Circuit;
}

export interface StoredCircuitFlags {
  readonly task?: string;
  readonly variant?: string;
  readonly pairs?: string;
  readonly circuits?: string;
}

/** The argument and options of commands that take up a circuit again with the model that it is of. */
export function storedCircuitOptions(command: Command): void {
  command
    .argument("<run>", "a run with circuits, such as runs/quotes; with --pairs any checkpoint or model folder")
    .option("--variant <name>", "the variant of the prompts that the circuit was extracted for (default: base)")
    .addOption(
      new Option(
        "--pairs <file>",
        "the pairs that the circuit was extracted for, of a model trained elsewhere",
      ).conflicts(["task", "variant"]),
    )
    .option("--circuits <dir>", "folder of the circuits (default: <run>/circuits)");
}

/** The command line of another command on the same circuits. */
export function commandOn(
  command: "extract" | "verify",
  dir: string,
  { task, variant, pairs, circuits }: StoredCircuitFlags,
): string {
  const given = { task, variant, pairs, [command === "extract" ? "out" : "circuits"]: circuits };
  return ["circuit", command, dir, ...Object.entries(given).flatMap(([k, v]) => (v ? [`--${k}`, v] : []))].join(" ");
}

/**
 * The circuits of a source's tasks, of those that have one.
 * @throws input error `circuit-missing` when there is none, `circuit-model` when one is of other weights
 */
export function circuitsOf(dir: string, source: ExtractSource, flags: StoredCircuitFlags): TaskCircuit[] {
  const { circuits } = flags;
  const found = source.tasks.flatMap((task): TaskCircuit[] => {
    const folder = circuits === undefined ? circuitPath(dir, task.folder) : path.join(circuits, task.folder);
    const file = path.join(folder, CIRCUIT);
    return pathExists(file) ? [{ task, folder, circuit: readCircuit(file) }] : [];
  });
  if (found.length === 0) {
    throw inputError(
      "circuit-missing",
      `${circuits ?? dir} has no circuit of ${source.tasks.map(({ folder }) => folder).join(", ")}`,
      `Find it with \`${commandOn("extract", dir, flags)}\`, which also verifies it.`,
    );
  }
  const hash = weightsHash(source.stored.params);
  const other = found.find(({ circuit }) => circuit.model.weightsHash !== hash);
  if (other === undefined) return found;
  throw inputError(
    "circuit-model",
    `the circuit of ${other.task.name} is of another model than ${source.name}: their weights differ`,
    "Extract it again from this model, or give the run that it is of.",
  );
}
