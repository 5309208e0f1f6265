/** Our step against itself: on 1, 2, ... threads, or with each instruction set of this machine. */
import { type ChildProcess, spawn } from "node:child_process";
import type { EngineInfo } from "../src/engine/engine.ts";
import { nativeIsas } from "../src/engine/native/engine.ts";
import { alternate, round, type Timing, timingOf } from "./alternate.ts";
import type { Case } from "./cases.ts";
import type { Mode } from "./mode.ts";
import type { Options } from "./options.ts";
import { type OursSetup, type Side, startOurs } from "./sides.ts";

export interface VersionResult extends Timing {
  readonly case: string;
  readonly density: number;
  readonly mode: Mode;
  readonly threads: number;
  readonly isa: string;
  /** Processes that spun beside it. */
  readonly busy: number;
  /** Time of the first version / time of this one: above 1 is faster. */
  readonly ratio: number;
  /** The same of the fastest samples. */
  readonly ratioOfFastest: number;
  readonly steps: number;
}

/** On 1, 2, 4, ... and `options.threads` threads. */
export function compareThreads(c: Case, density: number, mode: Mode, options: Options): Promise<VersionResult[]> {
  const counts: number[] = [];
  for (let n = 1; n < options.threads; n *= 2) counts.push(n);
  return versions(
    c,
    density,
    options,
    [...counts, options.threads].map((threads) => ({ mode, threads })),
  );
}

/** The fastest set first. */
export function compareIsas(c: Case, density: number, mode: Mode, options: Options): Promise<VersionResult[]> {
  const { threads } = options;
  const isas = nativeIsas().reverse();
  return versions(
    c,
    density,
    options,
    isas.map((isa) => ({ mode, threads, isa })),
  );
}

async function versions(
  c: Case,
  density: number,
  options: Options,
  setups: readonly (OursSetup & { readonly mode: Mode })[],
): Promise<VersionResult[]> {
  const sides: Side<EngineInfo>[] = [];
  const spinning: ChildProcess[] = [];
  try {
    for (const setup of setups) sides.push(await startOurs(c, density, setup));
    for (let i = 0; i < options.busy; i++) {
      // Ends with its parent: its input is then closed.
      const loop =
        "process.stdin.on('end', () => process.exit()).resume(); setInterval(() => {}, 0); " +
        "const spin = () => { const end = Date.now() + 50; while (Date.now() < end); setImmediate(spin); }; spin();";
      spinning.push(spawn(process.execPath, ["-e", loop], { stdio: ["pipe", "ignore", "ignore"] }));
    }
    const timings = (await alternate(c, sides, options)).map(timingOf);
    return timings.map((timing, i) => ({
      case: c.name,
      density,
      mode: setups[i]!.mode,
      threads: sides[i]!.info.threads,
      isa: sides[i]!.info.isa,
      busy: options.busy,
      ...timing,
      ratio: round(timings[0]!.ms / timing.ms, 3),
      ratioOfFastest: round(timings[0]!.minMs / timing.minMs, 3),
      steps: options.steps,
    }));
  } finally {
    for (const child of spinning) child.kill();
    for (const side of sides) await side.close();
  }
}
