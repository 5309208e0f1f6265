/** Extraction of one task's circuit: searches from every seed, and writes circuit.json and search.json. */
import * as path from "node:path";
import { readCircuit, serializeCircuit } from "../circuits/file.ts";
import { keepLabels } from "../circuits/labels.ts";
import type { Circuit } from "../circuits/schema.ts";
import { Wiring } from "../circuits/wiring.ts";
import type { Model } from "../model/model.ts";
import type { Site } from "../model/sites.ts";
import type { Ablation } from "../prune/ablation.ts";
import { type Candidate, compareSize } from "../prune/candidate.ts";
import { type ExtractOptions, type Extractor, fullScores, type Pairs } from "../prune/extract.ts";
import { maskOf } from "../prune/kept.ts";
import type { TokenBatch } from "../prune/means.ts";
import { goalError, type SparseError } from "../util/errors.ts";
import { ensureWritableDir, pathExists, writeFileAtomic } from "../util/files.ts";
import { formatJson } from "../util/json.ts";
import { extractorOf } from "../verify/extractor.ts";
import { buildCircuit, isFinished } from "./build-circuit.ts";
import {
  type Outcome,
  printOutcome,
  SearchProgress,
  type SeedResult,
  seedSummary,
  seedText,
} from "./circuit-report.ts";
import type { ExtractableTask, ExtractSource } from "./extract-source.ts";
import { measureCircuit } from "./measure-circuit.ts";
import type { Output } from "./output.ts";
import { nats, plural } from "./render.ts";

export interface TaskJob extends Omit<ExtractOptions, "signal" | "progress" | "calibrated" | "deadline"> {
  readonly source: ExtractSource;
  readonly task: ExtractableTask;
  /** How many seeds to search from. */
  readonly seeds: number;
  /** Seconds for the search of each seed. */
  readonly budget?: number | undefined;
  readonly ablation: Ablation;
  /** Sites whose nodes are pruned. */
  readonly sites: readonly Site[];
  /** What a faithful circuit has to withstand besides it; undefined when the task alone is asked for. */
  readonly others: readonly Ablation[] | undefined;
  /** Folder of circuit.json. */
  readonly folder: string;
  readonly model: Model;
  /** Text that the ablation values are over. */
  readonly text: readonly TokenBatch[];
  readonly out: Output;
  readonly signal: AbortSignal;
}

/** The search of a seed, with what is needed to finish its circuit. */
interface Searched extends SeedResult {
  readonly pairs: Pairs;
  readonly extractor: Extractor;
  /** What holds, or else comes nearest to it; undefined when nothing met the target. */
  readonly chosen: Candidate | undefined;
}

type Found = Searched & { readonly chosen: Candidate };

export async function extractTask(job: TaskJob): Promise<Outcome> {
  const started = performance.now();
  const { task, target, model, out } = job;
  const full = fullScores(model, task.pairs(job.seed));
  const fullTaskLoss = { train: full.train.taskLoss, val: full.val.taskLoss, test: full.test.taskLoss };
  const results: SeedResult[] = [];
  const outcome = (rest: Pick<Outcome, "circuit" | "path" | "failure">): Outcome => ({
    task: task.name,
    target,
    seeds: results.map(seedSummary),
    fullTaskLoss,
    seconds: (performance.now() - started) / 1000,
    ...rest,
  });
  const nothing = (failure: SparseError | undefined): Outcome =>
    outcome({ circuit: undefined, path: undefined, failure });
  if (fullTaskLoss.train > target || fullTaskLoss.val > target) return nothing(notLearned(job, fullTaskLoss.val));

  let best: Found | undefined;
  for (let seed = job.seed; seed < job.seed + job.seeds && !job.signal.aborted; seed++) {
    const searched = await searchSeed(job, seed);
    results.push(searched);
    out.event({ event: "seed", task: task.name, ...seedSummary(searched) });
    if (job.seeds > 1) out.line(`${task.name}, ${seedText(searched)}`);
    if (isFound(searched) && (!best || isBetter(searched, best))) best = searched;
  }
  if (!best) return nothing(job.signal.aborted ? undefined : noCircuit(job, results));

  const file = path.join(job.folder, "circuit.json");
  const before = earlier(file);
  const found = finish(job, best, full, results);
  const circuit = before ? keepLabels(found, before) : found;
  const stopped = best.extraction.search.stopped;
  if (stopped && before !== undefined && isFinished(before)) {
    // A circuit whose search was stopped must not take the place of one whose was not.
    out.notice(`${file} is of a finished search and stays as it is`);
    return outcome({ circuit, path: undefined, failure: undefined });
  }
  ensureWritableDir(job.folder);
  writeFileAtomic(path.join(job.folder, "search.json"), formatJson(searchRecord(results)));
  writeFileAtomic(file, serializeCircuit(circuit));
  const failure = best.extraction.search.best || stopped ? undefined : targetMissed(job, best.chosen);
  const done = outcome({ circuit, path: file, failure });
  printOutcome(done, out);
  return done;
}

async function searchSeed(job: TaskJob, seed: number): Promise<Searched> {
  const { model, task, out, signal, ablation, source, budget } = job;
  const pairs = task.pairs(seed);
  const wiring = new Wiring(source.stored.config, source.stored.params);
  const { others, target, sites } = job;
  const extractor = extractorOf(model, ablation, pairs, wiring, {
    sites,
    faithful: others && { others, target, seed },
  });
  const line = new SearchProgress(out, job.seeds > 1 ? `${task.name}, seed ${seed}` : task.name);
  const deadline = budget === undefined ? undefined : performance.now() + 1000 * budget;
  const progress = line.tell.bind(line);
  const extraction = await extractor.run({ ...job, seed, calibrated: !others, deadline, signal, progress });
  const { best, candidates } = extraction.search;
  return { seed, extraction, pairs, extractor, chosen: best ?? closest(candidates) };
}

/** The candidate that comes nearest to holding on the verification pairs. */
function closest(candidates: readonly Candidate[]): Candidate | undefined {
  return [...candidates].sort((a, b) => (a.verified?.loss ?? a.loss) - (b.verified?.loss ?? b.loss))[0];
}

function isFound(searched: Searched): searched is Found {
  return searched.chosen !== undefined;
}

/** What holds comes before what does not; then the smaller circuit. */
function isBetter(a: Found, b: Found): boolean {
  const [x, y] = [a.extraction.search.best, b.extraction.search.best];
  if (x && y) return compareSize(x, y) < 0;
  return x !== undefined || (y === undefined && compareSize(a.chosen, b.chosen) < 0);
}

function finish(
  job: TaskJob,
  { extraction, pairs, extractor, chosen, seed }: Found,
  full: ReturnType<typeof fullScores>,
  results: readonly SeedResult[],
): Circuit {
  const { source, task, target, ablation, model, text } = job;
  const kept = extraction.fewer?.kept ?? maskOf(chosen.kept, ablation.draws[0]!.length);
  const removed = extraction.fewer?.removed ?? new Set<number>();
  return buildCircuit({
    source,
    task: task.name,
    variant: task.variant,
    pairs,
    target,
    ablation,
    ablationTokens: text.reduce((sum, { ids }) => sum + ids.length, 0),
    chosen,
    extraction,
    measured: measureCircuit(extractor, { kept, removed, scales: new Map() }, model, text),
    curve: extraction.curve.map(({ kept: nodes, ...point }) => ({ ...point, scores: extractor.scores(nodes) })),
    full,
    seed,
    seeds: results.map((r) => r.seed),
    tiedQk: job.tiedQk,
    sites: job.sites,
    faithful: job.others !== undefined,
    evaluations: results.reduce((sum, r) => sum + r.extraction.search.evaluations, 0),
    engine: model.engine.info,
  });
}

/** The circuit that is there already, if it can be read. */
function earlier(file: string): Circuit | undefined {
  if (!pathExists(file)) return undefined;
  try {
    return readCircuit(file);
  } catch {
    return undefined;
  }
}

/** Every candidate of every seed: what was tried, what it cost, and how it held. */
function searchRecord(results: readonly SeedResult[]): object {
  return {
    format: "sparse-circuits/search",
    version: 1,
    seeds: results.map(({ seed, extraction: { search } }) => ({
      seed,
      stages: search.stages,
      evaluations: search.evaluations,
      stopped: search.stopped,
      candidates: search.candidates,
    })),
  };
}

function notLearned({ source, task, target, model }: TaskJob, loss: number): SparseError {
  const names = source.doesTasks(model, target).filter((name) => name !== task.name);
  const others = source.trained === undefined ? "" : `; of its tasks the model does ${names.join(", ") || "none"}`;
  return goalError(
    "task-not-learned",
    `Task ${task.name}: the full model's task loss is ${nats(loss)} on validation pairs, above the target ${target}${others}`,
    source.trained === undefined ? "Raise --target." : "Train longer or denser, or raise --target.",
  );
}

function noCircuit({ task, target }: TaskJob, results: readonly SeedResult[]): SparseError {
  const lowest = results.flatMap((r) => r.extraction.search.lowest ?? []).sort((a, b) => a.loss - b.loss)[0];
  const met = lowest
    ? `the lowest loss met was ${nats(lowest.loss)} with ${plural(lowest.nodes, "node")}`
    : "nothing was tried";
  return goalError(
    "no-circuit",
    `Task ${task.name}: no circuit reaches ${target} on the pairs that it is fitted to; ${met}`,
    "Raise --target or --seeds.",
  );
}

function targetMissed({ task, target }: TaskJob, { loss, verified }: Candidate): SparseError {
  const { loss: found, standardError } = verified!;
  return goalError(
    "target-missed",
    `Task ${task.name}: no circuit holds on validation pairs. The nearest has ${nats(loss)} on the pairs it was fitted to, ` +
      `and ${nats(found)} with a standard error of ${nats(standardError)} on validation pairs, of which it must stay two below ${target}`,
    "It is written all the same. Try --seeds 5, or a higher --target.",
  );
}
