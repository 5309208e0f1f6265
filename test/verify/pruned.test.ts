/** A circuit on prompts, with interventions in its nodes, against whole forward passes of the engine. */
import { describe, expect, it } from "vitest";
import type { PairBatch } from "../../src/data/pairs.ts";
import type { Activation } from "../../src/engine/engine.ts";
import { ReferenceEngine } from "../../src/engine/reference.ts";
import { Tape } from "../../src/engine/tape.ts";
import type { ModelConfig } from "../../src/model/config.ts";
import { finalHidden, type Hooks, type SiteMask } from "../../src/model/forward.ts";
import { Model } from "../../src/model/model.ts";
import { initParams } from "../../src/model/names.ts";
import { nodeCount, type SiteName, siteSpecs } from "../../src/model/sites.ts";
import type { Ablation } from "../../src/prune/ablation.ts";
import { fullValues } from "../../src/prune/full-values.ts";
import { indices } from "../../src/prune/kept.ts";
import { MaskedModel } from "../../src/prune/masked-model.ts";
import { pickPairs, scorePairs } from "../../src/prune/pair-scores.ts";
import { Pruned } from "../../src/prune/pruned.ts";
import { Rng } from "../../src/util/rng.ts";
import { BASE, someBatch } from "../prune/random-models.ts";

const OPTIONS: Record<string, Partial<ModelConfig>> = {
  plain: {},
  sinks: { sink: true },
  "one layer, LayerNorm, ReLU": { layers: 1, norm: "layer", normBias: true, activation: "relu" },
  "position channels": { positions: "learned-channels", positionChannels: 5 },
  "AbsTopK and sinks": { activationFraction: 0.3, sink: true },
};

const engine = new ReferenceEngine();

function close(actual: ArrayLike<number>, expected: ArrayLike<number>): void {
  expect(actual.length).toBe(expected.length);
  for (let i = 0; i < expected.length; i++) {
    // Both sides store float32 activations and round at different places.
    expect(Math.abs(actual[i]! - expected[i]!), `entry ${i}`).toBeLessThanOrEqual(2e-4 * (1 + Math.abs(expected[i]!)));
  }
}

function setUp(option: Partial<ModelConfig>) {
  const config: ModelConfig = { ...BASE, ...option };
  const rng = Rng.of("pruned", JSON.stringify(option));
  const params = initParams(config, 3);
  for (const values of params.values()) {
    const sparse = values.length > 30;
    for (let i = 0; i < values.length; i++) {
      values[i] = sparse && rng.bool(0.6) ? 0 : values[i]! * 8 + 0.2 * rng.normal();
    }
  }
  const stored = { config, params };
  const nodes = nodeCount(config);
  const kept = Uint8Array.from({ length: nodes }, () => (rng.bool(0.4) ? 1 : 0));
  const fill = () => Float32Array.from({ length: nodes }, () => 0.5 * rng.normal());
  const draws = [fill(), fill(), fill()];
  const ablationOf = (...of: Float32Array[]): Ablation => ({ kind: "resample", draws: of, frozenNorm: false });
  const circuit = { kept, removed: new Set<number>(), scales: new Map<number, number>() };
  const batch = someBatch(rng, config.vocabSize, 5);
  const model = new Model(engine, stored);
  const one = ablationOf(draws[0]!);
  return { rng, config, stored, model, kept, draws, ablationOf, one, circuit, batch };
}

/** Values of every site at every token, flat (B * T, width). */
function recorded(model: Model, { tokens, rows, length }: PairBatch, hooks: Hooks = {}): Map<string, Float32Array> {
  const tape = new Tape(engine, "nothing");
  const out = new Map<string, Float32Array>();
  const record = (name: string, x: Activation): void => void out.set(name, engine.read(x));
  finalHidden(tape, model, tokens, { batch: rows, length }, { ...hooks, record });
  tape.free();
  return out;
}

/** Visits every token of the prompts: its index into B * T, and its prefix. */
function forEachToken(batch: PairBatch, path: Int32Array, visit: (at: number, prefix: number) => void): void {
  for (let row = 0; row < batch.rows; row++) {
    for (let t = 0; t <= batch.last[row]!; t++) visit(row * batch.length + t, path[row * batch.length + t]!);
  }
}

function masksOf(model: Model, kept: Uint8Array, fill: Float32Array): Map<SiteName, SiteMask> {
  return new Map(
    siteSpecs(model.config).map(({ name, offset, width }) => {
      const mask = engine.dense(`${name}.mask`, [width]);
      const mean = engine.dense(`${name}.mean`, [width]);
      engine.writeParam(mask, "value", Float32Array.from(kept.subarray(offset, offset + width)));
      engine.writeParam(mean, "value", fill.slice(offset, offset + width));
      return [name, { mask, mean }];
    }),
  );
}

describe.each(Object.entries(OPTIONS))("%s", (_, option) => {
  const { rng, config, stored, model, kept, draws, ablationOf, one, circuit, batch } = setUp(option);
  const pruned = new Pruned(stored, circuit, one, batch);
  const nodes = indices(kept);
  const specs = siteSpecs(config);
  const placeOf = (n: number) => specs.find(({ offset, width }) => n >= offset && n < offset + width)!;

  it("scores and logits are those of the engine under masks", () => {
    const masked = new MaskedModel(model, draws[0]!);
    close(pruned.score().margins, masked.evaluator(batch).score(kept).margins);
    close(pruned.logits(config.vocabSize), masked.logits(batch, Float32Array.from(kept)));
  });

  it("an intervention that keeps every value changes nothing", () => {
    const same = pruned.score({}, () => new Map(nodes.map((n) => [n, (value: number) => value])));
    close(same.margins, pruned.score().margins);
  });

  it("values of the full model are those that a forward pass records", () => {
    const [part] = pruned.parts;
    const all = Array.from({ length: nodeCount(config) }, (__, n) => n);
    const values = fullValues(model, batch, part!.prefixes, all);
    const expected = recorded(model, batch);
    for (const n of all) {
      const { name, offset, width } = placeOf(n);
      const site = expected.get(name)!;
      forEachToken(batch, part!.prefixes.path, (at, prefix) => {
        expect(values.get(n)![prefix]).toBeCloseTo(site[at * width + n - offset]!, 5);
      });
    }
  });

  it("patched with other values, every kept node carries those, as in the engine", () => {
    const value = (n: number, prefix: number): number => Math.sin(1 + n + 3 * prefix);
    const [part] = pruned.parts;
    const patched = pruned.score({}, () => new Map(nodes.map((n) => [n, (__, prefix) => value(n, prefix)])));
    const tape = new Tape(engine, "nothing");
    const shape = { batch: batch.rows, length: batch.length };
    const patches = new Map(
      specs.map(({ name, offset, width }) => {
        const values = new Float32Array(batch.rows * batch.length * width);
        forEachToken(batch, part!.prefixes.path, (at, prefix) => {
          for (let c = 0; c < width; c++) {
            const n = offset + c;
            values[at * width + c] = kept[n] ? value(n, prefix) : draws[0]![n]!;
          }
        });
        const [x, where] = [tape.keep(tape.alloc(shape, width)), tape.keep(tape.alloc(shape, width))];
        engine.write(x, values);
        engine.fill(where, 1);
        return [name, { values: x, where }] as const;
      }),
    );
    // All rows fit one pass, since patches are of whole batches.
    close(patched.margins, scorePairs(model, batch, { patches }).margins);
    tape.free();
  });

  it("with everything else kept, the full model's own values change nothing", () => {
    const all = kept.map(() => 1);
    const whole = new Pruned(stored, { ...circuit, kept: all }, one, batch);
    const [part] = whole.parts;
    const values = fullValues(model, batch, part!.prefixes, all.keys());
    const intervene = () => new Map(nodes.map((n) => [n, (__: number, prefix: number) => values.get(n)![prefix]!]));
    close(whole.score({}, intervene).margins, scorePairs(model, batch).margins);
  });

  it.each([true, false])("what nodes carry is what the engine records under masks (everywhere: %s)", (everywhere) => {
    const seen = new Pruned(stored, circuit, one, batch, everywhere);
    const [part] = seen.parts;
    const own = seen.values(part!);
    expect([...own.keys()].sort((a, b) => a - b)).toEqual(nodes);
    const expected = recorded(model, batch, { masks: masksOf(model, kept, draws[0]!) });
    const answers = new Set(part!.prefixes.lastRows);
    for (const [n, { values, rows }] of own) {
      const { name, offset, width, layer, site } = placeOf(n);
      const late = layer === config.layers - 1 && (site.startsWith("mlp") || site === "attn.resid_delta");
      expect(rows.length).toBe(late && !everywhere ? answers.size : part!.prefixes.size);
      const there = new Set(rows);
      forEachToken(batch, part!.prefixes.path, (at, prefix) => {
        if (!there.has(prefix)) return;
        const value = expected.get(name)![at * width + n - offset]!;
        expect(Math.abs(values[prefix]! - value)).toBeLessThanOrEqual(2e-4 * (1 + Math.abs(value)));
      });
    }
  });

  it.each([5, 2])("of %d pairs, each is under the draw that it is dealt", (pairs) => {
    const few = pickPairs(
      batch,
      Array.from({ length: pairs }, (__, i) => i),
    );
    const V = config.vocabSize;
    const all = new Pruned(stored, circuit, ablationOf(...draws), few);
    const [margins, logits] = [all.score().margins, all.logits(V)];
    for (let pair = 0; pair < pairs; pair++) {
      const alone = new Pruned(stored, circuit, ablationOf(draws[pair % 3]!), pickPairs(few, [pair]));
      close(margins.slice(2 * pair, 2 * pair + 2), alone.score().margins);
      close(logits.slice(2 * pair * V, (2 * pair + 2) * V), alone.logits(V));
    }
  });

  it("a scaled neuron is one whose outgoing weights are scaled", () => {
    const { offset, width, layer } = specs.findLast(({ site }) => site === "mlp.post_act")!;
    const neurons = nodes.filter((n) => n >= offset && n < offset + width);
    const scales = new Map(neurons.map((n) => [n, 1 + rng.float()]));
    const name = `transformer.h.${layer}.mlp.c_proj.weight`;
    const weights = stored.params.get(name)!.map((w, i) => w * (scales.get(offset + (i % width)) ?? 1));
    const other = { config, params: new Map(stored.params).set(name, weights) };
    const scaled = new Pruned(stored, { ...circuit, scales }, one, batch);
    const expected = new Pruned(other, circuit, one, batch);
    close(scaled.score().margins, expected.score().margins);
    close(scaled.logits(config.vocabSize), expected.logits(config.vocabSize));
    expect(scaled.score().margins).not.toEqual(pruned.score().margins);
    // What a node is given instead is not scaled.
    const given = () => new Map(neurons.map((n) => [n, () => 0.3]));
    close(scaled.score({}, given).margins, pruned.score({}, given).margins);
  });
});
