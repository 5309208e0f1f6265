/** The search for faithful circuits: its conditions on a model whose circuit is known, and their gradient. */
import { afterAll, describe, expect, it } from "vitest";
import { Wiring } from "../../src/circuits/wiring.ts";
import { Model } from "../../src/model/model.ts";
import { SITES } from "../../src/model/sites.ts";
import { AblatedTask } from "../../src/prune/ablated-task.ts";
import type { Ablation } from "../../src/prune/ablation.ts";
import { FaithfulTask, otherAblations } from "../../src/prune/faithful.ts";
import { countKept, indices } from "../../src/prune/kept.ts";
import { measureAblation } from "../../src/prune/means.ts";
import { rowsOf } from "../../src/prune/pair-scores.ts";
import { Rng } from "../../src/util/rng.ts";
import { extractorOf } from "../../src/verify/extractor.ts";
import { fastest } from "../support/engines.ts";
import { pruningFixture } from "./pruning-fixture.ts";

const TARGET = 0.15;
const { stored, batch, fill, planted, text } = pruningFixture();
const engine = await fastest.open();
afterAll(() => engine.dispose());
const model = new Model(engine, stored);
const own: Ablation = { kind: "mean", draws: [fill], frozenNorm: false };
const others = otherAblations(own, (kind) => measureAblation(model, text, { kind, frozenNorm: false, seed: 0 }));
const faithful = new FaithfulTask(model, own, { others, target: TARGET, seed: 0 });
const evaluator = faithful.evaluator(batch);

describe("conditions", () => {
  it("are the other ablations and the norms otherwise", () => {
    expect(others.map(({ kind, frozenNorm }) => [kind, frozenNorm])).toEqual([
      ["mean", true],
      ["resample", false],
    ]);
  });

  it("are never below the task loss, and hold of the whole model", () => {
    const alone = new AblatedTask(model, own).evaluator(batch);
    const rng = Rng.of("faithful");
    for (const share of [0, 0.2, 0.5, 0.9, 1]) {
      const kept = planted.map((p) => (p || rng.bool(share) ? 1 : 0));
      expect(evaluator.score(kept).loss).toBeGreaterThanOrEqual(alone.score(kept).loss - 1e-9);
    }
    expect(evaluator.score(new Uint8Array(fill.length).fill(1)).loss).toBeLessThanOrEqual(TARGET);
  });

  it("are missed by a circuit that the model can spare", () => {
    // Half of the model's nodes, those of the circuit not among them: the model does the task without them.
    const rng = Rng.of("spared");
    const kept = planted.map((p) => (p ? 0 : rng.bool() ? 1 : 0));
    expect(evaluator.score(kept).loss).toBeGreaterThan(TARGET);
  });
});

describe("nodes that the model depends on", () => {
  const depended = faithful.dependedOn(batch);

  it("are in the circuit", () => {
    expect(countKept(depended)).toBeGreaterThan(3);
    for (const n of indices(depended)) expect(planted[n], `node ${n}`).toBe(1);
  });

  it("complete a circuit that lacks them, and no other", () => {
    const others = planted.map((p) => 1 - p);
    const completed = faithful.completed(batch, others);
    expect(indices(completed).filter((n) => !others[n]).length).toBeGreaterThan(0);
    expect(faithful.completed(batch, completed)).toEqual(completed);
    expect(faithful.completed(batch, planted)).toEqual(planted);
  });
});

describe("nodes that carry the full model's values", () => {
  const alone = new AblatedTask(model, own);
  const few = rowsOf(batch, 0, 8);
  const whole = new Float32Array(fill.length).fill(1);
  const rng = Rng.of("interchanged gradient");
  const half = Uint8Array.from(fill, () => (rng.bool() ? 1 : 0));

  it("change nothing where none is ablated", () => {
    const { loss } = alone.gradient(few, whole);
    for (const interchanged of [half, half.map((h) => 1 - h), half.map(() => 1)]) {
      expect(alone.gradient(few, whole, { interchanged }).loss).toBeCloseTo(loss, 6);
    }
  });

  it("do the task in a circuit that does not, and have the gradient of the loss", () => {
    const mask = Float32Array.from(fill, () => 0.2 + 0.6 * rng.float());
    const { gradient, loss } = alone.gradient(few, mask, { interchanged: half });
    expect(loss).not.toBeCloseTo(alone.gradient(few, mask).loss, 3);
    const largest = [...gradient.keys()].sort((a, b) => Math.abs(gradient[b]!) - Math.abs(gradient[a]!)).slice(0, 12);
    expect(new Set(largest.map((n) => half[n])).size, "both halves have gradients").toBe(2);
    for (const n of largest) {
      const at = (step: number): number => {
        const moved = mask.slice();
        moved[n]! += step;
        return alone.gradient(few, moved, { interchanged: half }).loss;
      };
      const h = 1e-2;
      expect((at(h) - at(-h)) / (2 * h), `node ${n}`).toBeCloseTo(gradient[n]!, 2);
    }
  });
});

it("has the gradient of its loss", () => {
  const few = rowsOf(batch, 0, 8);
  const rng = Rng.of("faithful gradient");
  const mask = Float32Array.from(fill, () => 0.2 + 0.6 * rng.float());
  const { gradient, loss } = faithful.gradient(few, mask);
  expect(loss).toBeGreaterThan(0);
  const largest = [...gradient.keys()].sort((a, b) => Math.abs(gradient[b]!) - Math.abs(gradient[a]!)).slice(0, 12);
  for (const n of largest) {
    const at = (step: number): number => {
      const moved = mask.slice();
      moved[n]! += step;
      return faithful.gradient(few, moved).loss;
    };
    const h = 1e-2;
    expect((at(h) - at(-h)) / (2 * h), `node ${n}`).toBeCloseTo(gradient[n]!, 2);
  }
});

it("finds a circuit that meets every condition, inside the planted one", async () => {
  const wiring = new Wiring(stored.config, stored.params);
  const pairs = { train: batch, val: batch, test: batch };
  const extractor = extractorOf(model, own, pairs, wiring, {
    sites: SITES,
    faithful: { others, target: TARGET, seed: 0 },
  });
  const options = { target: TARGET, seed: 0, gateRuns: 1, kicks: 3, tiedQk: false, pruneEdges: false };
  const { search } = await extractor.run({ ...options, calibrated: false, curve: false });
  const kept = new Uint8Array(fill.length);
  for (const n of search.best!.kept) kept[n] = 1;
  expect(evaluator.score(kept).loss).toBeLessThanOrEqual(TARGET);
  for (const n of search.best!.kept) expect(planted[n], `node ${n}`).toBe(1);
});
