/** Evaluations: what is passed at once is a matter of memory, not of the numbers. */
import { describe, expect, it } from "vitest";
import { PairSource } from "../../src/data/pairs.ts";
import { createEngine } from "../../src/engine/select.ts";
import { forwardLogits } from "../../src/model/forward.ts";
import { resolveTrainConfig } from "../../src/train/config.ts";
import {
  heldOutLoss,
  inputsAndTargets,
  pairMetrics,
  pieces,
  promptShape,
  textMetrics,
} from "../../src/train/evaluate.ts";
import { probeCurve } from "../../src/train/probes.ts";
import { activationStatistics } from "../../src/train/statistics.ts";
import { evaluationPlan, initialModel, TrainingData } from "../../src/train/trainer.ts";
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

  it("has the decisions of the whole text", () => {
    const marked = data.sample("val", 2000, { marks: true });
    const [V, T] = [model.config.vocabSize, marked.contextLength];
    const logits = forwardLogits(model, inputsAndTargets(marked).ids, { batch: marked.rows, length: T });
    const right = marked.marks.filter((mark) => {
      const z = (mark.row * T + mark.position) * V;
      return logits[z + mark.right]! > logits[z + mark.wrong]!;
    });
    expect(marked.marks.length).toBeGreaterThan(50);
    for (const batch of [3, 16]) {
      const { loss, decisions } = textMetrics(model, marked, batch);
      expect(loss).toBeCloseTo(heldOutLoss(model, marked, 16), 6);
      expect(decisions).toEqual({
        single_double_quote: { accuracy: right.length / marked.marks.length, decisions: marked.marks.length },
      });
    }
  });
});

describe("task loss", () => {
  const pairs = data.pairs(tasks[0]!).pairs("val", 7);
  /** Probabilities of the next token after a prompt. */
  const after = (prompt: Uint16Array): number[] => {
    const V = model.config.vocabSize;
    const logits = forwardLogits(model, Int32Array.from(prompt), { batch: 1, length: prompt.length });
    const last = [...logits.subarray(-V)].map(Math.exp);
    const sum = last.reduce((a, b) => a + b, 0);
    return last.map((x) => x / sum);
  };
  const mean = (of: (pair: (typeof pairs)[number]) => number): number =>
    pairs.reduce((sum, pair) => sum + of(pair), 0) / pairs.length;

  it("is over the two candidates, or over the whole vocabulary", () => {
    const pair = mean(({ pos, neg, posTarget: c, negTarget: i }) => {
      const [p, q] = [after(pos), after(neg)];
      return -(Math.log(p[c]! / (p[c]! + p[i]!)) + Math.log(q[i]! / (q[c]! + q[i]!))) / 2;
    });
    const targetOrNot = mean(
      (x) => -(Math.log(after(x.pos)[x.posTarget]!) + Math.log(1 - after(x.neg)[x.posTarget]!)) / 2,
    );
    const full = mean((x) => -(Math.log(after(x.pos)[x.posTarget]!) + Math.log(after(x.neg)[x.negTarget]!)) / 2);
    const one = pairMetrics(model, pairs, data.tokenizer);
    const other = pairMetrics(model, pairs, data.tokenizer, { loss: "target-or-not" });
    expect(one.taskLoss).toBeCloseTo(pair, 5);
    expect(other.taskLoss).toBeCloseTo(targetOrNot, 5);
    expect([one.fullLoss, other.fullLoss]).toEqual([expect.closeTo(full, 5), expect.closeTo(full, 5)]);
  });

  it("is the run's, else the task's", () => {
    const task = { ...tasks[0]!, loss: "target-or-not" as const };
    expect(data.lossOf(tasks[0]!)).toBe("pair");
    expect(data.lossOf(task)).toBe("target-or-not");
    expect(new TrainingData({ ...config, taskLoss: "pair" }, tasks, data.tokenizer).lossOf(task)).toBe("pair");
  });
});

describe("evaluations of a run", () => {
  it.each([
    [1500, 1, { every: 100, pairs: 128 }],
    [1500, 20, { every: 100, pairs: 16 }],
    [10_000, 20, { every: 300, pairs: 32 }],
    [30_000, 20, { every: 800, pairs: 64 }],
  ])("%i steps of %i tasks", (steps, count, plan) => {
    const long = resolveTrainConfig([{ training: { steps } }]);
    expect(evaluationPlan(long, count)).toEqual({ ...plan, tokens: 16_384 });
    const asked = resolveTrainConfig([{ training: { steps }, logging: { evalEvery: 7, evalPairs: 5 } }]);
    expect(evaluationPlan(asked, count)).toEqual({ every: 7, pairs: 5, tokens: 16_384 });
  });

  it("read the text of the final report when there is a loss to match", () => {
    const matching = resolveTrainConfig([{ training: { matchLoss: 2.5 }, logging: { evalTokens: 1024 } }]);
    expect(evaluationPlan(matching, 1).tokens).toBe(65_536);
  });
});

it("sweeps a probe and leaves out what is too long", async () => {
  const [task] = tasks;
  const source = new PairSource(task!, data.tokenizer, { seed: 0, contextLength: 70 });
  let breaths = 0;
  const curve = await probeCurve(model, source, "strings", { split: "val", pairs: 6 }, async () => {
    breaths++;
  });
  const kept = curve.points.map(({ x }) => x);
  expect([...kept, ...curve.tooLong]).toEqual(task!.probes!.strings!.values);
  expect(breaths).toBe(kept.length + curve.tooLong.length);
  expect(curve).toMatchObject({ task: "single_double_quote", pairs: 6, completions: ['")\n', "')\n"] });
  const scores = pairMetrics(model, source.pairs("val", 6, "strings@1"), data.tokenizer);
  const { pos, neg, pairAccuracy } = curve.points.find(({ x }) => x === 1)!;
  expect(pairAccuracy).toBe(scores.pairAccuracy);
  expect((pos.accuracy + neg.accuracy) / 2).toBeCloseTo(scores.accuracy, 9);
  for (const { first, error } of [pos, neg]) expect([first > 0 && first < 1, error > 0]).toEqual([true, true]);
});
