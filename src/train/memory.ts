/** What a training run will need of memory, before it starts: a step and the evaluations run on an engine that only counts. */
import type { TokenShape } from "../engine/engine.ts";
import { type MemoryEstimate, SizingEngine } from "../engine/sizing.ts";
import { Tape } from "../engine/tape.ts";
import type { ModelConfig } from "../model/config.ts";
import { logitsAt, nextTokenLoss } from "../model/forward.ts";
import { Model } from "../model/model.ts";
import { paramSpecs, shapeSize } from "../model/names.ts";
import { firstKeptStep, type StepConfig, Stepper } from "./step.ts";

export interface TrainingSizes {
  readonly model: ModelConfig;
  readonly step: StepConfig;
  /** Of a step and of a pass over held-out text. */
  readonly tokens: TokenShape;
  /** Of a pass over prompts. */
  readonly prompts?: TokenShape;
}

const NONE = new Int32Array(0);
/** In JavaScript: the initial value of each entry, and at a checkpoint its value and two moments. */
const HOST_BYTES = 4 * 4;

/** Throws an input error for sizes that cannot be indexed. */
export function trainingMemory({ model: config, step, tokens, prompts }: TrainingSizes): MemoryEstimate {
  const sizing = new SizingEngine();
  const specs = paramSpecs(config);
  const params = new Map(specs.map(({ name }) => [name, new Float32Array(0)]));
  const model = new Model(sizing.engine, { config, params });
  const weights = sizing.bytes;
  const stepper = new Stepper(model, step);
  // Gradients of nonzero entries alone are largest in the first step that computes them, after what the last one kept.
  const kept = firstKeptStep(step) ?? 1;
  for (const i of [0, 1, kept - 1, kept]) stepper.step(i, NONE, NONE, tokens);
  const forward = (run: (tape: Tape) => unknown): void => {
    const tape = new Tape(sizing.engine, "nothing");
    run(tape);
    tape.free();
  };
  forward((tape) => nextTokenLoss(tape, model, NONE, NONE, tokens));
  if (prompts) forward((tape) => logitsAt(tape, model, NONE, prompts, new Int32Array(prompts.batch)));
  const entries = specs.reduce((sum, { shape }) => sum + shapeSize(shape), 0);
  return { weights, activations: sizing.bytes - weights, host: HOST_BYTES * entries };
}
