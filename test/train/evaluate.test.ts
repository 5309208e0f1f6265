/** Evaluations: what is passed at once is a matter of memory, not of the numbers. */
import { describe, expect, it } from "vitest";
import { createEngine } from "../../src/engine/select.ts";
import { resolveTrainConfig } from "../../src/train/config.ts";
import { heldOutLoss, pairMetrics, pieces, promptShape } from "../../src/train/evaluate.ts";
import { activationStatistics } from "../../src/train/statistics.ts";
import { initialModel, TrainingData } from "../../src/train/trainer.ts";
import { findTasks } from "../../tasks/index.ts";

const config = resolveTrainConfig([
  { model: { width: 32, layers: 1, contextLength: 70 }, data: { bigramTokens: 0, profile: "quotes" } },
]);
const tasks = findTasks("quotes");
const data = new TrainingData(config, tasks);
const model = initialModel((await createEngine({ engine: "auto" })).engine, data);
const text = data.sample("val", 500);

describe("evaluation in pieces", () => {
  it("has the loss of the whole text", () => {
    expect(text.rows).toBe(8);
    const whole = heldOutLoss(model, text, text.rows);
    for (const batch of [1, 3, 20]) expect(heldOutLoss(model, text, batch)).toBeCloseTo(whole, 6);
  });

  it("fills up the last piece with sequences that do not count", () => {
    const [, , last] = [...pieces(text, 3)];
    expect(last).toMatchObject({ rows: 2, tokens: { batch: 3, length: 70 } });
    expect(last!.targets.filter((t) => t === -1).length).toBe(70);
  });

  it("has the statistics of the whole text", () => {
    const whole = activationStatistics(model, text, text.rows);
    for (const batch of [1, 3, 20]) {
      activationStatistics(model, text, batch).forEach(({ kurtosis, ...rest }, i) => {
        const { kurtosis: expected, ...others } = whole[i]!;
        expect(rest).toEqual(others);
        expect(kurtosis).toBeCloseTo(expected, 4);
      });
    }
  });

  it("has the scores of all pairs", () => {
    const pairs = data.pairs(tasks[0]!).pairs("val", 9);
    const whole = pairMetrics(model, pairs, data.tokenizer);
    const small = pairMetrics(model, pairs, data.tokenizer, { most: 250 });
    expect(small.taskLoss).toBeCloseTo(whole.taskLoss, 5);
    expect(small.fullLoss).toBeCloseTo(whole.fullLoss, 5);
    expect(small).toMatchObject({ accuracy: whole.accuracy, pairAccuracy: whole.pairAccuracy, pairs: 9 });
  });

  it("passes prompts in few shapes", () => {
    expect(promptShape(model.config, 33, 1000)).toEqual({ batch: 16, length: 48 });
    expect(promptShape(model.config, 48, 1000)).toEqual({ batch: 16, length: 48 });
    expect(promptShape(model.config, 69, 1)).toEqual({ batch: 2, length: 70 });
    expect(promptShape(model.config, 5, 1e9)).toEqual({ batch: 64, length: 16 });
  });
});
