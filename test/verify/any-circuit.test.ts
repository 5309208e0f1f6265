/** No check throws or reports what is not a number, whatever the model, the circuit and its ablation are. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { reportSchema } from "../../src/circuits/verification.ts";
import { Wiring } from "../../src/circuits/wiring.ts";
import type { ModelConfig } from "../../src/model/config.ts";
import { initParams } from "../../src/model/names.ts";
import { nodeCount } from "../../src/model/sites.ts";
import { ABLATIONS } from "../../src/prune/ablation.ts";
import { Rng } from "../../src/util/rng.ts";
import type { Place } from "../../src/verify/subject.ts";
import { verify } from "../../src/verify/verify.ts";
import { BASE, someBatch } from "../prune/random-models.ts";
import { always, IDENTITY, subjectOf } from "./subject.ts";

const OPTIONS: readonly Partial<ModelConfig>[] = [
  {},
  { sink: true },
  { layers: 1, norm: "layer", normBias: true, activation: "relu", bias: false },
  { layers: 3, tiedUnembed: true, bigram: "none" },
  { positions: "added" },
  { positions: "learned-channels", positionChannels: 5 },
  { activationFraction: 0.3, sink: true },
];

const cases = fc.record({
  seed: fc.nat(),
  option: fc.constantFrom(...OPTIONS),
  pairs: fc.integer({ min: 1, max: 4 }),
  kept: fc.constantFrom(0, 0.02, 0.2, 1),
  removed: fc.constantFrom(0, 0.3, 1),
  scaled: fc.constantFrom(0, 0.2),
  weights: fc.constantFrom(0, 1, 8),
  kind: fc.constantFrom(...ABLATIONS),
  frozenNorm: fc.boolean(),
  faithful: fc.boolean(),
});

it("holds for drawn models", { timeout: 120_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(
      cases,
      async ({ seed, option, pairs, kept, removed, scaled, weights, kind, frozenNorm, faithful }) => {
        const rng = Rng.of("any circuit", seed);
        const config: ModelConfig = { ...BASE, ...option };
        const params = initParams(config, seed);
        for (const [name, values] of params) {
          if (name.includes("ln_")) continue;
          // Sparse, and larger than a fresh model; with 0 no node does anything.
          for (let i = 0; i < values.length; i++) values[i] = rng.bool(0.7) ? 0 : weights * values[i]!;
        }
        const mask = Uint8Array.from({ length: nodeCount(config) }, () => (rng.bool(kept) ? 1 : 0));
        const edges = new Wiring(config, params).edgesOf(mask);
        const nodes = Array.from(mask.keys()).filter((n) => mask[n]);
        const place: Place = { name: "elsewhere", pairs: () => someBatch(rng, config.vocabSize, 2) };
        const ids = Int32Array.from({ length: 4 * 12 }, () => rng.int(0, config.vocabSize - 1));
        const subject = subjectOf({
          stored: { config, params },
          kept: mask,
          removed: new Set(edges.filter(() => rng.bool(removed))),
          scales: new Map(nodes.filter(() => rng.bool(scaled)).map((n) => [n, 1.3])),
          pairs: always(someBatch(rng, config.vocabSize, pairs)),
          text: [{ ids, tokens: { batch: 4, length: 12 } }],
          ablation: { kind, frozenNorm },
          places: [place],
          faithful,
        });
        const report = await verify(subject, IDENTITY, { form: "short", seed });
        expect(reportSchema.parse(JSON.parse(JSON.stringify(report)))).toEqual(report);
        expect(JSON.stringify(report)).not.toMatch(/NaN|Infinity/);
      },
    ),
    { numRuns: Number(process.env.RUNS ?? 8), seed: Number(process.env.FC_SEED ?? 20251113) },
  );
});
