/**
 * Search for the smallest circuit that does a task.
 *
 *   1. Orders: the smallest of the circuits that it is given to start from, and the top k nodes of each ranking on a
 *      geometric grid of k from small to large until the target is met; no bisection, since the loss is not monotone in k.
 *   2. Elimination: nodes are removed while the target holds, exactly re-evaluated, until no single one can go.
 *   3. Local search: to a good circuit are added a larger one, nodes from the tops of the orders or those of another good
 *      one, some of its own are dropped, and elimination runs again in a slightly different order.
 *   4. Verification: every circuit that was met, smallest first, is scored on pairs that the search never saw; the
 *      smallest that holds there is the result. If none does, nodes of a larger one that does are added to the smallest until
 *      they hold. If there is none, or a smaller one failed, 1 to 3 run again with a stricter target for the search pairs.
 *      What holds in the end loses the nodes that neither set of pairs needs.
 *
 * Deterministic for a seed. The caller supplies how circuits are scored and measured.
 */
import { Rng } from "../util/rng.ts";
import {
  type Candidate,
  compareMinimal,
  compareSize,
  type Size,
  type Stage,
  type StageSize,
  upper,
} from "./candidate.ts";
import { eliminate, LARGE } from "./eliminate.ts";
import { type HeldOutOptions, smallestHeld, smallestRepaired } from "./held-out.ts";
import { countKept } from "./kept.ts";
import { kicked } from "./kicks.ts";
import { topNodes } from "./learned-masks.ts";
import { type Measured, Met } from "./met.ts";
import type { SearchOptions, SearchProblem, SearchResult } from "./search-problem.ts";

/** Growth of k on the grid. */
const GRID = 1.12;
/**
 * Starts of this many times the nodes of the best one are left out: eliminating from there takes long. Of large ones only the
 * best is taken, since all lead to about the same circuits.
 */
const WORSE_START = 3;
/**
 * How nodes of large circuits are ordered by what leaving them out would change. By its sign: what makes a condition worse goes
 * first and makes room for the rest. By its size: what seems to do harm may be what the rest is balanced with.
 */
const ESTIMATES = [Math.abs, (change: number): number => change];
/** Starts that are taken of those given. */
const GIVEN = 3;
/** Starts of up to this many times the nodes of a circuit are joined to it. */
const LARGER = 5;
/** Circuits that local search starts from and joins. */
const ELITE = 12;
/** Share of the rounds of local search after which it ends if no smaller circuit has come up. */
const PATIENCE = 1 / 3;
/** How many times as many edges a repaired circuit may have as the smallest that failed, for it to be all that is looked for. */
const REPAIRED = 1.1;
/** How much stricter each round is for the search pairs, at least and at most, and how many rounds there may be. */
const STRICTER = [0.98, 0.85] as const;
const ROUNDS = 8;
/** How many times as much stricter a round is as the target was missed. */
const MISSED = 1.25;
/** Longest time without letting the event loop run. */
const BREATHE_MS = 50;

export class Search {
  private readonly problem: SearchProblem;
  private readonly options: SearchOptions;
  private readonly met: Met;
  private readonly stages: StageSize[] = [];
  /** Search loss that elimination stays within. */
  private level: number;
  /** Nodes of the smallest start. */
  private startNodes = 0;
  private lowest: StageSize | undefined;
  private stopped = false;
  private reachedLocalSearch = false;
  private breathed = 0;

  constructor(problem: SearchProblem, options: SearchOptions) {
    this.problem = problem;
    this.met = new Met(problem);
    this.options = options;
    this.level = problem.target;
  }

  async run(): Promise<SearchResult> {
    const rng = Rng.of(this.options.seed, "local search");
    let best: Candidate | undefined;
    let before = this.level;
    // How many times as many edges as the smallest the best may have for the search to end.
    let enough = 1;
    for (let round = 0; round < ROUNDS && !this.stopped; round++) {
      let starts = await this.starts();
      if (round > 0 && starts.length === 0 && !this.smallest()) {
        // Nothing is that strict: as strict as what is known, if that is any stricter than the last round.
        this.level = Math.min(...[...this.met.within(before), ...this.given()].map(({ loss }) => loss));
        if (this.level >= before) break;
        starts = await this.starts();
      }
      await this.eliminateAll(starts);
      if (!this.smallest()) break;
      before = this.level;
      if (round === 0) this.note("elimination", this.smallest());
      await this.localSearch(rng);
      if (round === 0) this.note("local search", this.smallest());
      const held = await smallestHeld(this.heldOut());
      const repaired = (held ?? best) ? undefined : await smallestRepaired(this.heldOut(), this.given());
      const better = held ?? repaired;
      if (better && (!best || compareMinimal(better, best) < 0)) {
        best = better;
        enough = repaired ? REPAIRED : 1;
      }
      const settled = best !== undefined && best.edges <= enough * this.smallest()!.edges;
      if (this.options.deadline === undefined) {
        // Smaller circuits that failed on other pairs are worth one round more.
        if (best && (round > 0 || settled)) break;
      } else if (performance.now() > this.options.deadline) break;
      if (!settled) this.level = this.stricter();
    }
    this.note("verification", best);
    return {
      best,
      candidates: this.met.within(Number.POSITIVE_INFINITY),
      stages: this.stages,
      lowest: this.lowest,
      evaluations: this.met.evaluations,
      stopped: this.stopped,
    };
  }

  /** Lets signals and output through now and then; says whether the search should end. */
  private async halted(): Promise<boolean> {
    if (performance.now() - this.breathed > BREATHE_MS) {
      await new Promise((resolve) => setImmediate(resolve));
      this.breathed = performance.now();
    }
    const { signal, deadline = Number.POSITIVE_INFINITY } = this.options;
    const late = performance.now() > deadline;
    this.stopped ||= (signal?.aborted ?? false) || (late && !this.reachedLocalSearch);
    return this.stopped || late;
  }

  /** The next level: stricter by a little more than what the smallest circuit misses the target by on the verification pairs. */
  private stricter(): number {
    const [least, most] = STRICTER;
    const { verified } = this.smallest()!;
    if (!verified) return most * this.level;
    const missed = upper(verified) - this.problem.target;
    return Math.max(most * this.level, Math.min(least * this.level, this.level - MISSED * missed));
  }

  private heldOut(): HeldOutOptions {
    const { problem, met, level } = this;
    const progress = (done: number, of: number): void => this.progress("verification", done, of);
    return { problem, met, level, halted: () => this.halted(), progress };
  }

  private progress(stage: Stage, done: number, of: number): void {
    this.options.progress?.(stage, done, of, this.smallest());
  }

  /** The smallest circuit found at the present level. */
  private smallest(): Candidate | undefined {
    return this.met.smallest(this.level);
  }

  private note(stage: Stage, size: (Size & { readonly loss: number }) | undefined): void {
    if (size) this.stages.push({ stage, nodes: size.nodes, edges: size.edges, loss: size.loss });
  }

  private async eliminateAll(starts: readonly Uint8Array[]): Promise<void> {
    const tries = starts.flatMap((start) => (large(start) ? ESTIMATES : [Math.abs]).map((by) => ({ start, by })));
    for (const [i, { start, by }] of tries.entries()) {
      this.progress("elimination", i, tries.length);
      await this.eliminate(start, "elimination", { by });
    }
  }

  /**
   * The smallest of the given starts that meet the level, and the orders' top nodes that do, as far as they have a path.
   * Orders that need more than `WORSE_START` times the nodes of the best one give none.
   */
  private async starts(): Promise<Uint8Array[]> {
    const { orders, connected } = this.problem;
    const met = this.given().filter(({ loss }) => loss <= this.level);
    const starts = met.sort(compareSize).slice(0, GIVEN);
    // To score circuits larger than a large one takes longer than they are worth.
    const most = ({ nodes }: Size): number => (nodes > LARGE ? nodes : WORSE_START * nodes);
    const open = new Set(orders);
    const known = Math.min(...this.met.within(Number.POSITIVE_INFINITY).map(({ nodes }) => nodes));
    for (const k of grid(orders[0]!.length)) {
      if (open.size === 0 || (starts[0] && k > most(starts[0])) || k > LARGER * Math.max(known, LARGER)) break;
      for (const order of open) {
        if (await this.halted()) break;
        const start = this.met.measured(connected(topNodes(order, k)));
        if (!this.lowest || start.loss < this.lowest.loss) this.lowest = { ...start, stage: "orders" };
        if (start.loss > this.level) continue;
        starts.push(start);
        open.delete(order);
        this.progress("orders", orders.length - open.size, orders.length);
      }
    }
    // When the time is up before anything smaller was met, the whole model is the best so far.
    if (!starts[0] && performance.now() > (this.options.deadline ?? Number.POSITIVE_INFINITY)) {
      starts.push(this.met.measured(connected(topNodes(orders[0]!, orders[0]!.length))));
    }
    const [first] = starts.toSorted(compareSize);
    this.startNodes = first?.nodes ?? 0;
    if (this.stages.length === 0) this.note("orders", first);
    if (first && first.nodes > LARGE) return [first.kept];
    const fewest = Math.min(...starts.map(({ nodes }) => nodes));
    return starts.filter(({ nodes }) => nodes <= WORSE_START * fewest).map((start) => start.kept);
  }

  /** The starts that the caller gave. */
  private given(): Measured[] {
    return (this.problem.starts ?? []).map((kept) => this.met.measured(kept));
  }

  /** Eliminates from a circuit and keeps what is left as a candidate; undefined when there is none. */
  private async eliminate(
    start: Uint8Array,
    stage: Stage,
    { by, rng }: { by: (change: number) => number; rng?: Rng },
  ): Promise<Candidate | undefined> {
    const { connected, partner, stays } = this.problem;
    const estimate = (kept: Uint8Array): ArrayLike<number> => this.problem.estimate!(kept).map(by);
    const eliminated = await eliminate(start, {
      loss: (kept) => this.met.loss(kept),
      level: this.level,
      connected,
      partner,
      stays,
      estimate: this.problem.estimate && estimate,
      halted: () => this.halted(),
      rng,
    });
    return eliminated && this.met.keep(eliminated.kept, { stage, level: this.level, minimal: eliminated.minimal });
  }

  /** Disturbs good circuits and eliminates again, until no smaller one has come up for a while. */
  private async localSearch(rng: Rng): Promise<void> {
    let current = this.smallest();
    if (!current) return;
    const { orders } = this.problem;
    const { deadline } = this.options;
    const kicks = deadline === undefined ? this.options.kicks : Number.MAX_SAFE_INTEGER;
    const patience = deadline === undefined ? Math.ceil(PATIENCE * kicks) : kicks;
    const most = deadline === undefined ? this.met.evaluations + this.options.evaluations : kicks;
    // Half of the time that is left, so that there is some for a round with a stricter target.
    const until = deadline === undefined ? Number.POSITIVE_INFINITY : (performance.now() + deadline) / 2;
    this.reachedLocalSearch = true;
    for (let kick = 0, idle = 0; kick < kicks && idle < patience && !(await this.halted()); kick++, idle++) {
      if (this.met.evaluations > most || performance.now() > until) break;
      const { startNodes } = this;
      const kept = kicked(rng, {
        current,
        elite: this.met.within(this.level).slice(0, ELITE),
        larger: this.larger(current),
        orders,
        startNodes,
      });
      const result = await this.eliminate(kept, "local search", {
        by: large(kept) ? rng.pick(ESTIMATES) : Math.abs,
        rng,
      });
      if (result && compareMinimal(result, current) < 0) {
        if ((result.minimal && !current.minimal) || isSmaller(result, current)) idle = 0;
        current = result;
      }
      this.progress("local search", kick + 1, Math.min(kicks, kick + patience - idle));
    }
  }

  /** The starts that are not many times as large as a circuit. */
  private larger({ nodes }: Size): Uint8Array[] {
    const most = LARGER * Math.max(nodes, LARGER);
    return (this.problem.starts ?? []).filter((kept) => countKept(kept) > nodes && countKept(kept) <= most);
  }
}

function large(kept: Uint8Array): boolean {
  return countKept(kept) > LARGE;
}

function isSmaller(a: Size, b: Size): boolean {
  return a.edges < b.edges || (a.edges === b.edges && a.nodes < b.nodes);
}

/** 1, 2, 3, ... growing by GRID, up to n. */
function grid(n: number): number[] {
  const out: number[] = [];
  for (let k = 1; k < n; k = Math.max(k + 1, Math.round(k * GRID))) out.push(k);
  out.push(n);
  return out;
}
