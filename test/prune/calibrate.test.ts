/** The calibration of logits: against brute force, its cap, its law of held-out scoring, and the fixture's optimum. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type Answers,
  applyCalibration,
  type Calibration,
  calibrate,
  calibratedEvaluator,
  SCALE_CAP,
} from "../../src/prune/calibrate.ts";
import { CircuitEvaluator, type Evaluator, lossOfMargins } from "../../src/prune/evaluator.ts";
import { Rng } from "../../src/util/rng.ts";
import { readJson } from "../support/fixtures.ts";
import { checkProperty } from "../support/property.ts";
import { pruningFixture } from "./pruning-fixture.ts";

const A = 7;
const B = 3;

/** Rows alternate between the answers A and B. */
function answersOf(prompts: number): Answers {
  const right = Int32Array.from({ length: prompts }, (_, p) => (p % 2 === 0 ? A : B));
  return { right, wrong: right.map((token) => A + B - token) };
}

function draw(seed: number, prompts: number, slope: number, bias: number): Float64Array {
  const rng = Rng.of("margins", seed);
  return Float64Array.from({ length: prompts }, (_, p) => slope + 0.7 * rng.normal() + (p % 2 === 0 ? bias : -bias));
}

function lossWith(margins: Float64Array, answers: Answers, calibration: Calibration): number {
  return lossOfMargins(applyCalibration(margins, answers, calibration));
}

/** The smallest loss over a grid of scales and differences of the two shifts. */
function bruteForce(margins: Float64Array, answers: Answers, cap: number): number {
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i <= 200; i++) {
    for (let j = -120; j <= 120; j++) {
      const shift = new Map([
        [A, j / 40],
        [B, -j / 40],
      ]);
      best = Math.min(best, lossWith(margins, answers, { scale: (cap * i) / 200, shift }));
    }
  }
  return best;
}

const drawn = fc.record({
  seed: fc.nat(),
  prompts: fc.constantFrom(8, 20, 64),
  slope: fc.double({ min: -0.3, max: 1.5, noNaN: true }),
  bias: fc.double({ min: -1, max: 1, noNaN: true }),
  cap: fc.constantFrom(0.5, 2, SCALE_CAP),
});

describe("calibrate", () => {
  it("is as good as brute force, within the cap", () => {
    checkProperty(drawn, 25, ({ seed, prompts, slope, bias, cap }) => {
      const margins = draw(seed, prompts, slope, bias);
      const answers = answersOf(prompts);
      const fitted = calibrate(margins, answers, cap);
      expect(fitted.scale).toBeGreaterThanOrEqual(0);
      expect(fitted.scale).toBeLessThanOrEqual(cap);
      // The small pull of the shifts towards zero costs a little.
      expect(lossWith(margins, answers, fitted)).toBeLessThanOrEqual(bruteForce(margins, answers, cap) + 2e-3);
    });
  });

  it("never loses to leaving the logits as they are", () => {
    checkProperty(drawn, 200, ({ seed, prompts, slope, bias }) => {
      const margins = draw(seed, prompts, slope, bias);
      const answers = answersOf(prompts);
      expect(lossWith(margins, answers, calibrate(margins, answers))).toBeLessThanOrEqual(
        lossOfMargins(margins) + 1e-9,
      );
    });
  });

  it("stops at the cap where margins are separable", () => {
    const answers = answersOf(20);
    const margins = new Float64Array(20).fill(0.1);
    expect(calibrate(margins, answers).scale).toBe(SCALE_CAP);
    expect(calibrate(margins, answers, 3).scale).toBe(3);
  });

  it("undoes a common bias towards one answer", () => {
    const answers = answersOf(40);
    const margins = draw(1, 40, 3, 2.5);
    const { shift } = calibrate(margins, answers);
    expect(shift.get(A)! - shift.get(B)!).toBeLessThan(-1);
  });

  it("is finite for margins that are zero, equal or large", () => {
    for (const value of [0, 1e-9, -5, 1e4, -1e4]) {
      const { scale, shift } = calibrate(new Float64Array(12).fill(value), answersOf(12));
      for (const x of [scale, ...shift.values()]) expect(Number.isFinite(x)).toBe(true);
    }
  });

  it("handles more than two answers", () => {
    const right = Int32Array.from({ length: 30 }, (_, p) => p % 3);
    const wrong = right.map((token) => (token + 1) % 3);
    const bias = [2, 0, -2];
    const margins = Float64Array.from(right, (r, p) => 1 + bias[r]! - bias[wrong[p]!]!);
    const fitted = calibrate(margins, { right, wrong });
    expect([...fitted.shift.keys()]).toEqual([0, 1, 2]);
    expect(lossWith(margins, { right, wrong }, fitted)).toBeLessThan(0.02);
  });
});

describe("calibratedEvaluator", () => {
  const fixed = (margins: Float64Array): Evaluator => ({ score: () => ({ loss: lossOfMargins(margins), margins }) });
  const kept = new Uint8Array(1);

  it("fits on one set of pairs and scores another", () => {
    const [one, other] = [draw(2, 40, 0.4, 0.5), draw(3, 60, 0.4, -0.5)];
    const fitOn = { evaluator: fixed(one), answers: answersOf(40) };
    const scoreOn = { evaluator: fixed(other), answers: answersOf(60) };
    const { loss, margins } = calibratedEvaluator(fitOn, scoreOn).score(kept);
    const calibration = calibrate(one, fitOn.answers);
    expect(loss).toBeCloseTo(lossWith(other, scoreOn.answers, calibration), 12);
    expect(loss).toBe(lossOfMargins(margins));
    expect(loss).toBeGreaterThan(lossWith(other, scoreOn.answers, calibrate(other, scoreOn.answers)));
  });

  it("scores the pairs it fits when no others are given", () => {
    const margins = draw(4, 40, 0.4, 0.5);
    const { loss } = calibratedEvaluator({ evaluator: fixed(margins), answers: answersOf(40) }).score(kept);
    expect(loss).toBeCloseTo(lossWith(margins, answersOf(40), calibrate(margins, answersOf(40))), 12);
  });
});

describe("the fixture's circuits", () => {
  const { stored, batch, fill, planted, expected } = pruningFixture();
  const evaluator = new CircuitEvaluator(stored.config, stored.params, fill, batch);
  const optimum = readJson<Record<string, { calibrated_loss_optimum: number }>>("pruning", "expected.json");
  const cases = {
    full: new Uint8Array(expected.total_nodes).fill(1),
    planted,
    empty: new Uint8Array(expected.total_nodes),
  };

  it.each(Object.entries(cases))("come near the optimum of free scale and shift: %s", (name, mask) => {
    const { margins } = evaluator.score(mask);
    const best = optimum[name]!.calibrated_loss_optimum;
    const free = lossWith(margins as Float64Array, batch, calibrate(margins, batch, 1e4));
    const capped = lossWith(margins as Float64Array, batch, calibrate(margins, batch));
    // The optimum is a limit where the margins are separable.
    expect(free).toBeLessThan(best + 0.02);
    expect(free).toBeGreaterThan(best - 1e-3);
    expect(capped).toBeGreaterThanOrEqual(free - 1e-6);
  });
});
