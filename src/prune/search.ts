/**
 * Search for the smallest circuit that does a task.
 *
 *   1. Orders: rankings of all nodes (attribution, learned masks). The top k nodes of each on a geometric grid of k
 *      from small to large until the target is met; no bisection, since the loss is not monotone in k.
 *   2. Elimination: nodes are removed while the target holds, exactly re-evaluated, until no single one can go.
 *   3. Local search: nodes from the tops of the orders are added to the best circuit, some of its own dropped, and
 *      elimination runs again; the result replaces the best if it is not larger.
 *   4. Verification: every circuit that was met, smallest first, is scored on pairs that the search never saw; the
 *      smallest that holds there is the result. If none does, 1 to 3 run again with a stricter target for the search
 *      pairs, and what holds in the end loses the nodes that neither set of pairs needs.
 *
 * Deterministic for a seed. The caller supplies how circuits are scored and measured.
 */
import { Rng } from "../util/rng.ts";
import { type Candidate, compareSize, pairStandardError, type Size, type Stage, type StageSize } from "./candidate.ts";
import { countKept, indices, keyOf, maskOf, without } from "./kept.ts";
import { topNodes } from "./learned-masks.ts";
import type { SearchOptions, SearchProblem, SearchResult } from "./search-problem.ts";

/** Growth of k on the grid. */
const GRID = 1.12;
/** Orders that need this many times the nodes of the best order give no start: eliminating from there takes long. */
const WORSE_START = 3;
/** Largest share of nodes removed at once, and the size below which they go one at a time. */
const CHUNK_SHARE = 0.3;
const ONE_BY_ONE = 24;
/** Standard errors by which a circuit must stay below the target on the verification pairs. */
const SAFETY = 1;
/** How much stricter each round is for the search pairs, and how many rounds there may be. */
const STRICTER = 0.85;
const ROUNDS = 8;
/** Longest time without letting the event loop run. */
const BREATHE_MS = 50;

export class Search {
  private readonly problem: SearchProblem;
  private readonly options: SearchOptions;
  private readonly found = new Map<string, Candidate>();
  private readonly known = new Map<string, number>();
  private readonly stages: StageSize[] = [];
  /** Search loss that elimination stays within. */
  private level: number;
  private noise = 0;
  private startSize = 0;
  private rng2 = Rng.of("n", 0);
  private lowest: StageSize | undefined;
  private evaluations = 0;
  private stopped = false;
  private breathed = 0;

  constructor(problem: SearchProblem, options: SearchOptions) {
    this.problem = problem;
    this.options = options;
    this.level = problem.target;
  }

  async run(): Promise<SearchResult> {
    const rng = Rng.of(this.options.seed, "local search");
    let best: Candidate | undefined;
    for (let round = 0; round < ROUNDS && !this.stopped; round++, this.level *= STRICTER) {
      const starts = await this.starts();
      if (starts.length === 0) break;
      this.progress("elimination", 0, starts.length);
      for (const [i, start] of starts.entries()) {
        await this.eliminate(start, "elimination");
        this.progress("elimination", i + 1, starts.length);
      }
      if (round === 0) this.note("elimination", this.smallest());
      await this.localSearch(rng);
      if (round === 0) this.note("local search", this.smallest());
      if (process.env.TRACE) {
        const b = this.smallest();
        console.log(
          "round",
          round,
          "level",
          this.level.toFixed(3),
          "starts",
          starts.map((x) => countKept(x)).join(","),
          "found",
          this.found.size,
          "best",
          b?.nodes,
          b?.edges,
          b?.loss.toFixed(3),
          "evals",
          this.evaluations,
          performance.now() | 0,
        );
      }
      const held = await this.verified();
      if (process.env.TRACE)
        console.log(
          "  verified",
          held?.nodes,
          held?.edges,
          held?.verified,
          [...this.found.values()]
            .sort(compareSize)
            .slice(0, 8)
            .map(
              (c) =>
                `${c.nodes}/${c.edges} ${c.loss.toFixed(3)} ${c.verified?.loss.toFixed(3)}+-${c.verified?.standardError.toFixed(3)}`,
            )
            .join("  "),
        );
      if (held && (!best || compareSize(held, best) < 0)) best = held;
      // Smaller circuits that failed on other pairs are worth one round more.
      if (best && (round > 0 || best.edges <= this.smallest()!.edges)) break;
    }
    this.note("verification", best);
    return {
      best,
      candidates: [...this.found.values()].sort(compareSize),
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

  private progress(stage: Stage, done: number, of: number): void {
    this.options.progress?.(stage, done, of, this.smallest());
  }

  /** The smallest circuit found at the present level. */
  private smallest(): Candidate | undefined {
    let best: Candidate | undefined;
    for (const candidate of this.found.values()) {
      if (candidate.loss <= this.level && (!best || compareSize(candidate, best) < 0)) best = candidate;
    }
    return best;
  }

  private note(stage: Stage, size: (Size & { readonly loss: number }) | undefined): void {
    if (size) this.stages.push({ stage, nodes: size.nodes, edges: size.edges, loss: size.loss });
  }

  /** The orders' top nodes that meet the level, smallest first, and the starts that were given. */
  private async starts(): Promise<Uint8Array[]> {
    const { orders, size } = this.problem;
    const given = (this.problem.starts ?? []).filter((kept) => this.loss(kept) <= this.level);
    const starts: { kept: Uint8Array; k: number }[] = [];
    const open = new Set(orders);
    const ks = grid(orders[0]!.length);
    for (const k of ks) {
      if (open.size === 0 || (starts[0] && k > WORSE_START * starts[0].k)) break;
      for (const order of open) {
        if (await this.halted()) break;
        const kept = topNodes(order, k);
        const loss = this.loss(kept);
        if (!this.lowest || loss < this.lowest.loss) this.lowest = { stage: "orders", loss, ...size(kept) };
        if (loss > this.level) continue;
        starts.push({ kept, k });
        open.delete(order);
        this.progress("orders", orders.length - open.size, orders.length);
      }
    }
    const first = starts[0];
    this.startSize = first?.k ?? 0;
    if (first && this.stages.length === 0) this.note("orders", { loss: this.loss(first.kept), ...size(first.kept) });
    return [...given, ...starts.map((start) => start.kept)];
  }

  /** Losses after removing each kept node alone, smallest first. */
  private removals(kept: Uint8Array): { node: number; loss: number }[] {
    return indices(kept)
      .map((node) => ({ node, loss: this.loss(without(kept, [node])) }))
      .sort((a, b) => a.loss - b.loss || a.node - b.node);
  }

  /**
   * Removes nodes while the level holds. Ends with a circuit of which no single node can go, or with what is left when
   * the search is stopped; keeps it as a candidate and returns it. Undefined when what is connected in it misses the
   * level.
   */
  private async eliminate(start: Uint8Array, stage: Stage): Promise<Candidate | undefined> {
    let kept = start;
    for (;;) {
      if (await this.halted()) return this.keep(this.problem.connected(kept), stage, false);
      const ranked = this.removals(kept);
      if (ranked.length === 0 || ranked[0]!.loss > this.level) {
        const connected = this.problem.connected(kept);
        if (countKept(connected) === ranked.length) return this.keep(kept, stage, true);
        // What has no path adds only constants; without it the circuit must still do the task.
        if (this.loss(connected) > this.level) return undefined;
        kept = connected;
        continue;
      }
      kept = this.sweep(kept, ranked);
    }
  }

  private sweep(kept: Uint8Array, ranked: readonly { node: number; loss: number }[]): Uint8Array {
    let out = kept;
    let removed = 0;
    if (this.noise)
      ranked = ranked
        .map((r) => ({ ...r, key: r.loss * (1 + this.noise * this.rng2.normal()) }))
        .sort((a, b) => a.key - b.key);
    if (ranked.length > ONE_BY_ONE) return this.withoutLeast(kept, ranked);
    for (const { node, loss } of ranked) {
      if (loss > this.level) continue;
      if (removed >= 1000) break;
      const trial = without(out, [node]);
      if (this.loss(trial) > this.level) continue;
      out = trial;
      removed++;
    }
    return out;
  }

  /** Removes the largest chunk of the least needed nodes that leaves the level met. */
  private withoutLeast(kept: Uint8Array, ranked: readonly { node: number; loss: number }[]): Uint8Array {
    const most = ranked.length > ONE_BY_ONE ? Math.floor(ranked.length * CHUNK_SHARE) : 1;
    const nodes = ranked.map((r) => r.node);
    for (let chunk = most; chunk > 1; chunk = Math.floor(chunk / 2)) {
      const trial = without(kept, nodes.slice(0, chunk));
      if (this.loss(trial) <= this.level) return trial;
    }
    return without(kept, nodes.slice(0, 1));
  }

  private keep(kept: Uint8Array, stage: Stage, minimal: boolean): Candidate | undefined {
    const loss = this.loss(kept);
    if (loss > this.level) return undefined;
    const key = keyOf(kept);
    const known = this.found.get(key);
    if (known && (known.minimal || !minimal)) return known;
    const candidate: Candidate = {
      kept: indices(kept),
      stage,
      loss,
      level: this.level,
      minimal,
      ...this.problem.size(kept),
    };
    this.found.set(key, candidate);
    return candidate;
  }

  /** Kicks: add nodes from the tops of the orders, drop some, eliminate again. */
  private async localSearch(rng: Rng): Promise<void> {
    let current = this.smallest();
    if (!current) return;
    const { orders } = this.problem;
    const nodes = orders[0]!.length;
    this.noise = Number(process.env.NOISE ?? 0);
    for (let kick = 0; kick < this.options.kicks && !(await this.halted()); kick++) {
      const top = [...this.found.values()]
        .filter((c) => c.loss <= this.level)
        .sort(compareSize)
        .slice(0, 6);
      const from = (process.env.MODE ?? "").includes("c") && rng.bool(0.5) && top.length > 0 ? rng.pick(top) : current;
      const kept = maskOf(from.kept, nodes);
      const drops = Math.min(rng.int(0, 2), current.kept.length);
      for (const n of rng.sample(current.kept, drops)) kept[n] = 0;
      const order = rng.pick(orders);
      const mode = process.env.MODE ?? "";
      const adds: number = mode.includes("b") && rng.bool(0.5) ? rng.int(24, 80) : rng.int(2, 24);
      const pool = Math.min(nodes, Math.max(64, 4 * current.nodes, mode.includes("p") ? this.startSize : 0));
      if (mode.includes("x") && rng.bool(0.4) && this.found.size > 1) {
        const others = [...this.found.values()].sort(compareSize).slice(0, 12);
        for (const n of rng.pick(others).kept) kept[n] = 1;
        for (let i = 0; i < rng.int(0, 6); i++) kept[order[rng.int(0, pool - 1)]!] = 1;
      } else for (let i = 0; i < adds; i++) kept[order[rng.int(0, pool - 1)]!] = 1;
      if (this.loss(kept) <= this.level) {
        const result = await this.eliminate(kept, "local search");
        if (result && compareSize(result, current) <= 0) current = result;
      }
      this.progress("local search", kick + 1, this.options.kicks);
    }
  }

  /** The smallest candidate that holds on the verification pairs, without what it does not need there. */
  private async verified(): Promise<Candidate | undefined> {
    const ordered = [...this.found.values()].sort(compareSize);
    for (const [i, candidate] of ordered.entries()) {
      this.progress("verification", i, ordered.length);
      await this.halted();
      const checked = this.verify(candidate);
      if (this.holds(checked)) return this.trimmed(checked);
    }
    return undefined;
  }

  /** Scores a candidate on the verification pairs. */
  private verify(candidate: Candidate): Candidate {
    const { verify, orders } = this.problem;
    if (!verify || candidate.verified) return candidate;
    const kept = maskOf(candidate.kept, orders[0]!.length);
    const score = verify.score(kept);
    const verified = { loss: score.loss, standardError: pairStandardError(score) };
    const checked: Candidate = { ...candidate, verified };
    this.found.set(keyOf(kept), checked);
    return checked;
  }

  private holds({ loss, verified }: Candidate): boolean {
    const { target, verify } = this.problem;
    if (loss > target) return false;
    return !verify || (verified !== undefined && verified.loss + SAFETY * verified.standardError <= target);
  }

  /** What was found within a stricter level may have nodes that the target itself does not need. */
  private async trimmed(candidate: Candidate): Promise<Candidate> {
    const { target, orders } = this.problem;
    if (!candidate.minimal || candidate.level >= target) return candidate;
    const measured = (kept: Uint8Array): Candidate =>
      this.verify({
        kept: indices(kept),
        stage: "verification",
        loss: this.loss(kept),
        level: target,
        minimal: false,
        ...this.problem.size(kept),
      });
    let best = candidate;
    let spare = true;
    while (spare && !(await this.halted())) {
      spare = false;
      const kept = maskOf(best.kept, orders[0]!.length);
      for (const { node, loss } of this.removals(kept)) {
        if (loss > target) break;
        const trial = without(kept, [node]);
        if (!this.holds(measured(trial))) continue;
        spare = true;
        const connected = measured(this.problem.connected(trial));
        // Rarely, a node can go but what it cuts off cannot: then the circuit stays, and is not called minimal.
        if (!this.holds(connected)) return { ...best, minimal: false };
        best = connected;
        break;
      }
    }
    return { ...best, minimal: !spare };
  }
}

/** 1, 2, 3, ... growing by GRID, up to n. */
function grid(n: number): number[] {
  const out: number[] = [];
  for (let k = 1; k < n; k = Math.max(k + 1, Math.round(k * GRID))) out.push(k);
  out.push(n);
  return out;
}
