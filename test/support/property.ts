/** Laws over drawn inputs: fast-check with a fixed seed, so that a run repeats; set FC_SEED to explore others. */
import fc from "fast-check";
import type { Engine } from "../../src/engine/engine.ts";
import { Rng } from "../../src/util/rng.ts";
import { guarded } from "./engines.ts";

export function checkProperty<T>(arbitrary: fc.Arbitrary<T>, numRuns: number, law: (value: T) => void): void {
  const seed = Number(process.env.FC_SEED ?? 20251113);
  fc.assert(
    fc.property(arbitrary, (value) => law(value)),
    { numRuns, seed },
  );
}

export const tokensArbitrary = fc.record({
  seed: fc.nat(),
  batch: fc.integer({ min: 1, max: 3 }),
  length: fc.integer({ min: 1, max: 70 }),
  width: fc.integer({ min: 1, max: 70 }),
  ties: fc.boolean(),
});

export function drawValues(seed: number, size: number, ties = false): Float32Array {
  const rng = Rng.of("laws", seed);
  return Float32Array.from({ length: size }, () => (ties ? rng.int(-1, 1) : rng.normal()));
}

export function withEngine<T>(open: () => Engine, use: (engine: Engine) => T): void {
  const engine = open();
  use(guarded(engine, false));
  engine.dispose();
}
