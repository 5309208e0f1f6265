/** Where our step spends its time: the engine's methods with a timer around each. */
import type { Engine, Param } from "../src/engine/engine.ts";
import { Model } from "../src/model/model.ts";
import { initParams, shapeSize } from "../src/model/names.ts";
import { Stepper } from "../src/train/step.ts";
import { batchOf, type Case, stepConfig } from "./cases.ts";

export interface OpTime {
  /** Kernel and, where it has one, the parameter or width it works on, all layers together. */
  readonly op: string;
  readonly calls: number;
  /** A step. */
  readonly ms: number;
  readonly share: number;
  /** Multiply-adds counted as two; of products only. A gradient of a weight counts all its entries. */
  readonly gflops: number | null;
}

export interface OpsResult {
  readonly case: string;
  readonly density: number;
  readonly isa: string;
  readonly threads: number;
  /** Means over the faster half of the steps, so that parts add up and other jobs of the machine disturb little. */
  readonly stepMs: number;
  /** The step's time outside of the kernels: tape, handles, schedules. Timers included. */
  readonly jsMs: number;
  readonly ops: readonly OpTime[];
}

interface Total {
  calls: number;
  ms: number;
  flop: number;
}

const isParam = (x: unknown): x is Param => typeof x === "object" && x !== null && "kind" in x && "name" in x;
const width = (x: unknown): number => (x as { width?: number } | undefined)?.width ?? 0;

/** `c_fc.weight` of any layer. */
function label(method: string, args: readonly unknown[]): string {
  if (method === "clearGrads" || method === "gradSumSquares") return method;
  const param = args.find(isParam);
  if (param) return `${method} ${param.name.split(".").slice(-2).join(".")}`;
  return method.startsWith("absTopK") ? `${method} ${width(args[0])}` : method;
}

/** A copy of the engine whose methods are timed; the engine's own calls to itself are not counted twice. */
class TimedEngine {
  readonly totals = new Map<string, Total>();
  readonly engine: Engine;
  private readonly target: Engine;

  constructor(target: Engine) {
    this.target = target;
    const engine = Object.create(target) as Record<string, unknown>;
    for (const method of Object.getOwnPropertyNames(Object.getPrototypeOf(target))) {
      const run = target[method as keyof Engine] as unknown;
      if (method !== "constructor" && typeof run === "function") engine[method] = this.timed(method, run);
    }
    this.engine = engine as unknown as Engine;
  }

  // biome-ignore lint/complexity/noBannedTypes: any method of the engine
  private timed(method: string, run: Function): (...args: unknown[]) => unknown {
    return (...args) => {
      const start = performance.now();
      const result: unknown = run.apply(this.target, args);
      const ms = performance.now() - start;
      const key = label(method, args);
      let total = this.totals.get(key);
      if (!total) {
        total = { calls: 0, ms: 0, flop: 0 };
        this.totals.set(key, total);
      }
      total.calls++;
      total.ms += ms;
      total.flop += this.work(method, args);
      return result;
    };
  }

  private work(method: string, args: readonly unknown[]): number {
    const x = args[0] as { tokens?: { batch: number; length: number } };
    const { batch, length } = x?.tokens ?? { batch: 0, length: 0 };
    const param = args.find(isParam);
    switch (method) {
      case "linear":
      case "linearBackwardInput":
        return 2 * batch * length * this.target.nonzeros(param!);
      case "linearBackwardWeight":
        return 2 * batch * length * shapeSize(param!.shape);
      case "attention":
        return 2 * batch * length * length * width(x);
      case "attentionBackward":
        return 5 * batch * length * length * width(x);
      default:
        return 0;
    }
  }
}

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** Not kernels: the pool of handles and views. */
const HANDLES = new Set(["activation", "keptSet", "slice", "release"]);

export function profile(real: Engine, c: Case, density: number, run: { warmup: number; steps: number }): OpsResult {
  const timer = new TimedEngine(real);
  const model = new Model(timer.engine, { config: c.model, params: initParams(c.model, 0) });
  const stepper = new Stepper(model, stepConfig(c, density));
  const steps: { ms: number; totals: Map<string, Total> }[] = [];
  for (let i = 0; i < run.warmup + run.steps; i++) {
    const { ids, targets } = batchOf(c, i);
    timer.totals.clear();
    const start = performance.now();
    stepper.step(i, ids, targets, c.tokens);
    const ms = performance.now() - start;
    if (i >= run.warmup) steps.push({ ms, totals: new Map(timer.totals) });
  }
  steps.sort((a, b) => a.ms - b.ms);
  steps.length = Math.ceil(steps.length / 2);
  const stepMs = mean(steps.map((s) => s.ms));
  const ops = [...steps[0]!.totals]
    .filter(([op]) => !HANDLES.has(op))
    .map(([op, { calls, flop }]) => {
      const ms = mean(steps.map((s) => s.totals.get(op)?.ms ?? 0));
      return { op, calls, ms, share: ms / stepMs, gflops: flop > 0 ? flop / ms / 1e6 : null };
    })
    .sort((a, b) => b.ms - a.ms);
  const jsMs = stepMs - ops.reduce((sum, op) => sum + op.ms, 0);
  return { case: c.name, density, isa: real.info.isa, threads: real.info.threads, stepMs, jsMs, ops };
}
