/** Pruning at some sites only, on the planted circuit: what stays, what goes, and that gradients leave alone what stays. */
import { afterAll, describe, expect, it } from "vitest";
import { Wiring } from "../../src/circuits/wiring.ts";
import { Model } from "../../src/model/model.ts";
import { SITES, type Site } from "../../src/model/sites.ts";
import { AblatedTask } from "../../src/prune/ablated-task.ts";
import { indices, maskOf, without } from "../../src/prune/kept.ts";
import { heldOpen, joined, standing } from "../../src/prune/stays.ts";
import { extractorOf } from "../../src/verify/extractor.ts";
import { fastest } from "../support/engines.ts";
import { pruningFixture } from "./pruning-fixture.ts";

const { stored, batch, fill } = pruningFixture();
const engine = await fastest.open();
afterAll(() => engine.dispose());
const model = new Model(engine, stored);
const ablation = { kind: "mean", draws: [fill], frozenNorm: false } as const;
const task = new AblatedTask(model, ablation);
const wiring = new Wiring(stored.config, stored.params);
const evaluator = task.evaluator(batch);
const TARGET = 0.15;

async function extracted(sites: readonly Site[]): Promise<Uint8Array> {
  const pairs = { train: batch, val: batch, test: batch };
  const { search } = await extractorOf(model, ablation, pairs, wiring, { sites }).run({
    target: TARGET,
    seed: 0,
    gateRuns: 1,
    kicks: 3,
    tiedQk: false,
    pruneEdges: false,
    calibrated: false,
    curve: false,
  });
  expect(search.best?.minimal).toBe(true);
  return maskOf(search.best!.kept, task.nodes);
}

describe("pruning at some sites", () => {
  it.each([[["attn.v"]], [["mlp.post_act", "attn.q", "attn.k"]]] as [Site[]][])(
    "leaves the others whole: %j",
    async (sites) => {
      const stays = standing(task.specs, sites)!;
      const kept = await extracted(sites);
      expect(wiring.connected(joined(kept, stays))).toEqual(kept);
      expect(evaluator.score(kept).loss).toBeLessThanOrEqual(TARGET);
      for (const node of indices(kept).filter((n) => !stays[n])) {
        expect(evaluator.score(wiring.connected(without(kept, [node]))).loss).toBeGreaterThan(TARGET);
      }
      expect(indices(kept).length).toBeGreaterThan(indices(await extracted(SITES)).length);
    },
  );

  it("is the same as pruning everywhere when all sites are named", () => {
    expect(standing(task.specs, SITES)).toBeUndefined();
  });

  it("gives no gradient for what stays, and the others' with it on", () => {
    const stays = standing(task.specs, ["attn.v"])!;
    const mask = new Float32Array(task.nodes).fill(0.3);
    const { loss, gradient } = heldOpen(task, stays).gradient(batch, mask);
    const open = task.gradient(
      batch,
      mask.map((m, n) => (stays[n] ? 1 : m)),
    );
    expect(loss).toBe(open.loss);
    expect(gradient).toEqual(open.gradient.map((g, n) => (stays[n] ? 0 : g)));
    expect(gradient.some((g) => g !== 0)).toBe(true);
  });
});
