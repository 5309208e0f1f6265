/** The model and the pairs of a stored circuit: what it takes to score it again as it was when it was extracted. */
import * as path from "node:path";
import type { Circuit } from "../circuits/schema.ts";
import { weightsHash } from "../model/params.ts";
import { inputError, SparseError } from "../util/errors.ts";
import type { StoredCircuit } from "./circuit-files.ts";
import { type ExtractableTask, type ExtractSource, pairsSource, runSource } from "./extract-source.ts";

export interface CircuitSource {
  readonly source: ExtractSource;
  readonly task: ExtractableTask;
}

export interface SourceFlags {
  /** Run or model folder of a circuit that does not lie in its own. */
  readonly model?: string;
  /** The file that it was extracted with, if it was. */
  readonly pairs?: string;
}

/**
 * Opens what a circuit was extracted from.
 * @throws input error `circuit-model` when that is not known or has other weights, `circuit-pairs` when it needs a file of
 *   pairs, and whatever opening a run or a file of pairs throws
 */
export async function openSource({ dir, circuit }: StoredCircuit, flags: SourceFlags): Promise<CircuitSource> {
  const model = flags.model ?? ownerOf(dir);
  if (model === undefined) {
    throw inputError(
      "circuit-model",
      `${dir} is not in the folder of a run or model`,
      `Say with --model which one the circuit is of; it was named ${circuit.model.run}.`,
    );
  }
  const { name } = circuit.task;
  const source = flags.pairs === undefined ? await ofRun(model, circuit) : pairsSource(model, flags.pairs);
  const found = weightsHash(source.stored.params);
  if (found !== circuit.model.weightsHash) {
    throw inputError(
      "circuit-model",
      `the circuit in ${dir} is of other weights than those of ${model}: expected hash ` +
        `${circuit.model.weightsHash.slice(0, 16)}, found ${found.slice(0, 16)}`,
      "Extract it again from this model, or name its own with --model.",
    );
  }
  return { source, task: source.tasks.find((task) => task.name === name) ?? source.tasks[0]! };
}

/** Errors of a model that has not the circuit's task. */
const NO_TASK = ["not-a-run", "unknown-task", "task-of-run"];

async function ofRun(dir: string, { task: { name, variant } }: Circuit): Promise<ExtractSource> {
  try {
    return await runSource(dir, name, variant);
  } catch (error) {
    if (!(error instanceof SparseError && NO_TASK.includes(error.code))) throw error;
    throw inputError(
      "circuit-pairs",
      `the pairs of the circuit's task ${name} are not known: ${error.message}`,
      "Give the file that it was extracted with, --pairs FILE.json, or its own run with --model.",
      error,
    );
  }
}

/** The folder of a circuit's model, where it lies in `<model>/circuits/<task>`. */
function ownerOf(dir: string): string | undefined {
  const circuits = path.dirname(path.resolve(dir));
  return path.basename(circuits) === "circuits" ? path.join(dir, "../..") : undefined;
}
