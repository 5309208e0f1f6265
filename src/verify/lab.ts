/** What checks have in common: the pairs, the circuit and the full model on them, and each measured once. */
import { setImmediate } from "node:timers/promises";
import type { RestoredCircuit } from "../circuits/restore.ts";
import type { Figure } from "../circuits/verification.ts";
import type { PairBatch } from "../data/pairs.ts";
import { type NodeRef, nodeId, siteSpecs } from "../model/sites.ts";
import { AblatedTask } from "../prune/ablated-task.ts";
import type { Ablation } from "../prune/ablation.ts";
import { pairLosses } from "../prune/candidate.ts";
import type { Evaluator, Score } from "../prune/evaluator.ts";
import { type FaithfulOptions, FaithfulTask, otherAblations } from "../prune/faithful.ts";
import { countKept, indices } from "../prune/kept.ts";
import { firstPairs, scorePairs } from "../prune/pair-scores.ts";
import { Pruned } from "../prune/pruned.ts";
import { Rng } from "../util/rng.ts";
import { meanIntervalOfDraws } from "../util/statistics.ts";
import type { Subject } from "./subject.ts";

/** Held-out pairs of checks, in all; those of other prompts of the task; and those of checks that compute whole models. */
const PAIRS = { short: 256, thorough: 1024 };
const PLACE_PAIRS = { short: 48, thorough: 192 };
const FEW_PAIRS = { short: 64, thorough: 128 };

/** For definitions: on how many pairs. */
const onPairs = ({ short, thorough }: typeof PAIRS): string =>
  `${short} held-out pairs, or ${thorough} in the thorough form`;
export const ON_FEW_PAIRS = onPairs(FEW_PAIRS);
export const ON_PLACES = onPairs(PLACE_PAIRS);

/** Draws of random nodes that are left on or patched: they differ far more than pairs do. */
const NODE_DRAWS = { short: 24, thorough: 48 };
export const ON_NODE_DRAWS = `${NODE_DRAWS.short} draws, or ${NODE_DRAWS.thorough} in the thorough form`;

export interface LabOptions {
  readonly form: "short" | "thorough";
  readonly seed: number;
  readonly signal?: AbortSignal | undefined;
  readonly progress?: ((share: number) => void) | undefined;
}

/** Scores on other prompts of the task. */
export interface PlaceScores {
  readonly name: string;
  readonly pairs: number;
  readonly circuit: Score;
  readonly full: Score;
}

export class Lab {
  readonly subject: Subject;
  readonly options: LabOptions;
  /** Held-out pairs. */
  readonly pairs: PairBatch;
  /** Fewer of them, for what computes whole models. */
  readonly few: PairBatch;
  /** The circuit's own ablation. */
  readonly ablated: AblatedTask;
  /** Flat indices of the circuit's nodes. */
  readonly nodes: readonly number[];
  /** Indices of the circuit's edges. */
  readonly edges: readonly number[];
  /** Flat indices of all other nodes. */
  readonly outside: readonly number[];
  private readonly cache = new Map<string, unknown>();
  private readonly mostOf = new Map<PairBatch, Evaluator>();
  private readonly prunedOf = new Map<PairBatch, Map<Ablation, Pruned>>();

  constructor(subject: Subject, options: LabOptions) {
    this.subject = subject;
    this.options = options;
    const { test } = subject.pairs(subject.seed);
    this.pairs = firstPairs(test, PAIRS[options.form]);
    this.few = firstPairs(test, FEW_PAIRS[options.form]);
    this.ablated = new AblatedTask(subject.model, subject.ablation);
    const { kept, removed } = subject.circuit;
    this.nodes = indices(kept);
    this.edges = subject.wiring.edgesOf(kept, removed);
    this.outside = indices(kept.map((k) => 1 - k));
  }

  /** How often something random is drawn. */
  draws(short: number, thorough: number): number {
    return this.options.form === "short" ? short : thorough;
  }

  get nodeDraws(): number {
    return NODE_DRAWS[this.options.form];
  }

  rng(...names: readonly (string | number)[]): Rng {
    return Rng.of(this.options.seed, "verify", ...names);
  }

  /** Lets signals through, and says how far the check is; throws when the user has ended it. */
  async breathe(done = 0, of = 1): Promise<void> {
    this.options.progress?.(done / of);
    await setImmediate();
    this.options.signal?.throwIfAborted();
  }

  /** The circuit on pairs, under its own ablation or another. */
  pruned(batch: PairBatch = this.pairs, ablation: Ablation = this.subject.ablation): Pruned {
    const known = this.prunedOf.get(batch) ?? new Map<Ablation, Pruned>();
    this.prunedOf.set(batch, known);
    let pruned = known.get(ablation);
    if (!pruned) {
      pruned = new Pruned(this.subject.stored, this.subject.circuit, ablation, batch);
      known.set(ablation, pruned);
    }
    return pruned;
  }

  /** The circuit on the held-out pairs. */
  get circuit(): Score {
    return this.once("circuit", () => this.pruned().score());
  }

  /** The unpruned model on them. */
  get full(): Score {
    return this.once("full", () => scorePairs(this.subject.model, this.pairs));
  }

  /** The model with every node ablated. */
  get empty(): Score {
    return this.once("empty", () => this.pruned().score({ kept: new Uint8Array(this.subject.wiring.nodes) }));
  }

  /**
   * Most of the model's nodes on pairs: by whole passes where they compute the same, since those are faster. Edges that
   * the circuit does not have stay removed, and scaled nodes scaled.
   */
  score(kept: Uint8Array, batch: PairBatch): Score {
    const { circuit, ablation } = this.subject;
    const plain = circuit.removed.size === 0 && circuit.scales.size === 0 && !ablation.frozenNorm;
    if (!plain || countKept(kept) < MANY) return this.pruned(batch).score({ kept });
    return this.ablated.passes(batch).score(kept);
  }

  /** The model without some nodes. */
  without(nodes: Iterable<number>, batch: PairBatch): Score {
    const kept = new Uint8Array(this.subject.wiring.nodes).fill(1);
    for (const n of nodes) kept[n] = 0;
    return this.most(batch).score(kept);
  }

  /** Scores most of the model's nodes; kept for each batch, since what frozen norms divide by takes a while to measure. */
  most(batch: PairBatch): Evaluator {
    const { frozenNorm } = this.subject.ablation;
    const known = this.mostOf.get(batch) ?? (frozenNorm ? this.ablated.evaluator(batch) : this.ablated.passes(batch));
    this.mostOf.set(batch, known);
    return known;
  }

  /** Scores circuits by what the search for this one asked: the task alone, or all that makes a circuit faithful. */
  get objective(): (changed: Partial<RestoredCircuit>) => Score {
    const faithful = this.faithful();
    if (!faithful) return (changed) => this.pruned().score(changed);
    const { kept, removed } = this.subject.circuit;
    const evaluator = this.once("objective", () =>
      new FaithfulTask(this.subject.model, this.subject.ablation, faithful).evaluator(
        firstPairs(this.pairs, PAIRS.short),
      ),
    );
    return (changed) => evaluator.score(changed.kept ?? kept, changed.removed ?? removed);
  }

  /** What a faithful circuit of a model has to withstand; undefined when this one was searched for by the task alone. */
  faithful(
    { model, ablation, seed }: Pick<Subject, "model" | "ablation" | "seed"> = this.subject,
  ): FaithfulOptions | undefined {
    const { ablate, faithful, target } = this.subject;
    if (!faithful) return undefined;
    return { target, seed, others: otherAblations(ablation, (kind) => ablate(kind, ablation.frozenNorm, model)) };
  }

  /** Other prompts of the task, as far as they fit the model. */
  async places(): Promise<readonly PlaceScores[]> {
    const known = this.cache.get("places") as readonly PlaceScores[] | undefined;
    if (known) return known;
    const all: PlaceScores[] = [];
    const { places, model } = this.subject;
    for (const [i, place] of places.entries()) {
      await this.breathe(i, places.length);
      const batch = place.pairs(PLACE_PAIRS[this.options.form]);
      if (!batch) continue;
      const circuit = new Pruned(this.subject.stored, this.subject.circuit, this.subject.ablation, batch).score();
      all.push({ name: place.name, pairs: batch.rows / 2, circuit, full: scorePairs(model, batch) });
    }
    this.cache.set("places", all);
    return all;
  }

  /** As many random nodes from outside of the circuit, site by site, as it has. */
  randomNodes(rng: Rng): number[] {
    return this.specs.flatMap(({ offset, width }) => {
      const inSite = (n: number): boolean => n >= offset && n < offset + width;
      return rng.sample(this.outside.filter(inSite), this.nodes.filter(inSite).length);
    });
  }

  /** `<layer>.<site>:<channel>` */
  nameOf(node: number): string {
    const spec = this.specs.find(({ offset, width }) => node >= offset && node < offset + width)!;
    const ref: NodeRef = { layer: spec.layer, site: spec.site, channel: node - spec.offset };
    return nodeId(ref);
  }

  /** The circuit's nodes and others. */
  with(nodes: Iterable<number>): Uint8Array {
    const kept = this.subject.circuit.kept.slice();
    for (const n of nodes) kept[n] = 1;
    return kept;
  }

  /** A loss with its bootstrap interval over pairs; of several draws the mean over them, and the interval over them too. */
  loss(name: string, ...draws: readonly Score[]): Figure {
    return { name, ...meanIntervalOfDraws(draws.map(pairLosses), this.rng("bootstrap", name)), unit: "nats" };
  }

  get specs() {
    return this.once("specs", () => siteSpecs(this.subject.stored.config));
  }

  private once<T>(key: string, make: () => T): T {
    if (!this.cache.has(key)) this.cache.set(key, make());
    return this.cache.get(key) as T;
  }
}

/** From this many kept nodes on, whole passes are faster than computing kept nodes alone. */
const MANY = 400;

/** Mean probability of the right answer among the two. */
export function rightProbability({ margins }: Score): number {
  return margins.reduce((sum, m) => sum + 1 / (1 + Math.exp(-m)), 0) / margins.length;
}
