/** The two sides as processes of their own: neither shares memory or caches of an allocator with the other. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { EngineInfo } from "../src/engine/engine.ts";
import type { EngineChoice } from "../src/engine/select.ts";
import type { Contender, StepAnswer } from "./alternate.ts";
import { type Batch, type Case, stepConfig } from "./cases.ts";
import { Child } from "./child.ts";
import { cycleOf, type Mode } from "./mode.ts";

export interface PeerInfo {
  readonly torch: string;
  readonly blas: string;
  /** The library of matrix products is an optimised one. */
  readonly fast: boolean;
  readonly threads: number;
}

const fileBeside = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

/** One side of a comparison. */
export class Side<Info> implements Contender {
  readonly info: Info;
  readonly cycle: number;
  private readonly child: Child;

  constructor(child: Child, info: Info, cycle = 1) {
    this.child = child;
    this.info = info;
    this.cycle = cycle;
  }

  step({ ids, targets }: Batch): Promise<StepAnswer> {
    return this.child.ask<StepAnswer>({ cmd: "step", ids: [...ids], targets: [...targets] });
  }

  /** [nonzeros, norm] of each parameter. */
  params(): Promise<Record<string, [number, number]>> {
    return this.child.ask({ cmd: "params" });
  }

  /** Of our side: nonzero weights, and bytes that the engine holds. */
  size(): Promise<{ readonly nonzeros: number; readonly bytes: number }> {
    return this.child.ask({ cmd: "size" });
  }

  async peakMb(): Promise<number> {
    const { peakMb } = await this.child.ask<{ peakMb: number }>({ cmd: "peak" });
    return peakMb;
  }

  close(): Promise<void> {
    return this.child.close();
  }
}

/** What our side is started with. */
export interface Init {
  readonly case: Case;
  readonly density: number;
  readonly engine: EngineChoice;
  readonly threads: number;
  readonly mode: Mode;
  /** A training step, or one that learns masks of a model that was trained for a few. */
  readonly work: "training" | "pruning";
}

export interface OursSetup {
  /** Default: native. */
  readonly engine?: EngineChoice;
  readonly threads: number;
  /** Default: exact. */
  readonly mode?: Mode;
  /** Default: training. */
  readonly work?: Init["work"];
  /** Default: what `SPARSE_ISA` says, or the fastest set of the machine. */
  readonly isa?: string;
}

export async function startOurs(c: Case, density: number, setup: OursSetup): Promise<Side<EngineInfo>> {
  const { engine = "native", threads, mode = "exact", work = "training", isa } = setup;
  const args = ["--import", import.meta.resolve("tsx"), fileBeside("./ours.ts")];
  const child = new Child("our side", process.execPath, args, isa === undefined ? {} : { SPARSE_ISA: isa });
  const init: Init = { case: c, density, engine, threads, mode, work };
  return new Side(child, await child.ask<EngineInfo>({ cmd: "init", ...init }), cycleOf(mode));
}

/** A Python 3 that has PyTorch, or undefined. */
export function findTorch(): string | undefined {
  const has = (python: string): boolean => spawnSync(python, ["-c", "import torch"], { stdio: "ignore" }).status === 0;
  return ["python3", "/usr/bin/python3"].find(has);
}

export const TORCH_MISSING =
  "PyTorch is not installed, so our side runs alone. On Debian: apt-get install python3-torch libopenblas0-pthread";

export const SLOW_BLAS =
  "WARNING: PyTorch runs on an unoptimised BLAS, so the ratio is unfair to it. On Debian: apt-get install libopenblas0-pthread";

export interface PeerSetup {
  readonly threads: number;
  readonly blasThreads: number;
  readonly lr?: number;
  /** Initial values for all parameters; default: random ones of the same distribution as ours. */
  readonly weights?: string;
  /** Our rule for equal magnitudes in AbsTopK, at a price. */
  readonly stable?: boolean;
}

export async function startPeer(python: string, c: Case, density: number, setup: PeerSetup): Promise<Side<PeerInfo>> {
  const { threads, blasThreads, lr, weights, stable = false } = setup;
  const child = new Child("PyTorch", python, [fileBeside("./torch_step.py")], {
    OPENBLAS_NUM_THREADS: String(blasThreads),
    OMP_WAIT_POLICY: "passive",
  });
  const training = stepConfig(c, density, { lr });
  const init = { cmd: "init", model: c.model, training, threads, seed: 0, weights: weights ?? null, stable };
  return new Side(child, await child.ask<PeerInfo>(init));
}
