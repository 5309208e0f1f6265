/** What an extraction will need of memory, before it starts: its passes run on an engine that only counts. */
import type { TokenShape } from "../engine/engine.ts";
import { type MemoryEstimate, SizingEngine } from "../engine/sizing.ts";
import { Tape } from "../engine/tape.ts";
import { finalHidden } from "../model/forward.ts";
import { Model } from "../model/model.ts";
import type { StoredModel } from "../model/params.ts";
import { nodeCount } from "../model/sites.ts";
import { MOST_KEPT_BYTES } from "./evaluator.ts";
import { MaskedModel } from "./masked-model.ts";

/** The model's values as they were read, and once more as the search reads them. */
const HOST_BYTES = 2 * 4;
/** Evaluators of a search: one for each split. */
const EVALUATORS = 3;

/** `text`: of a pass that measures means; `prompts`: all rows that are scored at once. */
export function extractionMemory(stored: StoredModel, text: TokenShape, prompts: TokenShape): MemoryEstimate {
  const sizing = new SizingEngine();
  const model = new Model(sizing.engine, stored);
  const weights = sizing.bytes;
  const tape = new Tape(sizing.engine, "nothing");
  finalHidden(tape, model, new Int32Array(0), text);
  tape.free();
  const nodes = nodeCount(model.config);
  const { batch: rows, length } = prompts;
  const zeros = new Int32Array(rows);
  const batch = { tokens: new Int32Array(rows * length), rows, length, last: zeros, right: zeros, wrong: zeros };
  new MaskedModel(model, new Float32Array(nodes)).gradient(batch, new Float32Array(nodes));
  const entries = [...stored.params.values()].reduce((sum, values) => sum + values.length, 0);
  const host = HOST_BYTES * entries + EVALUATORS * MOST_KEPT_BYTES;
  return { weights, activations: sizing.bytes - weights, host };
}
