/**
 * Runs one op of a described case on an engine, forward and backward, and returns everything that it computed. Suites
 * compare these between engines, or with finite differences.
 */
import type { Activation, Engine, Param, Protect, TokenShape } from "../../src/engine/engine.ts";
import { Tape } from "../../src/engine/tape.ts";
import { Rng } from "../../src/util/rng.ts";

export interface InputSpec {
  readonly tokens: TokenShape;
  readonly width: number;
  readonly values: Float32Array;
  /** False: the op gives it no gradient. */
  readonly differentiable: boolean;
}

export interface ParamSpec {
  readonly name: string;
  readonly kind: "dense" | "sparse";
  readonly shape: readonly number[];
  readonly protect?: Protect;
  readonly values: Float32Array;
  readonly differentiable: boolean;
  /** Entries from here on are documented to get no gradient. */
  readonly zeroGradFrom?: number;
}

export interface OpInstance {
  readonly inputs: readonly InputSpec[];
  readonly params: readonly ParamSpec[];
  run(tape: Tape, x: readonly Activation[], p: readonly Param[]): { outputs: Activation[]; losses?: number[] };
}

export interface Evaluation {
  readonly outputs: Float32Array[];
  /** Losses, and outputs times fixed coefficients, in float64. */
  readonly loss: number;
  readonly inputGrads: Float32Array[];
  readonly paramGrads: Float32Array[];
}

export interface EvaluateOptions {
  /** Use every input by the loss directly too, so that the op's reverse has to add to a gradient. */
  readonly alsoDirect?: boolean;
  /** Backward passes without clearing: weight gradients must add up. */
  readonly passes?: number;
  /** Gradients of all entries of matrices (the default), or of the nonzero ones. */
  readonly wants?: "weights" | "kept";
}

/** Sum of x * coefficients; coefficients row-major like x. A loss: it starts the backward pass. */
export function dotLoss(tape: Tape, x: Activation, coefficients: Float32Array): number {
  const { engine } = tape;
  tape.record(() => {
    const c = tape.alloc(x.tokens, x.width);
    engine.write(c, coefficients);
    const { dx, add } = tape.gradTarget(x);
    engine.copy(c, dx, add);
  });
  const values = engine.read(x);
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]! * coefficients[i]!;
  return sum;
}

/** A copy with the identity as reverse, for ops that overwrite their input. */
export function duplicate(tape: Tape, x: Activation): Activation {
  const { engine } = tape;
  const out = tape.alloc(x.tokens, x.width);
  engine.copy(x, out, false);
  tape.record(() => {
    if (!tape.hasGrad(out)) return;
    const { dx, add } = tape.gradTarget(x);
    engine.copy(tape.grad(out), dx, add);
  });
  return out;
}

export function evaluate(engine: Engine, instance: OpInstance, options: EvaluateOptions = {}): Evaluation {
  const params = instance.params.map((spec): Param => {
    const p =
      spec.kind === "dense"
        ? engine.dense(spec.name, spec.shape)
        : engine.sparse(spec.name, spec.shape as [number, number], spec.protect ?? null);
    engine.writeParam(p, "value", spec.values);
    return p;
  });
  engine.clearGrads(params);
  let result: Omit<Evaluation, "paramGrads"> | undefined;
  for (let pass = 0; pass < (options.passes ?? 1); pass++) {
    const coefficients = Rng.of("coefficients");
    const draw = (n: number) => Float32Array.from({ length: n }, () => coefficients.normal());
    const tape = new Tape(engine, options.wants ?? "weights");
    const inputs = instance.inputs.map((spec) => {
      const x = tape.keep(tape.alloc(spec.tokens, spec.width));
      engine.write(x, spec.values);
      return x;
    });
    const { outputs, losses = [] } = instance.run(tape, inputs, params);
    let loss = losses.reduce((a, b) => a + b, 0);
    for (const out of outputs.map((x) => tape.keep(x)))
      loss += dotLoss(tape, out, draw(out.tokens.batch * out.tokens.length * out.width));
    if (options.alsoDirect) {
      for (const [i, spec] of instance.inputs.entries()) {
        if (spec.differentiable) loss += dotLoss(tape, inputs[i]!, draw(spec.values.length));
      }
    }
    tape.backward();
    result = {
      outputs: outputs.map((out) => engine.read(out)),
      loss,
      inputGrads: inputs.map((x, i) =>
        tape.hasGrad(x) ? engine.read(tape.grad(x)) : new Float32Array(instance.inputs[i]!.values.length),
      ),
    };
    tape.free();
  }
  return { ...result!, paramGrads: params.map((p) => engine.readParam(p, "grad")) };
}
