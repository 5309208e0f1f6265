/**
 * One step of sparse training (Gao et al. 2025, 2.1 and A.2; defaults as in their release): loss and gradients,
 * gradients scaled by their RMS, Adam, projection onto the largest weights, decoupled decay. The last three are one
 * fused call of the engine for each parameter.
 *
 * With `denseGradEvery` n over 1 only steps 0, n, 2n... compute the gradient of all entries of the matrices, the *dense*
 * steps, and those of annealing while so many entries are kept that it costs no more. This is an approximation that
 * saves much of the work of very sparse training. The other steps
 * - compute it at the nonzero entries and update those alone, so that nothing regrows; the projection keeps its rule;
 * - estimate the RMS over all entries: of each matrix they take the sum of squares at its nonzero entries, times the
 *   ratio of the two sums at the last dense step (after its projection, so that both are of the same entries).
 * Moments stay consistent, so that the correction 1 - beta^t is right for every entry: at a dense step, an entry that is
 * zero takes its gradient for that of all the steps since the last one. An entry that becomes zero in between goes back
 * to the last dense step in that sense: its bias-corrected moments m / (1 - beta^t) stay what they are.
 */
import type { Param, TokenShape } from "../engine/engine.ts";
import { Tape } from "../engine/tape.ts";
import { nextTokenLoss } from "../model/forward.ts";
import type { Model } from "../model/model.ts";
import { LM_HEAD, type ParamSpec, paramSpecs, shapeSize, WTE } from "../model/names.ts";
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
  /**
   * Density of what has one entry for each channel and token or each channel alone, embedding, unembedding and biases: a
   * fixed number of weights shared by entry starves them as the width grows. Default: that of the other matrices.
   */
  readonly embedDensity?: number | null | undefined;
  /** n: see `Stepper`. Default 1, which is exact. */
  readonly denseGradEvery?: number | undefined;
}

/** Density above which the gradient of all entries costs no more than that of the nonzero ones. */
export const DENSE_ABOVE = 1 / 4;

/** Does step i compute the gradients of nonzero entries alone, once a step before it was dense? */
function isKept(c: StepConfig, i: number): boolean {
  return i % (c.denseGradEvery ?? 1) !== 0 && densityAt(c, i) <= DENSE_ABOVE;
}

/** The first step after step 0 that is not dense, if there is one. */
export function firstKeptStep(c: StepConfig): number | undefined {
  for (let i = 1; i < c.steps; i++) if (isKept(c, i)) return i;
  return undefined;
}

/** Whether a parameter grows with the width and not with its square. */
function isPerChannel({ name, sparsified }: ParamSpec): boolean {
  return sparsified === "bias" || name === WTE || name === LM_HEAD;
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

/** What a run with `denseGradEvery` over 1 needs, besides weights and moments, to go on as if it had not stopped. */
export interface StepperState {
  readonly lastDense: number;
  /** Of each matrix, all gradient's sum of squares over that at nonzero entries, at the last dense step. */
  readonly gradRatios: Readonly<Record<string, number>>;
}

interface Trained {
  readonly param: Param;
  readonly alone: readonly [Param];
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
  private lastDense: number | undefined;
  private readonly gradRatios: Map<string, number>;

  /** `only`: names of the parameters to train; default: all that the model trains. `state`: of a run that goes on. */
  constructor(model: Model, config: StepConfig, only?: ReadonlySet<string>, state?: StepperState) {
    this.model = model;
    this.config = config;
    this.lastDense = state?.lastDense;
    this.gradRatios = new Map(Object.entries(state?.gradRatios ?? {}));
    const trained: Trained[] = [];
    const frozen: Param[] = [];
    for (const spec of paramSpecs(model.config)) {
      const param = model.params.get(spec.name)!;
      if (only ? only.has(spec.name) : spec.trained) {
        trained.push({ param, alone: [param], spec, size: shapeSize(spec.shape) });
      } else frozen.push(param);
    }
    this.trained = trained;
    this.params = trained.map((t) => t.param);
    this.frozen = frozen;
    this.entries = trained.reduce((sum, t) => sum + t.size, 0);
  }

  /** Runs step i on a batch: ids and targets [B * T], targets -1 not counted. */
  step(i: number, ids: Int32Array, targets: Int32Array, tokens: TokenShape): StepResult {
    const { engine } = this.model;
    const dense = this.isDense(i);
    const tape = new Tape(engine, dense ? "weights" : "kept", this.frozen);
    engine.clearGrads(this.params);
    const loss = nextTokenLoss(tape, this.model, ids, targets, tokens);
    tape.backward();
    tape.free();
    const squares = dense ? engine.gradSumSquares(this.params) : this.estimatedSquares();
    const gradRms = Math.sqrt(squares / this.entries);
    // A broken step must not reach the weights.
    if (Number.isFinite(loss) && Number.isFinite(gradRms)) {
      this.update(i, this.gradScale(gradRms), dense);
      if (dense) this.remember(i);
    }
    return { loss, lr: lrAt(this.config, i), density: densityAt(this.config, i), gradRms };
  }

  private isDense(i: number): boolean {
    return this.lastDense === undefined || !isKept(this.config, i);
  }

  private gradScale(rms: number): number {
    const { gradMode, clipRms } = this.config;
    if (gradMode === "normalise") return 1 / (rms + RMS_EPS);
    if (gradMode === "clip") return rms > 0 ? Math.min(1, clipRms / rms) : 1;
    return 1;
  }

  /** Over all entries, from gradients of the nonzero ones. */
  private estimatedSquares(): number {
    let sum = 0;
    for (const { param, alone } of this.trained) {
      sum += this.model.engine.gradSumSquares(alone) * (this.gradRatios.get(param.name) ?? 1);
    }
    return sum;
  }

  /** Notes what the steps up to the next dense one need of this one. */
  private remember(i: number): void {
    this.lastDense = i;
    if ((this.config.denseGradEvery ?? 1) === 1) return;
    const { engine } = this.model;
    for (const { param, alone } of this.trained) {
      if (param.kind !== "sparse") continue;
      const kept = engine.keptGradSumSquares(param);
      this.gradRatios.set(param.name, kept > 0 ? engine.gradSumSquares(alone) / kept : 1);
    }
  }

  /** Undefined before the first dense step. */
  state(): StepperState | undefined {
    if (this.lastDense === undefined) return undefined;
    return { lastDense: this.lastDense, gradRatios: Object.fromEntries(this.gradRatios) };
  }

  private update(i: number, gradScale: number, dense: boolean): void {
    const c = this.config;
    const last = this.lastDense ?? i - 1;
    const gap = (c.denseGradEvery ?? 1) > 1 ? i - last : 1;
    const back = (beta: number): number => (1 - beta ** (last + 1)) / (1 - beta ** (i + 1));
    const keptOnly = dense ? undefined : { droppedM: back(c.beta1), droppedV: back(c.beta2) };
    const lr = lrAt(c, i);
    const density = densityAt(c, i);
    const embedDensity = densityAt({ ...c, density: c.embedDensity ?? c.density }, i);
    for (const { param, spec, size } of this.trained) {
      const sparsified = spec.sparsified === "matrix" || (spec.sparsified === "bias" && c.sparseBiases);
      const k = Math.floor((isPerChannel(spec) ? embedDensity : density) * size);
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
        gap: param.kind === "sparse" && dense ? gap : 1,
        keptOnly: param.kind === "sparse" ? keptOnly : undefined,
      });
    }
  }
}
