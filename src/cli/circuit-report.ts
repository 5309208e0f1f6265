/** What `circuit extract` tells: the status line of a search, a task's result as text, and the fields of its event. */
import type { Circuit } from "../circuits/schema.ts";
import type { Size } from "../prune/candidate.ts";
import type { Extraction, ExtractProgress, PairSplit } from "../prune/extract.ts";
import type { SparseError } from "../util/errors.ts";
import { geometricMean } from "../util/statistics.ts";
import type { Output } from "./output.ts";
import { clock, count, nats, percent, plural, table } from "./render.ts";

/** One search of a task. */
export interface SeedResult {
  readonly seed: number;
  readonly extraction: Extraction;
}

/** What a seed found. */
export interface SeedSummary {
  readonly seed: number;
  readonly nodes: number | null;
  readonly edges: number | null;
  readonly taskLoss: { readonly train: number | null; readonly val: number | null };
  readonly reached: boolean;
  /** Whether it was ended before it was done. */
  readonly stopped: boolean;
}

/** What became of a task. */
export interface Outcome {
  readonly task: string;
  readonly target: number;
  readonly seeds: readonly SeedSummary[];
  /** The unpruned model's task loss. */
  readonly fullTaskLoss: Readonly<Record<PairSplit, number>>;
  /** The circuit to report; undefined when there is none. */
  readonly circuit: Circuit | undefined;
  /** Where it was written; undefined when it was not. */
  readonly path: string | undefined;
  readonly seconds: number;
  /** Why it is not what was asked for. */
  readonly failure: SparseError | undefined;
}

/** The status line: stage, smallest circuit so far, and how long the search still takes. */
export class SearchProgress {
  private readonly out: Output;
  private readonly name: string;
  private key = "";
  private started = 0;

  /** `name`: of the task, and of the seed if there are several. */
  constructor(out: Output, name: string) {
    this.out = out;
    this.name = name;
  }

  tell({ stage, done, of, best, calibrated }: ExtractProgress): void {
    const now = performance.now();
    const key = `${stage} ${calibrated}`;
    if (key !== this.key || done === 0) {
      this.key = key;
      this.started = now;
    }
    const left = secondsLeft((now - this.started) / 1000, done, of);
    const parts = [
      `${this.name}: ${calibrated ? "calibrated, " : ""}${stage} ${done}/${of}`,
      ...(best ? [`best ${sizeText(best)}`] : []),
      ...(left === undefined ? [] : [`${clock(left)} left of this stage`]),
    ];
    this.out.live(parts.join(", "));
  }
}

/** Time that the rest of a stage takes at its pace so far; undefined before there is one. */
function secondsLeft(seconds: number, done: number, of: number): number | undefined {
  return done > 1 ? (seconds / done) * (of - done) : undefined;
}

function sizeText({ nodes, edges }: Size): string {
  return `${plural(nodes, "node")}, ${plural(edges, "edge")}`;
}

export function seedSummary({ seed, extraction: { search } }: SeedResult): SeedSummary {
  const { best, stopped } = search;
  return {
    seed,
    nodes: best?.nodes ?? null,
    edges: best?.edges ?? null,
    taskLoss: { train: best?.loss ?? null, val: best?.verified?.loss ?? null },
    reached: best !== undefined,
    stopped,
  };
}

/** `seed 3: 13 nodes, 14 edges, task loss 0.128 on validation pairs` */
export function seedText({ seed, extraction: { search } }: SeedResult): string {
  const { best, candidates } = search;
  if (best?.verified) {
    return `seed ${seed}: ${sizeText(best)}, task loss ${nats(best.verified.loss)} on validation pairs`;
  }
  const some = candidates.length > 0 ? `${plural(candidates.length, "circuit")} met, none` : "no circuit";
  return `seed ${seed}: ${some} holds on validation pairs${search.stopped ? " yet" : ""}`;
}

function reached({ circuit, failure }: Outcome): boolean {
  return circuit !== undefined && failure === undefined;
}

/** The fields of a task's `circuit` event, and of `done` when it is the only task. */
export function outcomeFields(outcome: Outcome): object {
  const { task, target, circuit, seeds, fullTaskLoss, failure } = outcome;
  const calibrated = circuit?.calibrated;
  return {
    task,
    reached: reached(outcome),
    nodes: circuit?.counts.nodes ?? null,
    edges: circuit?.counts.edges ?? null,
    edgesPerMatrix: circuit?.counts.edgesPerMatrix ?? null,
    taskLoss: circuit?.taskLoss ?? { train: null, val: null, test: null },
    pairAccuracy: circuit?.pairAccuracy ?? { train: null, val: null, test: null },
    calibrated: calibrated
      ? { nodes: calibrated.nodes, edges: calibrated.edges, taskLoss: calibrated.taskLoss, scale: calibrated.scale }
      : null,
    fullTaskLoss,
    target,
    oneMinimal: circuit?.search.oneMinimal ?? null,
    verification: verificationFields(circuit),
    seeds,
    seconds: Number(outcome.seconds.toFixed(3)),
    circuit: outcome.path ?? null,
    ...(failure === undefined ? {} : { failure: failure.code }),
  };
}

function verificationFields(circuit: Circuit | undefined): object | null {
  if (!circuit?.verification) return null;
  const { form, summary, checks } = circuit.verification;
  return { form, summary, verdicts: Object.fromEntries(checks.map(({ name, verdict }) => [name, verdict])) };
}

/** Fields of the last event: the task's own when there is one task, else a list. */
export function doneFields(outcomes: readonly Outcome[], tasks: readonly string[], seconds: number): object {
  const [first] = outcomes;
  if (first && tasks.length === 1) return { ...outcomeFields(first), seconds: Number(seconds.toFixed(3)) };
  return {
    tasks: outcomes.map((o) => o.task),
    reached: unsolved(outcomes, tasks).length === 0,
    geometricMeanEdges: meanEdges(outcomes, tasks),
    circuits: outcomes.map(outcomeFields),
    seconds: Number(seconds.toFixed(3)),
  };
}

/** Prints a task's circuit. What to do next is left to whoever has nothing more to say of it. */
export function printOutcome({ task, circuit, seeds, seconds, path }: Outcome, out: Output): void {
  if (!circuit) return;
  const { calibrated, search } = circuit;
  const edgesWentToo = search.stages.some(({ name }) => name === "edges");
  const spare = search.oneMinimal || edgesWentToo ? "" : " (not 1-minimal: a single node could still go)";
  const unfinished = seeds.some((seed) => seed.stopped) ? " (search not finished)" : spare;
  out.line(`\n${out.style.bold(task)}  ${sizeText(circuit.counts)}${unfinished}`);
  const split = (name: PairSplit): string[] => [
    name,
    nats(circuit.taskLoss[name]!),
    percent(circuit.pairAccuracy[name]!),
    nats(circuit.fullTaskLoss[name]!),
    count(circuit.task.pairs[name]),
  ];
  const right = (title: string) => ({ title, align: "right" as const });
  out.line(
    table(
      [{ title: "pairs" }, ...["task loss", "pair accuracy", "full model", "number"].map(right)],
      [split("train"), split("val"), split("test")],
      { style: out.style },
    ),
  );
  const stages = search.stages.map((s) => `${s.name} ${s.nodesAfter} nodes ${s.edgesAfter} edges`);
  out.line(`  search: ${stages.join(" > ")}; ${count(search.candidates)} circuits scored in ${seconds.toFixed(1)} s`);
  if (calibrated) {
    out.line(
      `  calibrated (scale ${calibrated.scale.toFixed(2)}, at most 10): ${sizeText(calibrated)}, ` +
        `test task loss ${nats(calibrated.taskLoss)}`,
    );
  }
  if (path !== undefined) out.line(`  written ${path}`);
}

/** Where the circuit can be looked at, if it was written. `show`: what to give to \`circuit show\`. */
export function printNext({ path }: Outcome, show: string, out: Output): void {
  if (path !== undefined) out.line(`  next: circuit show ${show}`);
}

/** Those of the tasks that have no circuit, or one whose search was not ended. */
function unsolved(outcomes: readonly Outcome[], tasks: readonly string[]): string[] {
  const solved = outcomes.filter((o) => reached(o) && !o.seeds.some((seed) => seed.stopped)).map((o) => o.task);
  return tasks.filter((task) => !solved.includes(task));
}

/** Geometric mean of the edges over tasks; null when one is not solved. */
function meanEdges(outcomes: readonly Outcome[], tasks: readonly string[]): number | null {
  if (unsolved(outcomes, tasks).length > 0) return null;
  return geometricMean(outcomes.map((o) => o.circuit!.counts.edges));
}

/** Prints all tasks of a run, and its interpretability: the geometric mean of edges (Gao et al. 2025, 2). */
export function printSummary(outcomes: readonly Outcome[], tasks: readonly string[], out: Output): void {
  const rows = outcomes.map((outcome) => {
    const { circuit, fullTaskLoss, failure, seconds } = outcome;
    const calibrated = circuit?.calibrated;
    return [
      outcome.task,
      circuit && !failure ? count(circuit.counts.nodes) : "-",
      circuit && !failure ? count(circuit.counts.edges) : "-",
      circuit && !failure ? nats(circuit.taskLoss.test!) : (failure?.code ?? "-"),
      nats(fullTaskLoss.test),
      calibrated ? `${calibrated.nodes}/${calibrated.edges}` : "-",
      seconds.toFixed(0),
    ];
  });
  const right = (title: string) => ({ title, align: "right" as const });
  const titles = ["nodes", "edges", "test task loss", "full model", "calibrated", "seconds"];
  out.line(`\n${table([{ title: "task" }, ...titles.map(right)], rows, { style: out.style })}`);
  const mean = meanEdges(outcomes, tasks);
  out.line(
    mean === null
      ? `geometric mean of edges: undefined, without a circuit of ${unsolved(outcomes, tasks).join(", ")}`
      : `geometric mean of edges over ${outcomes.length} tasks: ${mean.toFixed(1)}`,
  );
}
