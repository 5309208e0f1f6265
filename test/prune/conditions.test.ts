/** The conditions of a faithful circuit on the model with a planted one: each is a score that says how far it is met. */
import { afterAll, describe, expect, it } from "vitest";
import { Model } from "../../src/model/model.ts";
import { AblatedTask } from "../../src/prune/ablated-task.ts";
import type { Ablation } from "../../src/prune/ablation.ts";
import { Conditions, hash, RANDOM, randomNodes } from "../../src/prune/conditions.ts";
import { lossOfMargins } from "../../src/prune/evaluator.ts";
import { type NodeError, nodeErrors, promptErrors } from "../../src/prune/fidelity.ts";
import { fullValues } from "../../src/prune/full-values.ts";
import { indices, without } from "../../src/prune/kept.ts";
import { measureAblation } from "../../src/prune/means.ts";
import { NodeCosts } from "../../src/prune/node-costs.ts";
import { pickPairs, rowsOf } from "../../src/prune/pair-scores.ts";
import { Pruned } from "../../src/prune/pruned.ts";
import { Rng } from "../../src/util/rng.ts";
import { fastest } from "../support/engines.ts";
import { pruningFixture } from "./pruning-fixture.ts";

const TARGET = 0.15;
const { stored, batch, fill, planted, text } = pruningFixture();
const engine = await fastest.open();
afterAll(() => engine.dispose());
const model = new Model(engine, stored);
const ablation: Ablation = { kind: "mean", draws: [fill], frozenNorm: false };
const own = new AblatedTask(model, ablation);
const costs = NodeCosts.of(own.passes(batch), own.specs);
const inputs = { model, ablation, own, others: [new AblatedTask(model, { ...ablation, frozenNorm: true })], costs };
const conditionsOf = (seed: number, of = batch) => new Conditions({ ...inputs, target: TARGET, seed }).on(of);
const conditions = conditionsOf(0);
const rng = Rng.of("conditions");
const circuits = [planted, ...[0.1, 0.5, 0.9].map((share) => planted.map((p) => (p || rng.bool(share) ? 1 : 0)))];

it("are eleven with one other ablation, all met by the planted circuit", () => {
  expect(conditions).toHaveLength(11);
  for (const [i, condition] of conditions.entries()) {
    expect(condition(planted).loss, `condition ${i}`).toBeLessThanOrEqual(TARGET);
  }
});

it("have prompts whose losses have their loss as the mean", () => {
  for (const kept of [...circuits, new Uint8Array(fill.length)]) {
    for (const [i, condition] of conditions.entries()) {
      const { loss, margins } = condition(kept);
      expect(lossOfMargins(margins), `condition ${i}`).toBeCloseTo(loss, 5);
    }
  }
});

it("draw other nodes for other seeds and draws, the same for the same", () => {
  const some = circuits[1]!;
  const losses = (seed: number) => conditionsOf(seed).map((condition) => condition(some).loss);
  const first = losses(0);
  expect(losses(0)).toEqual(first);
  const changed = (other: readonly number[]) => other.filter((loss, i) => loss !== first[i]).length;
  // Three fractions left on and two of values from the model.
  expect(changed(losses(1))).toBe(5);
  const draws = [0, 0, 1].map((draw) => randomNodes(400, 0, "relaxed", 0.5, hash(batch.tokens) + draw));
  expect(draws[1]).toEqual(draws[0]);
  expect(draws[2]).not.toEqual(draws[0]);
  expect(hash(rowsOf(batch, 2, batch.rows).tokens)).not.toBe(hash(batch.tokens));
});

it("have each a part of many pairs", () => {
  const many = pickPairs(
    batch,
    Array.from({ length: 160 }, (_, i) => i % (batch.rows / 2)),
  );
  // The answers of the last quarter are exchanged: only what sees them changes, in a circuit that is wrong there.
  const last = 240;
  const [right, wrong] = [many.right.slice(), many.wrong.slice()];
  right.set(many.wrong.subarray(last), last);
  wrong.set(many.right.subarray(last), last);
  const changed = conditionsOf(0, { ...many, right, wrong });
  const differs = conditionsOf(0, many).map((condition, i) => condition(planted).loss !== changed[i]!(planted).loss);
  // Its own ablation and the other one see all pairs, necessity the last quarter; what single nodes cost is by 64 pairs.
  expect(differs).toEqual([false, true, true, false, false, false, false, true, false, false, false]);
});

it("are finite for few pairs, and for values that are drawn", () => {
  const drawn = measureAblation(model, text, { kind: "resample", frozenNorm: false, seed: 0 });
  const resampled = new AblatedTask(model, drawn);
  for (const pairs of [1, 2, 3, 9]) {
    const some = rowsOf(batch, 0, 2 * pairs);
    const of = { ...inputs, target: TARGET, seed: 0 };
    for (const all of [
      new Conditions(of).on(some),
      new Conditions({ ...of, ablation: drawn, own: resampled }).on(some),
    ]) {
      for (const [i, condition] of all.entries()) {
        const { loss, margins } = condition(circuits[1]!);
        expect(margins, `condition ${i} on ${pairs} pairs`).toHaveLength(some.rows);
        expect(Number.isFinite(loss), `condition ${i} on ${pairs} pairs`).toBe(true);
        expect(lossOfMargins(margins), `condition ${i} on ${pairs} pairs`).toBeCloseTo(loss, 5);
      }
    }
  }
});

it("say what random nodes outside cost, by what is allowed", () => {
  const dearest = indices(planted).reduce((a, b) => (costs.above(0.02)[b] && !costs.above(0.02)[a] ? b : a));
  const less = without(planted, [dearest]);
  expect(conditions[0]!(less).loss).toBeCloseTo((TARGET * costs.outside(less)) / RANDOM, 6);
  expect(conditions[0]!(less).loss).toBeGreaterThan(conditions[0]!(planted).loss);
});

describe("what a prompt adds to the unexplained variance", () => {
  const none = { kept: new Uint8Array(fill.length), removed: new Set<number>(), scales: new Map<number, number>() };
  const pruned = new Pruned(stored, none, ablation, batch);
  const [part] = pruned.parts;
  const all = Array.from({ length: fill.length }, (_, n) => n);
  const traced = (kept: Uint8Array) => ({
    own: pruned.values(part!, { kept, removed: none.removed }),
    full: fullValues(model, part!.batch, part!.prefixes, all),
  });

  it("is its own share of each node's error", () => {
    const trace = traced(circuits[1]!);
    const errors = nodeErrors([trace]);
    const shares = promptErrors(errors, trace, part!);
    expect(shares).toHaveLength(batch.rows);
    // By hand, for one prompt.
    const row = 5;
    const at = Array.from({ length: batch.last[row]! + 1 }, (_, t) => part!.prefixes.path[row * batch.length + t]!);
    const share = ({ node, unexplained, squared }: NodeError): number => {
      const { rows, values } = trace.own.get(node)!;
      const seen = at.filter((n) => rows.includes(n));
      const mean = seen.reduce((sum, n) => sum + (values[n]! - trace.full.get(node)![n]!) ** 2, 0) / seen.length;
      return squared > 0 && seen.length > 0 ? (unexplained * mean) / squared : 0;
    };
    const expected = errors.reduce((sum, error) => sum + share(error), 0) / errors.length;
    expect(expected).toBeGreaterThan(0);
    expect(shares[row]).toBeCloseTo(expected, 6);
  });

  it("is nothing where nothing is ablated", () => {
    const trace = traced(new Uint8Array(fill.length).fill(1));
    expect(Math.max(...promptErrors(nodeErrors([trace]), trace, part!))).toBeLessThan(1e-6);
  });
});
