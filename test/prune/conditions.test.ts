/** The conditions of a faithful circuit on the model with a planted one: each is a score that says how far it is met. */
import { afterAll, describe, expect, it } from "vitest";
import { Model } from "../../src/model/model.ts";
import { AblatedTask } from "../../src/prune/ablated-task.ts";
import type { Ablation } from "../../src/prune/ablation.ts";
import { Conditions, RANDOM } from "../../src/prune/conditions.ts";
import { lossOfMargins } from "../../src/prune/evaluator.ts";
import { type NodeError, nodeErrors, promptErrors } from "../../src/prune/fidelity.ts";
import { fullValues } from "../../src/prune/full-values.ts";
import { indices, without } from "../../src/prune/kept.ts";
import { NodeCosts } from "../../src/prune/node-costs.ts";
import { rowsOf } from "../../src/prune/pair-scores.ts";
import { Pruned } from "../../src/prune/pruned.ts";
import { Rng } from "../../src/util/rng.ts";
import { fastest } from "../support/engines.ts";
import { pruningFixture } from "./pruning-fixture.ts";

const TARGET = 0.15;
const { stored, batch, fill, planted } = pruningFixture();
const engine = await fastest.open();
afterAll(() => engine.dispose());
const model = new Model(engine, stored);
const ablation: Ablation = { kind: "mean", draws: [fill], frozenNorm: false };
const own = new AblatedTask(model, ablation);
const costs = new NodeCosts(own.passes(batch), own.specs);
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

it("draw other nodes for other seeds and other pairs, the same for the same", () => {
  const some = circuits[1]!;
  const losses = (seed: number, of = batch) => conditionsOf(seed, of).map((condition) => condition(some).loss);
  const first = losses(0);
  expect(losses(0)).toEqual(first);
  const changed = (other: readonly number[]) => other.filter((loss, i) => loss !== first[i]).length;
  // Three fractions left on and two of values from the model.
  expect(changed(losses(1))).toBe(5);
  expect(changed(losses(0, rowsOf(batch, 2, batch.rows)))).toBeGreaterThan(5);
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
