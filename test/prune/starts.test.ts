/** What a search begins with and what follows it, on the planted circuit: gates, the curve, and edges that can go. */
import { describe, expect, it } from "vitest";
import { Wiring } from "../../src/circuits/wiring.ts";
import { ReferenceEngine } from "../../src/engine/reference.ts";
import { Model } from "../../src/model/model.ts";
import { AblatedTask } from "../../src/prune/ablated-task.ts";
import { dealt, gathered } from "../../src/prune/ablation.ts";
import { pairStandardError } from "../../src/prune/candidate.ts";
import { lossCurve } from "../../src/prune/curve.ts";
import { countKept } from "../../src/prune/kept.ts";
import { measureAblation } from "../../src/prune/means.ts";
import { removeEdges } from "../../src/prune/remove-edges.ts";
import { gateCircuits, rankings } from "../../src/prune/starts.ts";
import { pruningFixture } from "./pruning-fixture.ts";

const { stored, batch, fill, planted } = pruningFixture();
const model = new Model(new ReferenceEngine(), stored);
const task = new AblatedTask(model, { kind: "mean", draws: [fill], frozenNorm: false });
const wiring = new Wiring(stored.config, stored.params);
const evaluator = task.evaluator(batch);
const connected = (kept: Uint8Array, removed?: ReadonlySet<number>) => wiring.connected(kept, removed);
const size = (kept: Uint8Array) => ({ nodes: countKept(kept), edges: wiring.countEdges(kept) });
const halted = async () => false;
const [, , order] = await rankings(task, batch, {});

async function gates(seed: number) {
  return gateCircuits(task, batch, { order: order!, edges: wiring, connected, score: evaluator, target: 0.15, seed });
}
const circuits = await gates(0);

describe("gates", () => {
  it("go through ever smaller circuits that do the task, to one of about the planted size", () => {
    const nodes = circuits.map(countKept);
    expect(nodes.length).toBeGreaterThan(2);
    expect(nodes.every((n, i) => i === 0 || n < nodes[i - 1]!)).toBe(true);
    for (const kept of circuits) {
      expect(evaluator.score(kept).loss).toBeLessThanOrEqual(0.15);
      expect(connected(kept)).toEqual(kept);
    }
    expect(nodes[nodes.length - 1]).toBeLessThanOrEqual(2 * countKept(planted));
  });

  it("go the same way for the same seed, and another for another", async () => {
    expect(await gates(0)).toEqual(circuits);
    expect(await gates(1)).not.toEqual(circuits);
  });

  it("stop when they are asked to", async () => {
    const signal = AbortSignal.abort();
    const run = { order: order!, edges: wiring, connected, score: evaluator, target: 0.15, seed: 0, signal };
    expect(await gateCircuits(task, batch, run)).toEqual([]);
  });
});

describe("the curve", () => {
  it("holds at each target, and needs no more edges for a looser one", async () => {
    const starts = [...circuits, new Uint8Array(fill.length).fill(1)];
    const points = await lossCurve({ search: evaluator, verify: evaluator, connected, size, starts, halted });
    expect(points.length).toBeGreaterThan(3);
    for (const [i, { target, kept, nodes, edges }] of points.entries()) {
      const score = evaluator.score(kept);
      expect(score.loss + 2 * pairStandardError(score)).toBeLessThanOrEqual(target);
      expect(size(kept)).toEqual({ nodes, edges });
      if (i > 0) expect(target).toBeLessThan(points[i - 1]!.target);
      if (i > 0) expect(edges).toBeGreaterThanOrEqual(points[i - 1]!.edges);
    }
  });
});

describe("removing edges", () => {
  it("ends where no single edge can go, and leaves no node without a path", async () => {
    const start = circuits[0]!;
    const edgesOf = (kept: Uint8Array, removed: ReadonlySet<number>) => wiring.edgesOf(kept, removed);
    const problem = { target: 0.15, search: evaluator, verify: evaluator, edgesOf, connected, halted };
    const { kept, removed, edges, nodes } = await removeEdges(start, problem);
    expect(edges).toBeLessThan(wiring.countEdges(start));
    expect([nodes, edges]).toEqual([countKept(kept), wiring.countEdges(kept, removed)]);
    expect(connected(kept, removed)).toEqual(kept);
    const holds = (without: ReadonlySet<number>): boolean => {
      const score = evaluator.score(connected(kept, without), without);
      return score.loss <= 0.15 && score.loss + 2 * pairStandardError(score) <= 0.15;
    };
    expect(holds(removed)).toBe(true);
    for (const edge of edgesOf(kept, removed)) expect(holds(new Set(removed).add(edge)), `without ${edge}`).toBe(false);
  });
});

describe("ablation", () => {
  it("deals pairs to draws and puts their numbers back in order", () => {
    for (const draws of [1, 2, 3, 8, 40]) {
      const parts = dealt(batch, draws).filter((part) => part.rows > 0);
      const numbers = parts.map((part) => Array.from(part.right, (right, i) => 1000 * right + part.last[i]!));
      expect([...gathered(numbers, batch.rows)]).toEqual(Array.from(batch.right, (r, i) => 1000 * r + batch.last[i]!));
    }
  });

  it("resamples what nodes were at tokens of text: the loss is over all draws", () => {
    const text = [{ ids: batch.tokens, tokens: { batch: batch.rows, length: batch.length } }];
    const ablation = measureAblation(model, text, { kind: "resample", frozenNorm: false, seed: 3 });
    expect(ablation.draws.length).toBeGreaterThan(1);
    // Tokens are drawn with replacement.
    expect(new Set(ablation.draws.map(String)).size).toBeGreaterThan(4);
    const resampled = new AblatedTask(model, ablation);
    const all = new Uint8Array(fill.length).fill(1);
    // Everything kept, nothing is resampled.
    resampled
      .evaluator(batch)
      .score(all)
      .margins.forEach((m, p) => {
        expect(m).toBeCloseTo(evaluator.score(all).margins[p]!, 3);
      });
    const mask = Float32Array.from(planted, (x) => 0.5 + 0.5 * x);
    const { gradient, loss } = resampled.gradient(batch, mask);
    const h = 1e-2;
    const at = planted.indexOf(1);
    const moved = (by: number) =>
      resampled.gradient(
        batch,
        mask.map((m, n) => (n === at ? m + by : m)),
      ).loss;
    expect(gradient[at]).toBeCloseTo((moved(h) - moved(-h)) / (2 * h), 2);
    expect(loss).toBeGreaterThan(0);
  });
});
