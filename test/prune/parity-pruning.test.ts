/** The pruning case against PyTorch's: means, masked losses, mask gradients, the optimiser, bisection, edge counts. */
import { afterAll, describe, expect, it } from "vitest";
import { circuitEdges } from "../../src/circuits/edges.ts";
import { Model } from "../../src/model/model.ts";
import { CircuitEvaluator, supports } from "../../src/prune/evaluator.ts";
import { bisectSize, descending, LearnedMasks, type MaskConfig, topNodes } from "../../src/prune/learned-masks.ts";
import { MaskedModel } from "../../src/prune/masked-model.ts";
import { meanActivations } from "../../src/prune/means.ts";
import { engines } from "../support/engines.ts";
import { expectWithin, flatTokens, readJson, readPack, TOLERANCE } from "../support/fixtures.ts";
import { pruningFixture } from "./pruning-fixture.ts";

interface Masked {
  readonly kept: Record<string, number[]>;
  readonly task_loss: number;
  readonly full_vocab_ce: number;
  readonly nodes: number;
  readonly edges: number;
  readonly edges_per_matrix: Record<string, number>;
}
type Unmasked = Omit<Masked, "kept">;

interface Hyper {
  readonly steps: number;
  readonly lr: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly weight_decay: number;
  readonly k_coef: number;
  readonly temp: number;
  readonly init_noise: number;
  readonly init_bias: number;
  readonly grad_clip: number;
  readonly warmup_frac: number;
}

interface Expected {
  readonly total_nodes: number;
  readonly planted_kept: Record<string, number[]>;
  readonly full: Unmasked;
  readonly planted: Unmasked;
  readonly empty: Unmasked;
  readonly random_masks: Masked[];
  readonly gradient: { hyper: Hyper; task_loss: number; objective: number; kept: number };
  readonly short_run: { task_loss: number; objective: number; k: number; lr: number; grad_norm: number }[];
  readonly bisect: {
    target: number;
    loss_for_k_0_to_40: number[];
    trace: [number, number][];
    k: number;
    kept: Record<string, number[]>;
    edges: number;
  };
}

const { stored, specs, task, batch, fill: means } = pruningFixture();
const expected = readJson<Expected>("pruning", "expected.json");

function maskOf(kept: Record<string, number[]>): Uint8Array {
  const mask = new Uint8Array(expected.total_nodes);
  for (const { name, offset } of specs) for (const c of kept[name] ?? []) mask[offset + c] = 1;
  return mask;
}

const all = new Uint8Array(expected.total_nodes).fill(1);
const none = new Uint8Array(expected.total_nodes);
const cases: { name: string; mask: Uint8Array; is: Unmasked }[] = [
  { name: "full", mask: all, is: expected.full },
  { name: "planted", mask: maskOf(expected.planted_kept), is: expected.planted },
  { name: "empty", mask: none, is: expected.empty },
  ...expected.random_masks.map((is, i) => ({ name: `random ${i}`, mask: maskOf(is.kept), is })),
];

it("lists the sites in flat order", () => {
  const sites = readJson<{ sites: { name: string; width: number }[] }>("pruning", "expected.json").sites;
  expect(specs.map(({ name, width }) => ({ name, width }))).toEqual(sites);
});

describe("edges", () => {
  it.each(cases)("counts those of the $name circuit", ({ mask, is }) => {
    const { edges, perMatrix } = circuitEdges(stored.config, stored.params, mask);
    expect(mask.reduce((sum, m) => sum + m, 0)).toBe(is.nodes);
    expect(perMatrix).toEqual(is.edges_per_matrix);
    expect(edges.length).toBe(is.edges);
  });
});

describe.runIf(supports(stored.config))("circuit evaluator", () => {
  it.each(cases)("gives the loss of the $name circuit", ({ mask, is }) => {
    const evaluator = new CircuitEvaluator(stored.config, stored.params, means, batch);
    expectWithin([evaluator.score(mask).loss], [is.task_loss], TOLERANCE.loss, "task loss");
  });
});

describe.each(engines)("$name", (engineCase) => {
  const engine = engineCase.open();
  afterAll(() => engine.dispose());
  const model = new Model(engine, stored);
  const masked = new MaskedModel(model, means);

  it("gives the mean activations", () => {
    const rows = task.mean_batch_tokens;
    const tokens = { batch: rows.length, length: rows[0]!.length };
    const values = meanActivations(model, [{ ids: flatTokens(rows), tokens }]);
    expectWithin(values, means, TOLERANCE.activation, "means");
  });

  it.each(cases)("gives the losses of the $name circuit", ({ mask, is }) => {
    const logits = masked.logits(batch, Float32Array.from(mask));
    expectWithin([masked.evaluator(batch).score(mask).loss], [is.task_loss], TOLERANCE.loss, "task loss");
    const V = stored.config.vocabSize;
    let sum = 0;
    for (let p = 0; p < batch.rows; p++) {
      const z = logits.subarray(p * V, (p + 1) * V);
      sum += Math.log(z.reduce((total, x) => total + Math.exp(x), 0)) - z[batch.right[p]!]!;
    }
    expectWithin([sum / batch.rows], [is.full_vocab_ce], TOLERANCE.loss, "cross entropy");
  });

  it("gives the planted circuit's logits", () => {
    const { shape, values } = readPack("pruning", "planted_logits").get("logits")!;
    const [rows, length, V] = shape as [number, number, number];
    const logits = masked.logits(batch, Float32Array.from(maskOf(expected.planted_kept)));
    for (let p = 0; p < rows; p++) {
      const at = (p * length + batch.last[p]!) * V;
      expectWithin(logits.subarray(p * V, (p + 1) * V), values.subarray(at, at + V), TOLERANCE.activation, `row ${p}`);
    }
  });

  it("gives the gradient of the objective and follows the optimiser", () => {
    const { hyper } = expected.gradient;
    const tau = readPack("pruning", "tau");
    const config: MaskConfig = {
      steps: hyper.steps,
      lr: hyper.lr,
      beta1: hyper.beta1,
      beta2: hyper.beta2,
      eps: hyper.eps,
      weightDecay: hyper.weight_decay,
      kCoef: hyper.k_coef,
      temperature: hyper.temp,
      initNoise: hyper.init_noise,
      initBias: hyper.init_bias,
      gradClip: hyper.grad_clip,
      warmupFrac: hyper.warmup_frac,
      tiedQk: false,
    };
    const masks = new LearnedMasks(masked, config, 0, tau.get("tau0")!.values);
    const start = masks.objective(batch);
    expect(start.kept).toBe(expected.gradient.kept);
    expectWithin([start.taskLoss], [expected.gradient.task_loss], TOLERANCE.loss, "task loss");
    expectWithin([start.objective], [expected.gradient.objective], TOLERANCE.loss, "objective");
    expectWithin(start.gradient, tau.get("grad0")!.values, TOLERANCE.gradient, "gradient");
    for (const [i, step] of expected.short_run.entries()) {
      const got = masks.step(batch);
      expect(got.kept, `kept at step ${i}`).toBe(step.k);
      expectWithin([got.taskLoss], [step.task_loss], TOLERANCE.loss, `task loss of step ${i}`);
      expectWithin([got.objective], [step.objective], TOLERANCE.loss, `objective of step ${i}`);
      expectWithin([got.lr], [step.lr], TOLERANCE.schedule, `lr of step ${i}`);
      expectWithin([got.gradNorm], [step.grad_norm], TOLERANCE.gradient, `gradient norm of step ${i}`);
    }
    expectWithin(masks.tau, tau.get("tau8")!.values, TOLERANCE.finalWeight, "tau after the run");
  });

  it("finds the same circuit by bisection", () => {
    const { bisect } = expected;
    const order = descending(readPack("pruning", "bisect_tau").get("tau")!.values);
    const evaluator = masked.evaluator(batch);
    const losses = bisect.loss_for_k_0_to_40.map((_, k) => evaluator.score(topNodes(order, k)).loss);
    expectWithin(losses, bisect.loss_for_k_0_to_40, TOLERANCE.loss, "loss for k");
    const { k, trace } = bisectSize(order, (mask) => evaluator.score(mask).loss, bisect.target);
    expect(k).toBe(bisect.k);
    expect(trace.map(([size]) => size)).toEqual(bisect.trace.map(([size]) => size));
    expectWithin(
      trace.map((t) => t[1]),
      bisect.trace.map((t) => t[1]),
      TOLERANCE.loss,
      "trace",
    );
    const kept = topNodes(order, bisect.k);
    expect([...kept]).toEqual([...maskOf(bisect.kept)]);
    expect(circuitEdges(stored.config, stored.params, kept).edges.length).toBe(bisect.edges);
  });
});
