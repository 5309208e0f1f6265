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
  compareSize,
  pairStandardError,
  SAFETY,
  type Size,
  type Stage,
  type StageSize,
  upperLoss,
} from "./candidate.ts";
import { eliminate, LARGE, removals } from "./eliminate.ts";
import { countKept, indices, keyOf, maskOf, without } from "./kept.ts";
import { kicked } from "./kicks.ts";
import { topNodes } from "./learned-masks.ts";
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
/** How many times as many edges a circuit that is not 1-minimal counts as when it is compared with one that is. */
const NOT_MINIMAL = 1.25;
/** Starts that are taken of those given. */
const GIVEN = 3;
/** Starts of up to this many times the nodes of a circuit are joined to it. */
const LARGER = 5;
/** Circuits that local search starts from and joins. */
const ELITE = 12;
/** Share of the rounds of local search after which it ends if no smaller circuit has come up. */
const PATIENCE = 1 / 3;
/** Circuits that hold from which nodes are taken that the target itself does not need. */
const TRIMMED = 4;
/** Circuits that fail on the verification pairs to which nodes are added. */
const REPAIRED = 3;
/** How much stricter each round is for the search pairs, at least and at most, and how many rounds there may be. */
const STRICTER = [0.98, 0.85] as const;
const ROUNDS = 8;
/** How many times as much stricter a round is as the target was missed. */
const MISSED = 1.25;
/** Longest time without letting the event loop run. */
const BREATHE_MS = 50;

interface Start extends Size {
  readonly kept: Uint8Array;
  readonly loss: number;
}

export class Search {
  private readonly problem: SearchProblem;
  private readonly options: SearchOptions;
  private readonly found = new Map<string, Candidate>();
  private readonly known = new Map<string, number>();
  private readonly stages: StageSize[] = [];
  /** Search loss that elimination stays within. */
  private level: number;
  /** Nodes of the smallest start. */
  private startNodes = 0;
  private lowest: StageSize | undefined;
  private evaluations = 0;
  private stopped = false;
  private reachedLocalSearch = false;
  private breathed = 0;

  constructor(problem: SearchProblem, options: SearchOptions) {
    this.problem = problem;
    this.options = options;
    this.level = problem.target;
  }

  async run(): Promise<SearchResult> {
    const rng = Rng.of(this.options.seed, "local search");
    let best: Candidate | undefined;
    let before = this.level;
    for (let round = 0; round < ROUNDS && !this.stopped; round++) {
      let starts = await this.starts();
      if (round > 0 && starts.length === 0 && !this.smallest()) {
        // Nothing is that strict: as strict as what is known, if that is any stricter than the last round.
        this.level = Math.min(...[...this.found.values(), ...this.given()].map(({ loss }) => loss));
        if (this.level >= before) break;
        starts = await this.starts();
      }
      await this.eliminateAll(starts);
      if (!this.smallest()) break;
      before = this.level;
      if (round === 0) this.note("elimination", this.smallest());
      await this.localSearch(rng);
      if (round === 0) this.note("local search", this.smallest());
      const held = await this.verified();
      const repaired = (held ?? best) ? undefined : await this.repaired();
      const better = held ?? repaired;
      if (better && (!best || compareMinimal(better, best) < 0)) best = better;
      const settled = best !== undefined && (best === repaired || best.edges <= this.smallest()!.edges);
      if (this.options.deadline === undefined) {
        // Smaller circuits that failed on other pairs are worth one round more.
        if (best && (round > 0 || settled)) break;
      } else if (performance.now() > this.options.deadline) break;
      if (!settled) this.level = this.stricter();
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
    const missed = verified.loss + SAFETY * verified.standardError - this.problem.target;
    return Math.max(most * this.level, Math.min(least * this.level, this.level - MISSED * missed));
  }

  private progress(stage: Stage, done: number, of: number): void {
    this.options.progress?.(stage, done, of, this.smallest());
  }

  /** The smallest circuit found at the present level. */
  private smallest(): Candidate | undefined {
    let best: Candidate | undefined;
    for (const candidate of this.found.values()) {
      if (candidate.loss <= this.level && (!best || compareMinimal(candidate, best) < 0)) best = candidate;
    }
    return best;
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
    const measured = (kept: Uint8Array): Start => this.measured(kept);
    const met = this.given().filter(({ loss }) => loss <= this.level);
    const starts = met.sort(compareSize).slice(0, GIVEN);
    // To score circuits larger than a large one takes longer than they are worth.
    const most = ({ nodes }: Size): number => (nodes > LARGE ? nodes : WORSE_START * nodes);
    const open = new Set(orders);
    const known = Math.min(...[...this.found.values()].map(({ nodes }) => nodes));
    for (const k of grid(orders[0]!.length)) {
      if (open.size === 0 || (starts[0] && k > most(starts[0])) || k > LARGER * Math.max(known, LARGER)) break;
      for (const order of open) {
        if (await this.halted()) break;
        const start = measured(connected(topNodes(order, k)));
        if (!this.lowest || start.loss < this.lowest.loss) this.lowest = { ...start, stage: "orders" };
        if (start.loss > this.level) continue;
        starts.push(start);
        open.delete(order);
        this.progress("orders", orders.length - open.size, orders.length);
      }
    }
    // When the time is up before anything smaller was met, the whole model is the best so far.
    if (!starts[0] && performance.now() > (this.options.deadline ?? Number.POSITIVE_INFINITY)) {
      starts.push(measured(connected(topNodes(orders[0]!, orders[0]!.length))));
    }
    const [first] = starts.toSorted(compareSize);
    this.startNodes = first?.nodes ?? 0;
    if (this.stages.length === 0) this.note("orders", first);
    if (first && first.nodes > LARGE) return [first.kept];
    const fewest = Math.min(...starts.map(({ nodes }) => nodes));
    return starts.filter(({ nodes }) => nodes <= WORSE_START * fewest).map((start) => start.kept);
  }

  /** The starts that the caller gave. */
  private given(): Start[] {
    return (this.problem.starts ?? []).map((kept) => this.measured(kept));
  }

  private measured(kept: Uint8Array): Start {
    return { kept, loss: this.loss(kept), ...this.problem.size(kept) };
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
      loss: (kept) => this.loss(kept),
      level: this.level,
      connected,
      partner,
      stays,
      estimate: this.problem.estimate && estimate,
      halted: () => this.halted(),
      rng,
    });
    return eliminated && this.keep(eliminated.kept, stage, eliminated.minimal);
  }

  private keep(kept: Uint8Array, stage: Stage, minimal: boolean): Candidate {
    const key = keyOf(kept);
    const known = this.found.get(key);
    if (known && (known.minimal || !minimal)) return known;
    const candidate = this.candidate(kept, stage, minimal);
    this.found.set(key, candidate);
    return candidate;
  }

  private candidate(kept: Uint8Array, stage: Stage, minimal: boolean): Candidate {
    return {
      kept: indices(kept),
      stage,
      loss: this.loss(kept),
      level: this.level,
      minimal,
      ...this.problem.size(kept),
    };
  }

  /** Disturbs good circuits and eliminates again, until no smaller one has come up for a while. */
  private async localSearch(rng: Rng): Promise<void> {
    let current = this.smallest();
    if (!current) return;
    const { orders } = this.problem;
    const { deadline } = this.options;
    const kicks = deadline === undefined ? this.options.kicks : Number.MAX_SAFE_INTEGER;
    const patience = deadline === undefined ? Math.ceil(PATIENCE * kicks) : kicks;
    const most = deadline === undefined ? this.evaluations + this.options.evaluations : kicks;
    // Half of the time that is left, so that there is some for a round with a stricter target.
    const until = deadline === undefined ? Number.POSITIVE_INFINITY : (performance.now() + deadline) / 2;
    this.reachedLocalSearch = true;
    for (let kick = 0, idle = 0; kick < kicks && idle < patience && !(await this.halted()); kick++, idle++) {
      if (this.evaluations > most || performance.now() > until) break;
      const { startNodes } = this;
      const kept = kicked(rng, { current, elite: this.elite(), larger: this.larger(current), orders, startNodes });
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

  /** The smallest circuits at the present level. */
  private elite(): Candidate[] {
    const good = [...this.found.values()].filter(({ loss }) => loss <= this.level);
    return good.sort(compareSize).slice(0, ELITE);
  }

  /** The smallest of the candidates that hold on the verification pairs, without what they do not need there. */
  private async verified(): Promise<Candidate | undefined> {
    const ordered = [...this.found.values()].sort(compareSize);
    const held: Candidate[] = [];
    for (const [i, candidate] of ordered.entries()) {
      this.progress("verification", i, ordered.length);
      if ((await this.halted()) && held.length > 0) break;
      const checked = this.verify(candidate);
      if (this.holds(checked)) held.push(await this.trimmed(checked));
      if (held.filter(({ minimal }) => minimal).length === TRIMMED) break;
    }
    return held.sort(compareMinimal)[0];
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

  /**
   * The smallest of what the smallest circuits become when nodes of a larger one that holds on the verification pairs are added
   * until they hold there too, and those that neither set of pairs needs are removed again.
   */
  private async repaired(): Promise<Candidate | undefined> {
    const { orders, estimate, target, verify, connected, partner, stays } = this.problem;
    if (!verify) return undefined;
    const nodes = orders[0]!.length;
    const known = new Map<string, number>();
    const asBoth = (kept: Uint8Array): number => {
      const loss = this.loss(kept);
      if (loss > target) return loss;
      const key = keyOf(kept);
      const other = known.get(key) ?? upperLoss(verify.score(kept));
      known.set(key, other);
      return Math.max(loss, other);
    };
    const larger = this.given()
      .sort(compareSize)
      .find(({ kept }) => asBoth(kept) <= target);
    if (!larger) return undefined;
    const failed = [...this.found.values()].filter((candidate) => candidate.loss <= target).sort(compareSize);
    const repaired: Candidate[] = [];
    for (const { kept } of failed.slice(0, REPAIRED)) {
      if (await this.halted()) break;
      const circuit = maskOf(kept, nodes);
      const change = estimate?.(circuit);
      const others = indices(larger.kept).filter((n) => !circuit[n]);
      // What lowers the loss most when it is added first.
      if (change) others.sort((a, b) => change[b]! - change[a]! || a - b);
      let start = circuit;
      for (let count = 1; asBoth(start) > target && count < 2 * others.length; count *= 2) {
        start = connected(maskOf([...kept, ...others.slice(0, count)], nodes));
      }
      const halted = (): Promise<boolean> => this.halted();
      const options = { loss: asBoth, level: target, connected, partner, stays, estimate, halted };
      const eliminated = await eliminate(start, options);
      if (!eliminated) continue;
      const candidate = this.candidate(eliminated.kept, "verification", eliminated.minimal);
      repaired.push(this.verify({ ...candidate, level: target }));
    }
    return repaired.sort(compareMinimal)[0];
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
      const halted = (): Promise<boolean> => this.halted();
      const ranked = await removals(kept, (mask) => this.loss(mask), { ...this.problem, halted });
      if (!ranked) return { ...best, minimal: false };
      for (const { nodes, loss } of ranked) {
        if (loss > target) break;
        const trial = without(kept, nodes);
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

/** The smaller first; what is not 1-minimal as if it had more edges. */
function compareMinimal(a: Candidate, b: Candidate): number {
  const edges = ({ edges, minimal }: Candidate): number => (minimal ? edges : NOT_MINIMAL * edges);
  return edges(a) - edges(b) || Number(b.minimal) - Number(a.minimal) || compareSize(a, b);
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
