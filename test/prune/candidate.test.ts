/** How sure a loss over pairs is. */
import { describe, expect, it } from "vitest";
import { pairLosses, pairStandardError } from "../../src/prune/candidate.ts";
import { lossOfMargins } from "../../src/prune/evaluator.ts";
import { Rng } from "../../src/util/rng.ts";

const rng = Rng.of("standard error");
const margins = Float64Array.from({ length: 128 }, () => 2 + rng.normal());
const score = { loss: lossOfMargins(margins), margins };

describe("the standard error over pairs", () => {
  it("is that of the mean of the pairs' losses", () => {
    const losses = pairLosses(score);
    const squares = losses.reduce((sum, loss) => sum + (loss - score.loss) ** 2, 0);
    expect(pairStandardError(score)).toBeCloseTo(Math.sqrt(squares / 64 / 63), 12);
  });

  it("is of pairs alone, however much draws of ablated values differ", () => {
    // Pair p has draw p % 8; one draw fails on all of its pairs alike.
    const dealt = margins.map((_, row) => ((row >> 1) % 8 === 3 ? -4 : 6));
    const failing = { loss: lossOfMargins(dealt), margins: dealt };
    expect(pairStandardError(failing)).toBeGreaterThan(0.1);
    expect(pairStandardError({ ...failing, draws: 8 })).toBeCloseTo(0, 12);
  });

  it("is about the same for draws that do not differ", () => {
    const ratio = pairStandardError({ ...score, draws: 4 }) / pairStandardError(score);
    expect(ratio).toBeGreaterThan(0.9);
    expect(ratio).toBeLessThan(1.1);
  });

  it("is zero of pairs without spread, and of one pair", () => {
    expect(pairStandardError({ loss: 0, margins: new Float64Array(8).fill(3) })).toBe(0);
    expect(pairStandardError({ loss: 0, margins: Float64Array.of(1, 2) })).toBe(0);
    expect(pairStandardError({ loss: 0, margins: Float64Array.of(1, 2), draws: 8 })).toBe(0);
  });
});
