/** What this machine's cores and memory can do at most: the measure for every kernel. */

import { loadAddon } from "../src/engine/native/addon.ts";
import { ISAS, nativeIsas } from "../src/engine/native/engine.ts";
import { round } from "./alternate.ts";
import type { Options } from "./options.ts";

export interface LimitsResult {
  readonly isa: string;
  readonly threads: number;
  /** Multiply-adds on registers, counted as two. */
  readonly gflops: number;
  /** Read from memory, of an array far larger than the caches. */
  readonly gbPerSecond: number;
}

const ROUNDS = 4_000_000;
const MEMORY_FLOATS = 1 << 26;

/** The fastest of `times` repetitions. */
function fastest(times: number, run: () => void): number {
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < times; i++) {
    const start = performance.now();
    run();
    best = Math.min(best, performance.now() - start);
  }
  return best;
}

/** Of each instruction set on 1 thread, and on `options.threads`; the fastest set first. */
export function measureLimits(options: Options): LimitsResult[] {
  const addon = loadAddon();
  const large = new Float32Array(MEMORY_FLOATS).fill(1);
  return nativeIsas()
    .reverse()
    .flatMap((isa) =>
      [...new Set([1, options.threads])].map((threads) => {
        const context = addon.engine(ISAS.indexOf(isa), threads);
        const flop = addon.peakFma(context, ROUNDS);
        const times = 4 * (options.warmup + options.steps);
        const fma = fastest(times, () => addon.peakFma(context, ROUNDS));
        const memory = fastest(times, () => addon.peakRead(context, large));
        return {
          isa,
          threads,
          gflops: round(flop / fma / 1e6, 1),
          gbPerSecond: round(large.byteLength / memory / 1e6, 1),
        };
      }),
    );
}
