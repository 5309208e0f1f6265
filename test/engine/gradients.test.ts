/** Every op's gradients on the reference engine against finite differences of its forward pass, through the tape. */
import { describe, expect, test } from "vitest";
import { ReferenceEngine } from "../../src/engine/reference.ts";
import { expectClose } from "../support/close.ts";
import type { Dims } from "../support/draw.ts";
import { guarded } from "../support/engines.ts";
import { type EvaluateOptions, evaluate, type OpInstance } from "../support/evaluate.ts";
import { type OpCase, opCases } from "../support/op-cases.ts";

/** A power of two, so that inputs of few digits move exactly. */
const STEP = 2 ** -6;
/** Fourth-order differences: what remains is float32's rounding of the outputs over STEP. */
const TOLERANCE = { abs: 2e-4, rel: 1e-3 };

const SIZES: Dims[] = [
  { seed: 1, batch: 2, length: 3, width: 5, other: 4, heads: 2, headWidth: 3, fraction: 0.5 },
  { seed: 2, batch: 1, length: 5, width: 3, other: 6, heads: 1, headWidth: 4, fraction: 1 },
];

function difference(instance: OpInstance, values: Float32Array, i: number, options: EvaluateOptions): number {
  const at = values[i]!;
  const lossAt = (steps: number) => {
    values[i] = at + steps * STEP;
    const { loss } = evaluate(new ReferenceEngine(), instance, options);
    values[i] = at;
    return loss;
  };
  return (8 * (lossAt(1) - lossAt(-1)) - (lossAt(2) - lossAt(-2))) / (12 * STEP);
}

function checkGradients(op: OpCase, dims: Dims, options: EvaluateOptions): void {
  const instance = op.make(dims, op.kinked ? "spaced" : "normal");
  const engine = guarded(new ReferenceEngine({ poison: true }), true);
  const { inputGrads, paramGrads } = evaluate(engine, instance, options);
  for (const [i, spec] of instance.inputs.entries()) {
    if (!spec.differentiable) continue;
    const expected = Array.from(spec.values, (_, e) => difference(instance, spec.values, e, options));
    expectClose(inputGrads[i]!, expected, `gradient of input ${i}`, TOLERANCE);
  }
  for (const [i, spec] of instance.params.entries()) {
    if (!spec.differentiable) continue;
    const end = spec.zeroGradFrom ?? spec.values.length;
    const expected = Array.from(spec.values, (_, e) => (e < end ? difference(instance, spec.values, e, options) : 0));
    expectClose(paramGrads[i]!, expected, `gradient of ${spec.name}`, TOLERANCE);
  }
}

describe("gradients agree with finite differences", () => {
  for (const op of opCases) {
    test(op.name, () => {
      for (const dims of SIZES) {
        checkGradients(op, dims, {});
        checkGradients(op, dims, { alsoDirect: true });
      }
    });
  }

  test("a second backward pass adds to the gradients of parameters", () => {
    for (const op of opCases) {
      for (const dims of SIZES) {
        const instance = op.make(dims, "normal");
        const [once, twice] = [1, 2].map((passes) => evaluate(new ReferenceEngine(), instance, { passes }).paramGrads);
        for (const [i, grad] of once!.entries()) {
          const double = grad.map((g) => 2 * g);
          expectClose(twice![i]!, double, `${op.name}, parameter ${i}`, { abs: 1e-6, rel: 1e-6 });
        }
      }
    }
  });

  test("a wrong gradient is noticed", () => {
    const gelu = opCases.find((op) => op.name === "nonlinearity gelu")!;
    const wrong: OpCase = {
      ...gelu,
      make(dims, style) {
        const made = gelu.make(dims, style);
        return {
          ...made,
          run(tape, x, p) {
            const result = made.run(tape, x, p);
            tape.record(() => tape.engine.copy(tape.grad(result.outputs[0]!), tape.gradTarget(x[0]!).dx, false));
            return result;
          },
        };
      },
    };
    expect(() => checkGradients(wrong, SIZES[0]!, {})).toThrow(/gradient of input 0/);
  });
});
