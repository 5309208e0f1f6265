/** Matching stored tensors with the parameters that a config asks for: nothing missing, nothing unknown, right shapes. */
import { createHash } from "node:crypto";
import { inputError } from "../util/errors.ts";
import { nearest } from "../util/nearest.ts";
import type { ModelConfig } from "./config.ts";
import { paramSpecs } from "./names.ts";

/** Row-major float32 values by name, in the order of `paramSpecs`. */
export type Params = Map<string, Float32Array>;

/** A model as it is stored: what it is and what it has learned. */
export interface StoredModel {
  readonly config: ModelConfig;
  readonly params: Params;
}

interface Stored {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

function nearestHint(name: string, names: Iterable<string>): string {
  const known = nearest(name, names);
  return known === undefined ? "The file has no tensors." : `The nearest name is "${known}".`;
}

/** The values of every parameter of `config`; throws an input error that names the first tensor that does not fit. */
export function matchParams(config: ModelConfig, stored: ReadonlyMap<string, Stored>, label: string): Params {
  const specs = paramSpecs(config);
  const known = new Set(specs.map((s) => s.name));
  for (const name of stored.keys()) {
    if (!known.has(name)) {
      throw inputError(
        "unknown-tensor",
        `${label}: tensor ${name} is not part of this model`,
        nearestHint(name, known),
      );
    }
  }
  const params: Params = new Map();
  for (const { name, shape } of specs) {
    const tensor = stored.get(name);
    if (tensor === undefined) {
      throw inputError("missing-tensor", `${label}: tensor ${name} is missing`, nearestHint(name, stored.keys()));
    }
    if (tensor.shape.join() !== shape.join()) {
      throw inputError(
        "tensor-shape",
        `${label}: tensor ${name}: expected shape [${shape.join(", ")}] but received [${tensor.shape.join(", ")}]`,
        "The config and the weights belong to different models.",
      );
    }
    params.set(name, tensor.values);
  }
  return params;
}

/** SHA-256 over all parameters in order. */
export function weightsHash(params: Params): string {
  const hash = createHash("sha256");
  for (const [name, values] of params) {
    hash.update(name);
    hash.update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  }
  return hash.digest("hex");
}
