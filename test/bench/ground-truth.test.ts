/** Planted circuits are what they say, and what is found of them is measured right. */
import { spawnSync } from "node:child_process";
import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import { type CaseOptions, generate, meansOf } from "../../bench/ground-truth/generate.ts";
import type { TruthResult } from "../../bench/ground-truth/measure.ts";
import { FINDERS, METHODS } from "../../bench/ground-truth/methods.ts";
import { auroc, overlap } from "../../bench/ground-truth/metrics.ts";
import { SHAPES, type Shape } from "../../bench/ground-truth/shapes.ts";
import { summarize } from "../../bench/ground-truth/summary.ts";
import { parseOptions } from "../../bench/options.ts";
import { truthSummaryTable, truthTable } from "../../bench/render.ts";
import type { PairBatch } from "../../src/data/pairs.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { ReferenceEngine } from "../../src/engine/reference.ts";
import { createEngine } from "../../src/engine/select.ts";
import { shapeSize } from "../../src/model/names.ts";
import { CircuitEvaluator } from "../../src/prune/evaluator.ts";
import { countKept, indices, without } from "../../src/prune/kept.ts";
import { scorePairs } from "../../src/prune/pair-scores.ts";
import { Rng } from "../../src/util/rng.ts";
import { checkProperty } from "../support/property.ts";

const SIZES: Record<Shape, { nodes: number; edges: number }> = {
  // Query, key, value and answer of two bits each: reads 6, q, k, v 2 each, writes 2.
  copy: { nodes: 14, edges: 8 },
  // A copy of two bits, then one of one bit whose query is what the first brought.
  binding: { nodes: 25, edges: 14 },
  counting: { nodes: 7, edges: 5 },
  and: { nodes: 14, edges: 9 },
  xor: { nodes: 15, edges: 12 },
};

function solved(options: CaseOptions, engine: Engine = new ReferenceEngine()) {
  const truth = generate(options);
  const { model, means } = meansOf(truth, engine);
  const { config, params } = truth.stored;
  const on = (batch: PairBatch) => new CircuitEvaluator(config, params, means, batch);
  return { truth, model, means, on, all: new Uint8Array(truth.nodes.length).fill(1) };
}

const cases: CaseOptions[] = SHAPES.flatMap((shape) =>
  [
    { width: 32, density: 1 / 16, noise: 0, seed: 0 },
    { width: 32, density: 1 / 16, noise: 0.1, seed: 1 },
    { width: 64, density: 1 / 4, noise: 0, seed: 2 },
    { width: 64, density: 1 / 32, noise: 0.1, seed: 3 },
  ].map((rest) => ({ shape, ...rest })),
);

describe.each(cases)("$shape, width $width, density $density, noise $noise, seed $seed", (options) => {
  const { truth, model, on, all } = solved(options);
  const { test: heldOut, train } = truth.pairs;

  it("the model does the task, and so does the planted circuit alone", () => {
    expect(scorePairs(model, heldOut).loss).toBeLessThan(0.02);
    expect(on(heldOut).score(truth.nodes).loss).toBeLessThan(0.05);
  });

  it("the planted circuit is as large as it says, connected, and needs every node", () => {
    const { nodes, edges } = SIZES[options.shape];
    expect(countKept(truth.nodes)).toBe(nodes);
    expect(truth.edges.length).toBe(edges);
    expect(truth.wiring.connected(truth.nodes)).toEqual(truth.nodes);
    const evaluator = on(train);
    for (const n of indices(truth.nodes)) {
      expect(evaluator.score(without(truth.nodes, [n])).loss, `without node ${n}`).toBeGreaterThan(0.15);
    }
  });

  it("distractors matter if there is noise, and hardly else", () => {
    const evaluator = on(train);
    const circuit = evaluator.score(truth.nodes).margins;
    const rng = Rng.of("distractors", options.seed);
    const others = [all, truth.nodes.map((planted) => (planted || rng.bool() ? 1 : 0))];
    const differences = others.map((kept) =>
      evaluator.score(kept).margins.reduce((most, m, i) => Math.max(most, Math.abs(m - circuit[i]!)), 0),
    );
    // Planted margins are about 8.
    if (options.noise === 0) expect(Math.max(...differences)).toBeLessThan(0.02);
    else expect(differences[0]).toBeGreaterThan(0.05);
  });

  it("distractors are everywhere, as dense as asked", () => {
    const { config, params } = truth.stored;
    for (let layer = 0; layer < config.layers; layer++) {
      for (const name of ["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"]) {
        const values = params.get(`transformer.h.${layer}.${name}.weight`)!;
        const share = values.filter((w) => w !== 0).length / values.length;
        expect(share / options.density, `${layer}.${name}`).toBeGreaterThan(0.5);
        expect(share / options.density, `${layer}.${name}`).toBeLessThan(1.5);
      }
    }
    const distractors = truth.wiring.sources.length - truth.edges.length;
    expect(distractors).toBeGreaterThan(10 * truth.edges.length);
  });

  it("pairs are of equal prompts but for a few tokens, with swapped answers, and splits are different", () => {
    for (const batch of [train, heldOut]) {
      const { tokens, rows, length, last, right, wrong } = batch;
      for (let row = 0; row < rows; row += 2) {
        const [a, b] = [row, row + 1].map((r) => tokens.slice(r * length, (r + 1) * length)) as [
          Int32Array,
          Int32Array,
        ];
        const differ = a.filter((t, i) => t !== b[i]).length;
        expect(differ).toBeGreaterThan(0);
        expect(differ).toBeLessThan(4);
        expect([right[row + 1], wrong[row + 1]]).toEqual([wrong[row], right[row]]);
        expect(last[row]).toBe(length - 1);
      }
    }
    expect(train.tokens.slice(0, 512)).not.toEqual(heldOut.tokens.slice(0, 512));
  });
});

test("same options, same bytes; another seed, other places", () => {
  const options: CaseOptions = { shape: "copy", width: 32, density: 1 / 16, noise: 0.1, seed: 5 };
  const [a, b, c] = [generate(options), generate(options), generate({ ...options, seed: 6 })];
  expect(b).toEqual(a);
  expect(c.nodes).not.toEqual(a.nodes);
  expect(a.stored.params.get("transformer.wte.weight")).toHaveLength(shapeSize([a.stored.config.vocabSize, 32]));
});

test("the search and attribution end at a circuit planted without noise, and rank it above all else", async () => {
  const options: CaseOptions = { shape: "xor", width: 32, density: 1 / 16, noise: 0, seed: 0 };
  const { engine } = await createEngine({ engine: "auto", threads: 1 });
  const { truth, model, means } = solved(options, engine);
  for (const method of ["pruner", "attribution"] as const) {
    const found = await FINDERS[method]({ truth, model, means, target: 0.15, seed: 0, maskSteps: 1 });
    expect(indices(found!.kept), method).toEqual(indices(truth.nodes));
    expect(auroc(found!.scores, truth.nodes), method).toBe(1);
  }
});

describe("metrics", () => {
  const scored = fc.array(fc.tuple(fc.integer({ min: -3, max: 3 }), fc.boolean()), { minLength: 1, maxLength: 60 });

  test("AUROC is the share of pairs in the right order, ties counted half", () => {
    checkProperty(scored, 300, (list) => {
      const of = (truth: boolean) => list.filter(([, t]) => t === truth).map(([score]) => score);
      const [positives, negatives] = [of(true), of(false)];
      let won = 0;
      for (const p of positives) for (const n of negatives) won += p > n ? 1 : p === n ? 0.5 : 0;
      const expected = won / (positives.length * negatives.length);
      const measured = auroc(
        list.map(([score]) => score),
        list.map(([, truth]) => truth),
      );
      if (Number.isNaN(expected)) expect(measured).toBeNaN();
      else expect(measured).toBeCloseTo(expected, 12);
    });
  });

  test("precision and recall", () => {
    expect(overlap([1, 2, 3, 4], [3, 4, 5])).toEqual({ precision: 1 / 2, recall: 2 / 3 });
    expect(overlap([], [1])).toEqual({ precision: 1, recall: 0 });
    const sets = fc.tuple(fc.uniqueArray(fc.nat(20)), fc.uniqueArray(fc.nat(20)));
    checkProperty(sets, 100, ([a, b]) => {
      const [there, back] = [overlap(a, b), overlap(b, a)];
      expect([there.precision, there.recall]).toEqual([back.recall, back.precision]);
    });
  });
});

describe("the command", () => {
  const ARGS = ["--shape", "counting", "--width", "32", "--seeds", "1", "--mask-steps", "5", "--threads", "1"];

  test("a line of JSON for each case and method, then one for each summary", () => {
    const args = ["--import", "tsx", "bench/main.ts", "ground-truth", "--json", ...ARGS];
    const { status, stdout } = spawnSync(process.execPath, args, { encoding: "utf8" });
    expect(status).toBe(0);
    const lines = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    const results = lines.filter((line) => !line.summary) as TruthResult[];
    expect(results.map((r) => [r.noise, r.method])).toEqual([0, 0.1].flatMap((n) => METHODS.map((m) => [n, m])));
    for (const r of results) expect(r).toMatchObject({ shape: "counting", plantedNodes: 7, plantedEdges: 5 });
    expect(results[0]).toMatchObject({ nodes: 7, edges: 5, nodeAuroc: 1, edgeAuroc: 1, plantedOrSmaller: true });
    const random = results.find((r) => r.method === "random")!;
    expect(random).toMatchObject({ plantedOrSmaller: false, nodeRecall: 1 });
    expect(random.nodePrecision).toBeLessThan(0.5);
    const summaries = lines.flatMap((line) => line.summary ?? []);
    expect(summaries).toEqual(summarize(results));
    expect(summaries[0]).toMatchObject({
      method: "pruner",
      cases: 2,
      plantedOrSmaller: 2,
      inside: 2,
      cleanNodeAuroc: 1,
    });
    expect(truthTable(results).split("\n")).toHaveLength(1 + results.length);
    expect(truthSummaryTable(summaries)).toContain("pruner");
  });

  test("a method that finds nothing counts as a miss, ranked by chance", () => {
    const nothing = {
      method: "paper",
      noise: 0,
      nodeAuroc: null,
      edgeAuroc: null,
      plantedOrSmaller: false,
      seconds: 1,
    };
    const perfect = {
      ...nothing,
      nodeAuroc: 1,
      edgeAuroc: 1,
      plantedOrSmaller: true,
      nodePrecision: 1,
      edgePrecision: 1,
    };
    const results = [nothing, perfect, { ...perfect, nodePrecision: 0.9, noise: 0.1 }] as TruthResult[];
    expect(summarize(results)).toEqual([
      {
        method: "paper",
        cases: 3,
        plantedOrSmaller: 2,
        inside: 1,
        cleanNodeAuroc: 0.75,
        cleanEdgeAuroc: 0.75,
        medianSeconds: 1,
      },
    ]);
  });

  test("options", () => {
    const options = parseOptions(["ground-truth", "--width", "40, 64", "--noise", "0.05", "--method", "paper"], 2);
    expect(options).toMatchObject({ widths: [40, 64], noises: [0.05], methods: ["paper"], shapes: SHAPES, seeds: 1 });
  });

  test.each([
    [["--shape", "cpy"], "unknown-shape"],
    [["--method", "prunner"], "unknown-method"],
    [["--width", "33"], "option-value"],
    [["--width", "16"], "option-value"],
    [["--noise", "-1"], "option-value"],
    [["--noise", "some"], "option-value"],
    [["--seeds", "0"], "option-value"],
    [["--steps", "7"], "option-command"],
  ])("%j is refused", (args, code) => {
    expect(() => parseOptions(["ground-truth", ...args], 2)).toThrow(expect.objectContaining({ code, exitCode: 2 }));
  });
});
