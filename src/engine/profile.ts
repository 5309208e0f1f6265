/**
 * Where time goes: any engine with a timer around each of its kernels. Use `engine` in place of the real one; `lap` then
 * tells what was done since the last lap. Memory handles are not kernels: their time is part of what is left over, with
 * the tape and everything else that is JavaScript. Kernels run one by one, where they would otherwise run together while
 * their data is in cache: the whole is some percent slower than without timers.
 */
import type { Engine, Param, UnembedLoss } from "./engine.ts";

export interface OpTotal {
  calls: number;
  ms: number;
  /** Multiply-adds counted as two; of products only. A gradient of a weight counts all its entries. */
  flop: number;
}

/** What was done in a stretch of time. */
export interface Lap {
  /** All of it, in the kernels and outside. */
  readonly ms: number;
  /** By kernel and, where it has one, the parameter or width it works on, all layers together. */
  readonly ops: ReadonlyMap<string, OpTotal>;
}

/** One line of a profile. */
interface OpShare {
  readonly op: string;
  /** Calls, time and work of one step. */
  readonly calls: number;
  readonly ms: number;
  readonly share: number;
  readonly gflops: number | null;
}

export interface ProfileReport {
  readonly steps: number;
  readonly stepMs: number;
  /** Time of a step outside of the kernels. */
  readonly jsMs: number;
  readonly jsShare: number;
  /** Most time first. */
  readonly ops: readonly OpShare[];
}

/** Methods that hand out memory, free it or look: not kernels. */
const HANDLES: ReadonlySet<string> = new Set([
  ...["constructor", "activation", "keptSet", "slice", "release", "dispose"],
  ...["memoryBytes", "mayWait", "nonzeros", "dense", "sparse"],
]);

/** Their work is a multiply-add for each token and nonzero weight. */
const PRODUCTS: ReadonlySet<string> = new Set(["linear", "linearBackwardInput", "linearBackwardWeightKept"]);

const isParam = (x: unknown): x is Param => typeof x === "object" && x !== null && "kind" in x && "name" in x;

/** `c_fc.weight` of any layer. */
function label(method: string, args: readonly unknown[]): string {
  if (method === "clearGrads" || method === "gradSumSquares") return method;
  const param = args.find(isParam);
  if (param) return `${method} ${param.name.split(".").slice(-2).join(".")}`;
  return method.startsWith("absTopK") ? `${method} ${widthOf(args[0])}` : method;
}

function widthOf(x: unknown): number {
  return (x as { width?: number } | undefined)?.width ?? 0;
}

export class Profiler {
  /** The engine to use. */
  readonly engine: Engine;
  private readonly target: Engine;
  private ops = new Map<string, OpTotal>();
  /** Products with sparse weights: their work is counted at the end of a lap, as counting takes time itself. */
  private readonly products: { readonly total: OpTotal; readonly param: Param; readonly tokens: number }[] = [];
  private start = performance.now();

  constructor(target: Engine) {
    this.target = target;
    target.mayWait?.(false);
    const engine = Object.create(target) as Record<string, unknown>;
    // Some engines have kernels as methods, some as fields.
    for (const method of [target, Object.getPrototypeOf(target)].flatMap(Object.getOwnPropertyNames)) {
      const run = target[method as keyof Engine] as unknown;
      if (!HANDLES.has(method) && typeof run === "function") engine[method] = this.timed(method, run);
    }
    this.engine = engine as unknown as Engine;
  }

  /** Ends a lap and starts the next. */
  lap(): Lap {
    const ms = performance.now() - this.start;
    for (const { total, param, tokens } of this.products) total.flop += 2 * tokens * this.target.nonzeros(param);
    this.products.length = 0;
    const { ops } = this;
    this.ops = new Map();
    this.start = performance.now();
    return { ms, ops };
  }

  // biome-ignore lint/complexity/noBannedTypes: any method of the engine
  private timed(method: string, run: Function): (...args: unknown[]) => unknown {
    return (...args) => {
      const start = performance.now();
      // On the target, so that what it calls of itself is not counted twice.
      const result: unknown = run.apply(this.target, args);
      const ms = performance.now() - start;
      const key = label(method, args);
      let total = this.ops.get(key);
      if (!total) {
        total = { calls: 0, ms: 0, flop: 0 };
        this.ops.set(key, total);
      }
      total.calls++;
      total.ms += ms;
      this.count(total, method, args);
      return result;
    };
  }

  private count(total: OpTotal, method: string, args: readonly unknown[]): void {
    if (method === "unembedLoss") {
      const { x, unembed } = args[0] as UnembedLoss;
      this.products.push({ total, param: unembed, tokens: x.tokens.batch * x.tokens.length });
      return;
    }
    const { batch, length } = (args[0] as { tokens?: { batch: number; length: number } })?.tokens ?? NO_TOKENS;
    const param = args.find(isParam);
    const pairs = batch * length * length * widthOf(args[0]);
    if (PRODUCTS.has(method)) {
      this.products.push({ total, param: param!, tokens: batch * length });
    } else if (method === "linearBackwardWeight") {
      total.flop += 2 * batch * length * param!.shape.reduce((a, b) => a * b, 1);
    } else if (method === "attention") {
      total.flop += 2 * pairs;
    } else if (method === "attentionBackward") {
      total.flop += 5 * pairs;
    }
  }
}

const NO_TOKENS = { batch: 0, length: 0 };

/** Adds up laps of one step each. */
export class LapSum {
  steps = 0;
  private ms = 0;
  private readonly ops = new Map<string, OpTotal>();

  add(lap: Lap): void {
    this.steps++;
    this.ms += lap.ms;
    for (const [op, { calls, ms, flop }] of lap.ops) {
      const sum = this.ops.get(op) ?? { calls: 0, ms: 0, flop: 0 };
      this.ops.set(op, { calls: sum.calls + calls, ms: sum.ms + ms, flop: sum.flop + flop });
    }
  }

  /** Means of a step. */
  report(): ProfileReport {
    const { steps } = this;
    const stepMs = this.ms / steps;
    const ops = [...this.ops]
      .map(([op, { calls, ms, flop }]) => ({
        op,
        calls: calls / steps,
        ms: ms / steps,
        share: ms / this.ms,
        gflops: flop > 0 ? flop / ms / 1e6 : null,
      }))
      .sort((a, b) => b.ms - a.ms);
    const jsMs = stepMs - ops.reduce((sum, op) => sum + op.ms, 0);
    return { steps, stepMs, jsMs, jsShare: jsMs / stepMs, ops };
  }
}
