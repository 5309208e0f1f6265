/**
 * Model folders: the tool's own (`model.safetensors` and `config.json`) and released ones. A folder written here
 * appears whole or not at all. Run directories are the business of src/runs.
 */
import * as path from "node:path";
import { inputError } from "../util/errors.ts";
import { pathExists, writeDirAtomic } from "../util/files.ts";
import { type Format, parseSchema, readVersioned, writeVersioned } from "../util/json.ts";
import { checkModelConfig, type ModelConfig, modelConfigSchema } from "./config.ts";
import { importRelease, RELEASE_CONFIG, RELEASE_WEIGHTS } from "./import/release.ts";
import { paramSpecs } from "./names.ts";
import { matchParams, type Params, type StoredModel } from "./params.ts";
import { type NamedTensor, readSafetensors, writeSafetensors } from "./safetensors.ts";

const MODEL_FORMAT: Format = { format: "sparse-circuits/model", version: 1 };

const CONFIG = "config.json";
const WEIGHTS = "model.safetensors";

/** Values with the shapes that the config gives them; `params` must have all of them. */
function shaped(model: StoredModel): Map<string, NamedTensor> {
  const tensors = new Map<string, NamedTensor>();
  for (const { name, shape } of paramSpecs(model.config)) {
    const values = model.params.get(name);
    if (values === undefined) throw new Error(`internal error: parameter ${name} is missing`);
    tensors.set(name, { shape, values });
  }
  return tensors;
}

/** Writes the two files of a model into an existing folder. */
export function writeModelFiles(dir: string, model: StoredModel): void {
  writeSafetensors(path.join(dir, WEIGHTS), shaped(model), MODEL_METADATA);
  writeVersioned(path.join(dir, CONFIG), MODEL_FORMAT, { config: inOrder(model.config) });
}

/** In the order of the schema, so that the bytes do not depend on where a config came from. */
function inOrder(config: ModelConfig): object {
  return Object.fromEntries(Object.keys(modelConfigSchema.shape).map((key) => [key, config[key as keyof ModelConfig]]));
}

/** Tells other programs what the weights are. */
const MODEL_METADATA = { format: MODEL_FORMAT.format, version: String(MODEL_FORMAT.version) };

function readModelFiles(dir: string): StoredModel {
  const configFile = path.join(dir, CONFIG);
  const weightsFile = path.join(dir, WEIGHTS);
  const raw = readVersioned(configFile, MODEL_FORMAT).config;
  const config = checkModelConfig(
    parseSchema(modelConfigSchema, raw, configFile, Object.keys(modelConfigSchema.shape)),
  );
  const params: Params = matchParams(config, readSafetensors(weightsFile).tensors, weightsFile);
  return { config, params };
}

/** Writes a model as a new folder; refuses a folder that has content. */
export function saveModelFolder(dir: string, model: StoredModel): void {
  writeDirAtomic(dir, (temp) => writeModelFiles(temp, model));
}

/** Whether the folder looks like a model, of either kind. */
export function isModelFolder(dir: string): boolean {
  return [WEIGHTS, RELEASE_CONFIG, RELEASE_WEIGHTS].some((name) => pathExists(path.join(dir, name)));
}

/** Reads a model folder, the tool's own or a released one. Throws an input error that names what is wrong. */
export function loadModelFolder(dir: string): StoredModel {
  if (!pathExists(dir)) throw inputError("model-missing", `${dir} does not exist`, "Check the path.");
  if (pathExists(path.join(dir, WEIGHTS))) return readModelFiles(dir);
  if (pathExists(path.join(dir, RELEASE_CONFIG)) || pathExists(path.join(dir, RELEASE_WEIGHTS)))
    return importRelease(dir);
  throw inputError(
    "not-a-model",
    `${dir} is not a model folder: expected ${WEIGHTS} and ${CONFIG}, or ${RELEASE_CONFIG} and ${RELEASE_WEIGHTS}`,
    "Give the folder that holds these files.",
  );
}
