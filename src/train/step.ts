/**
 * One step of sparse training (Gao et al. 2025, 2.1 and A.2; defaults as in their release): loss and gradients,
 * gradients scaled by their RMS, Adam, projection onto the largest weights, decoupled decay. The last three are one
 * fused call of the engine for each parameter.
 */
import type { Param, TokenShape } from "../engine/engine.ts";
import { Tape } from "../engine/tape.ts";
import { nextTokenLoss } from "../model/forward.ts";
import type { Model } from "../model/model.ts";
import { type ParamSpec, paramSpecs, shapeSize } from "../model/names.ts";
import { densityAt, lrAt, type Schedule } from "./schedule.ts";

export interface StepConfig extends Schedule {
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly weightDecay: number;
  /** j: largest entries of each neuron or channel that are kept first. */
  readonly minPerNeuron: number;
  /** normalise: always divide by the RMS (the release); clip: only when it is over `clipRms` (the paper). */
  readonly gradMode: "normalise" | "clip" | "none";
  readonly clipRms: number;
  /** Project biases too (the paper) or leave them dense (the release). */
  readonly sparseBiases: boolean;
}

/** Added to the RMS before dividing. */
const RMS_EPS = 1e-5;

export interface StepResult {
  /** Next-token loss before the update, nats. */
  readonly loss: number;
  readonly lr: number;
  /** Fraction of entries kept. */
  readonly density: number;
  /** Root mean square over all gradient entries, before scaling. */
  readonly gradRms: number;
}

interface Trained {
  readonly param: Param;
  readonly spec: ParamSpec;
  readonly size: number;
}

export class Stepper {
  readonly model: Model;
  readonly config: StepConfig;
  private readonly trained: readonly Trained[];
  private readonly params: readonly Param[];
  private readonly frozen: readonly Param[];
  private readonly entries: number;

  /** `only`: names of the parameters to train; default: all that the model trains. */
  constructor(model: Model, config: StepConfig, only?: ReadonlySet<string>) {
    this.model = model;
    this.config = config;
    const trained: Trained[] = [];
    const frozen: Param[] = [];
    for (const spec of paramSpecs(model.config)) {
      const param = model.params.get(spec.name)!;
      if (only ? only.has(spec.name) : spec.trained) trained.push({ param, spec, size: shapeSize(spec.shape) });
      else frozen.push(param);
    }
    this.trained = trained;
    this.params = trained.map((t) => t.param);
    this.frozen = frozen;
    this.entries = trained.reduce((sum, t) => sum + t.size, 0);
  }

  /** Runs step i on a batch: ids and targets [B * T], targets -1 not counted. */
  step(i: number, ids: Int32Array, targets: Int32Array, tokens: TokenShape): StepResult {
    const { engine } = this.model;
    const tape = new Tape(engine, "weights", this.frozen);
    engine.clearGrads(this.params);
    const loss = nextTokenLoss(tape, this.model, ids, targets, tokens);
    tape.backward();
    tape.free();
    const gradRms = Math.sqrt(engine.gradSumSquares(this.params) / this.entries);
    // A broken step must not reach the weights.
    if (Number.isFinite(loss) && Number.isFinite(gradRms)) this.update(i, this.gradScale(gradRms));
    return { loss, lr: lrAt(this.config, i), density: densityAt(this.config, i), gradRms };
  }

  private gradScale(rms: number): number {
    const { gradMode, clipRms } = this.config;
    if (gradMode === "normalise") return 1 / (rms + RMS_EPS);
    if (gradMode === "clip") return rms > 0 ? Math.min(1, clipRms / rms) : 1;
    return 1;
  }

  private update(i: number, gradScale: number): void {
    const c = this.config;
    const lr = lrAt(c, i);
    const density = densityAt(c, i);
    for (const { param, spec, size } of this.trained) {
      const sparsified = spec.sparsified === "matrix" || (spec.sparsified === "bias" && c.sparseBiases);
      const k = Math.floor(density * size);
      this.model.engine.adam(param, {
        gradScale,
        lr,
        beta1: c.beta1,
        beta2: c.beta2,
        eps: c.eps,
        correction1: 1 - c.beta1 ** (i + 1),
        correction2: 1 - c.beta2 ** (i + 1),
        weightDecay: spec.decays ? c.weightDecay : 0,
        keep: sparsified && k < size ? k : undefined,
        protect: spec.protect,
        minPerNeuron: spec.protect ? c.minPerNeuron : 0,
      });
    }
  }
}
