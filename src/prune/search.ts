/**
 * Search for the smallest circuit that does a task.
 *
 *   1. Orders: rankings of all nodes (attribution, learned masks). For each, the top k nodes on a geometric grid of k
 *      from small to large until the target is met; no bisection, since the loss is not monotone in k.
 *   2. Elimination: nodes are removed while the target holds, exactly re-evaluated, until no single one can go.
 *   3. Local search: nodes from the tops of the orders are added to the best circuit, some of its own dropped, and
 *      elimination runs again; the result replaces the best if it is not larger.
 *   4. Verification: every 1-minimal circuit that was met, smallest first, is scored on pairs that the search never
 *      saw; the smallest that holds there is the result.
 *
 * Deterministic for a seed. The caller supplies how circuits are scored and measured.
 */
import { Rng } from "../util/rng.ts";
import type { Evaluator, Score } from "./evaluator.ts";
import { topNodes } from "./learned-masks.ts";

export interface Size {
  readonly nodes: number;
  readonly edges: number;
}

export interface SearchProblem {
  /** Task loss that a circuit must not exceed, nats. */
  readonly target: number;
  /** Scores on the pairs that the search fits. */
  readonly search: Evaluator;
  /** Scores on other pairs, which decide among what was found. */
  readonly verify: Evaluator;
  /** The nodes that have a path from input to output; the others are dropped before counting. */
  connected(kept: Uint8Array): Uint8Array;
  size(kept: Uint8Array): Size;
  /** Rankings of all nodes, most important first. */
  readonly orders: readonly Int32Array[];
}

export interface SearchOptions {
  readonly seed: number;
  /** Rounds of local search. */
  readonly kicks: number;
  /** When it is set, the search ends soon with the best so far. */
  readonly signal?: AbortSignal | undefined;
  readonly progress?: ((stage: Stage, done: number, of: number, best: Size | undefined) => void) | undefined;
}

export type Stage = "orders" | "elimination" | "local search" | "verification";

export interface Candidate extends Size {
  /** Kept nodes, flat indices, ascending. */
  readonly kept: readonly number[];
  readonly stage: Stage;
  /** Task loss on the search pairs. */
  readonly loss: number;
  /** Task loss on the verification pairs and its standard error; undefined until scored there. */
  readonly verified?: { readonly loss: number; readonly standardError: number } | undefined;
}

export interface StageSize extends Size {
  readonly stage: Stage;
  readonly loss: number;
}

export interface SearchResult {
  /** The smallest circuit that holds on the verification pairs; undefined when none does. */
  readonly best: Candidate | undefined;
  /** Every 1-minimal circuit, smallest first. */
  readonly candidates: readonly Candidate[];
  /** Size after each stage. */
  readonly stages: readonly StageSize[];
  /** Smallest loss that was met, and its size: what to report when the target was not reached. */
  readonly lowest: StageSize | undefined;
  readonly evaluations: number;
  /** True when the signal ended it early. */
  readonly stopped: boolean;
}

/** Growth of k on the grid. */
const GRID = 1.12;
/** Largest share of nodes removed at once, and the size below which they go one at a time. */
const CHUNK_SHARE = 0.3;
const ONE_BY_ONE = 24;
/** Longest time without letting the event loop run. */
const BREATHE_MS = 50;

/** Standard error of a mean loss over pairs; the two prompts of a pair are not independent. */
export function pairStandardError(score: Score): number {
  const pairs = score.margins.length / 2;
  let sum = 0;
  let squares = 0;
  for (let i = 0; i < pairs; i++) {
    const loss = (softplus(-score.margins[2 * i]!) + softplus(-score.margins[2 * i + 1]!)) / 2;
    sum += loss;
    squares += loss * loss;
  }
  const mean = sum / pairs;
  return Math.sqrt(Math.max(0, squares / pairs - mean * mean) / Math.max(1, pairs - 1));
}

function softplus(x: number): number {
  return x > 0 ? x + Math.log1p(Math.exp(-x)) : Math.log1p(Math.exp(x));
}

/** Fewer edges first, then fewer nodes, then smaller loss. */
function smaller(a: Size & { loss: number }, b: Size & { loss: number }): number {
  return a.edges - b.edges || a.nodes - b.nodes || a.loss - b.loss;
}

export class Search {
  private readonly problem: SearchProblem;
  private readonly options: SearchOptions;
  private readonly found = new Map<string, Candidate>();
  private readonly known = new Map<string, number>();
  private readonly stages: StageSize[] = [];
  private lowest: StageSize | undefined;
  private evaluations = 0;
  private stopped = false;
  private breathed = 0;

  constructor(problem: SearchProblem, options: SearchOptions) {
    this.problem = problem;
    this.options = options;
  }

  async run(): Promise<SearchResult> {
    const starts = await this.fromOrders();
    this.options.progress?.("elimination", 0, starts.length, undefined);
    for (const [i, start] of starts.entries()) {
      await this.eliminate(start, "elimination");
      this.options.progress?.("elimination", i + 1, starts.length, this.best());
    }
    this.note("elimination");
    await this.localSearch();
    this.note("local search");
    const best = await this.verified();
    if (best) this.stages.push({ stage: "verification", nodes: best.nodes, edges: best.edges, loss: best.loss });
    return {
      best,
      candidates: [...this.found.values()].sort(smaller),
      stages: this.stages,
      lowest: this.lowest,
      evaluations: this.evaluations,
      stopped: this.stopped,
    };
  }

  private loss(kept: Uint8Array): number {
    const key = keyOf(kept);
    const known = this.known.get(key);
    if (known !== undefined) return known;
    const { loss } = this.problem.search.score(kept);
    this.evaluations++;
    this.known.set(key, loss);
    return loss;
  }

  /** Lets signals and output through now and then; says whether the search should end. */
  private async halted(): Promise<boolean> {
    if (performance.now() - this.breathed > BREATHE_MS) {
      await new Promise((resolve) => setImmediate(resolve));
      this.breathed = performance.now();
    }
    this.stopped ||= this.options.signal?.aborted ?? false;
    return this.stopped;
  }

  private best(): Candidate | undefined {
    let best: Candidate | undefined;
    for (const candidate of this.found.values()) if (!best || smaller(candidate, best) < 0) best = candidate;
    return best;
  }

  private note(stage: Stage): void {
    const best = this.best();
    if (best) this.stages.push({ stage, nodes: best.nodes, edges: best.edges, loss: best.loss });
  }

  /** For each order, the first grid point that meets the target. Smallest first. */
  private async fromOrders(): Promise<Uint8Array[]> {
    const { orders, target } = this.problem;
    const starts: { kept: Uint8Array; k: number; loss: number }[] = [];
    for (const [i, order] of orders.entries()) {
      for (const k of grid(order.length)) {
        if (await this.halted()) break;
        const kept = topNodes(order, k);
        const loss = this.loss(kept);
        if (!this.lowest || loss < this.lowest.loss) {
          this.lowest = { stage: "orders", loss, ...this.problem.size(kept) };
        }
        if (loss > target) continue;
        starts.push({ kept, k, loss });
        break;
      }
      this.options.progress?.("orders", i + 1, orders.length, undefined);
    }
    starts.sort((a, b) => a.k - b.k);
    const first = starts[0];
    if (first) this.stages.push({ stage: "orders", loss: first.loss, ...this.problem.size(first.kept) });
    return starts.map((start) => start.kept);
  }

  /** Losses after removing each kept node alone, smallest first. */
  private removals(kept: Uint8Array): { node: number; loss: number }[] {
    const out: { node: number; loss: number }[] = [];
    for (let n = 0; n < kept.length; n++) {
      if (!kept[n]) continue;
      kept[n] = 0;
      out.push({ node: n, loss: this.loss(kept) });
      kept[n] = 1;
    }
    return out.sort((a, b) => a.loss - b.loss || a.node - b.node);
  }

  /**
   * Removes nodes while the target holds. Ends with a circuit of which no single node can go, keeps it as a candidate
   * and returns it; undefined when what is connected in it misses the target, or the search was stopped.
   */
  private async eliminate(start: Uint8Array, stage: Stage): Promise<Candidate | undefined> {
    const { target } = this.problem;
    let kept: Uint8Array = start.slice();
    for (;;) {
      if (await this.halted()) return undefined;
      const ranked = this.removals(kept);
      if (ranked.length === 0 || ranked[0]!.loss > target) {
        const connected = this.problem.connected(kept);
        if (count(connected) === ranked.length) return this.keep(kept, stage);
        // What has no path adds only constants; without it the circuit must still do the task.
        if (this.loss(connected) > target) return undefined;
        kept = connected;
        continue;
      }
      kept = this.without(kept, ranked);
    }
  }

  /** Removes the largest chunk of the least needed nodes that leaves the target met. */
  private without(kept: Uint8Array, ranked: readonly { node: number; loss: number }[]): Uint8Array {
    const most = ranked.length > ONE_BY_ONE ? Math.floor(ranked.length * CHUNK_SHARE) : 1;
    for (let chunk = most; chunk > 1; chunk = Math.floor(chunk / 2)) {
      const trial = kept.slice();
      for (let i = 0; i < chunk; i++) trial[ranked[i]!.node] = 0;
      if (this.loss(trial) <= this.problem.target) return trial;
    }
    const trial = kept.slice();
    trial[ranked[0]!.node] = 0;
    return trial;
  }

  private keep(kept: Uint8Array, stage: Stage): Candidate {
    const key = keyOf(kept);
    const known = this.found.get(key);
    if (known) return known;
    const candidate: Candidate = { kept: indices(kept), stage, loss: this.loss(kept), ...this.problem.size(kept) };
    this.found.set(key, candidate);
    return candidate;
  }

  /** Kicks: add nodes from the tops of the orders, drop some, eliminate again. */
  private async localSearch(): Promise<void> {
    const rng = Rng.of(this.options.seed, "local search");
    let current = this.best();
    if (!current) return;
    const { orders, target } = this.problem;
    const nodes = orders[0]!.length;
    for (let kick = 0; kick < this.options.kicks && !(await this.halted()); kick++) {
      const kept = maskOf(current.kept, nodes);
      const drops = Math.min(rng.int(0, 2), current.kept.length);
      for (const n of rng.sample(current.kept, drops)) kept[n] = 0;
      const order = rng.pick(orders);
      const adds = rng.int(2, 24);
      const pool = Math.min(nodes, Math.max(64, 4 * current.nodes));
      for (let i = 0; i < adds; i++) kept[order[rng.int(0, pool - 1)]!] = 1;
      if (this.loss(kept) <= target) {
        const result = await this.eliminate(kept, "local search");
        if (result && smaller(result, current) <= 0) current = result;
      }
      this.options.progress?.("local search", kick + 1, this.options.kicks, this.best());
    }
  }

  /** Smallest candidate whose loss on the verification pairs is within the target by a standard error. */
  private async verified(): Promise<Candidate | undefined> {
    const { verify, target } = this.problem;
    const ordered = [...this.found.entries()].sort((a, b) => smaller(a[1], b[1]));
    for (const [i, [key, candidate]] of ordered.entries()) {
      const score = verify.score(maskOf(candidate.kept, this.problem.orders[0]!.length));
      const verified = { loss: score.loss, standardError: pairStandardError(score) };
      const checked: Candidate = { ...candidate, verified };
      this.found.set(key, checked);
      this.options.progress?.("verification", i + 1, ordered.length, undefined);
      await this.halted();
      if (verified.loss + verified.standardError <= target) return checked;
    }
    return undefined;
  }
}

/** 1, 2, 3, ... growing by GRID, up to n. */
function grid(n: number): number[] {
  const out: number[] = [];
  for (let k = 1; k < n; k = Math.max(k + 1, Math.round(k * GRID))) out.push(k);
  out.push(n);
  return out;
}

function count(mask: Uint8Array): number {
  let n = 0;
  for (const m of mask) n += m;
  return n;
}

/** Flat indices of the kept nodes, ascending. */
export function indices(mask: Uint8Array): number[] {
  const out: number[] = [];
  for (let n = 0; n < mask.length; n++) if (mask[n]) out.push(n);
  return out;
}

/** The inverse of `indices`. */
export function maskOf(kept: readonly number[], nodes: number): Uint8Array {
  const mask = new Uint8Array(nodes);
  for (const n of kept) mask[n] = 1;
  return mask;
}

function keyOf(mask: Uint8Array): string {
  return indices(mask).join();
}
