/** `circuit extract`: finds the smallest circuit for each task of a run and writes it into the run. */
import type { Command } from "commander";
import { connectedNodes } from "../../circuits/connect.ts";
import { circuitEdges } from "../../circuits/edges.ts";
import { serializeCircuit } from "../../circuits/file.ts";
import type { Circuit } from "../../circuits/schema.ts";
import { type PairBatch, SPLIT_SIZE } from "../../data/pairs.ts";
import type { TaskSpec } from "../../data/task.ts";
import type { Engine } from "../../engine/engine.ts";
import { Model } from "../../model/model.ts";
import { nodeCount } from "../../model/sites.ts";
import { drivingTokens } from "../../prune/drivers.ts";
import { type Extraction, Extractor, type Pairs, type Ranking } from "../../prune/extract.ts";
import { meanActivations, type TokenBatch } from "../../prune/means.ts";
import { type Candidate, indices, maskOf } from "../../prune/search.ts";
import { circuitPath } from "../../runs/layout.ts";
import { inputsAndTargets } from "../../train/evaluate.ts";
import { goalError, inputError, interruptError, type SparseError } from "../../util/errors.ts";
import { ensureWritableDir, writeFileAtomic } from "../../util/files.ts";
import { formatJson } from "../../util/json.ts";
import { buildCircuit } from "../build-circuit.ts";
import { describeEngine, type EngineFlags, engineOptions, openEngine } from "../engine.ts";
import { interruptible } from "../interrupt.ts";
import { jsonOption, oneOf, realNumber, wholeNumber } from "../options.ts";
import type { Output } from "../output.ts";
import { examplesText } from "../program.ts";
import { count, nats, percent, plural, table } from "../render.ts";
import { openTrainedRun, type TrainedRun, tasksOfRun } from "../trained-run.ts";

interface ExtractFlags extends EngineFlags {
  readonly task?: string;
  readonly target: number;
  readonly seed: number;
  readonly seeds: number;
  readonly ablation: "mean" | "zero";
  readonly ranking: Ranking;
  readonly kicks: number;
  readonly out?: string;
}

/** Pairs that the search fits: fewer than 16 overfit, more cost time. */
const TRAIN_PAIRS = 128;
/** Corpus tokens that the ablation means are over. */
const ABLATION_TOKENS = 65_536;
/** Tokens listed for a node. */
const DRIVERS = 3;

export function register(command: Command, out: Output): void {
  command
    .argument("<run>", "a finished run, such as runs/quotes")
    .option("--task <name>", "task or group (default: every task of the run)")
    .option("--target <loss>", "task loss that the circuit must reach, nats", realNumber("--target"), 0.15)
    .option("--seed <n>", "first seed of the search", wholeNumber("--seed"), 0)
    .option("--seeds <n>", "how many seeds to search from; the smallest circuit is kept", wholeNumber("--seeds", 1), 1)
    .option(
      "--ablation <kind>",
      "what replaces a node outside: mean or zero",
      oneOf("--ablation", ["mean", "zero"]),
      "mean",
    )
    .option(
      "--ranking <kind>",
      "how nodes are ranked first: attribution, or masks to add learned masks (slower)",
      oneOf("--ranking", ["attribution", "masks"]),
      "attribution",
    )
    .option("--kicks <n>", "rounds of local search", wholeNumber("--kicks"), 20)
    .option("--out <dir>", "folder for the circuits (default: <run>/circuits)");
  engineOptions(command);
  jsonOption(command);
  command.addHelpText(
    "after",
    examplesText([
      ["circuit extract runs/quotes", "the smallest circuit at task loss 0.15"],
      ["circuit extract runs/quotes --target 0.05", "a stricter one"],
      ["circuit extract runs/quotes --seeds 5", "from five seeds, to see how stable it is"],
    ]),
  );
  command.action((dir: string, flags: ExtractFlags) =>
    interruptible(out, (signal) => extract(dir, flags, out, signal)),
  );
}

async function extract(dir: string, flags: ExtractFlags, out: Output, signal: AbortSignal): Promise<void> {
  checkTarget(flags.target);
  const trained = openTrainedRun(dir);
  const tasks = tasksOfRun(trained, flags.task);
  const folder = (task: TaskSpec): string =>
    flags.out === undefined ? circuitPath(dir, task.name) : `${flags.out}/${task.name}`;
  for (const task of tasks) ensureWritableDir(folder(task));
  const engine = openEngine(flags, out);
  out.line(`${out.style.bold(`Extracting from ${dir}`)} with the ${describeEngine(engine.info)}`);
  out.event({ event: "start", run: dir, tasks: tasks.map((t) => t.name), target: flags.target, engine: engine.info });
  const model = new Model(engine, trained.model);
  const text = trained.data
    .sample("calib", ABLATION_TOKENS)
    .map((b): TokenBatch => ({ ids: inputsAndTargets(b).ids, tokens: { batch: b.rows, length: b.contextLength } }));
  const means = meanActivations(model, text);
  const failures: SparseError[] = [];
  for (const task of tasks) {
    const failure = await extractTask({
      trained,
      task,
      flags,
      out,
      signal,
      engine,
      model,
      text,
      means,
      folder: folder(task),
    });
    if (failure) failures.push(failure);
  }
  engine.dispose();
  if (signal.aborted)
    throw interruptError("interrupted", "What was found so far is written, marked as not searched to the end.");
  const first = failures[0];
  if (first) throw first;
}

function checkTarget(target: number): void {
  if (!(target > 0 && target < Math.LN2)) {
    throw inputError(
      "target",
      `--target: expected a loss between 0 and ${Math.LN2.toFixed(3)} (chance), but received ${target}`,
      "The usual target is 0.15.",
    );
  }
}

interface Job {
  readonly trained: TrainedRun;
  readonly task: TaskSpec;
  readonly flags: ExtractFlags;
  readonly out: Output;
  readonly signal: AbortSignal;
  readonly engine: Engine;
  readonly model: Model;
  readonly text: readonly TokenBatch[];
  readonly means: Float32Array;
  readonly folder: string;
}

interface SeedResult {
  readonly seed: number;
  readonly extraction: Extraction;
  readonly kept: readonly number[] | undefined;
}

async function extractTask(job: Job): Promise<SparseError | undefined> {
  const { trained, task, flags, out, model } = job;
  const started = performance.now();
  const source = trained.data.pairs(task);
  const { config, params } = trained.model;
  const fill = flags.ablation === "mean" ? job.means : new Float32Array(nodeCount(config));
  const measures = {
    size: (kept: Uint8Array) => ({
      nodes: indices(kept).length,
      edges: circuitEdges(config, params, kept).edges.length,
    }),
    connected: (kept: Uint8Array) => connectedNodes(config, params, kept).kept,
  };
  const val = source.batch("val", SPLIT_SIZE.val);
  const test = source.batch("test", SPLIT_SIZE.test);
  const results: SeedResult[] = [];
  let pairs: Pairs | undefined;
  let best: { result: SeedResult; pairs: Pairs; extractor: Extractor } | undefined;
  for (let seed = flags.seed; seed < flags.seed + flags.seeds && !job.signal.aborted; seed++) {
    const train: PairBatch = source.batch("train", TRAIN_PAIRS, "base", seed * TRAIN_PAIRS);
    pairs = { train, val, test };
    const extractor = new Extractor(model, fill, pairs, measures);
    const full = extractor.full();
    if (full.train.taskLoss > flags.target || full.val.taskLoss > flags.target) {
      return notLearned(job, full.val.taskLoss);
    }
    const extraction = await extractor.run({
      target: flags.target,
      seed,
      ranking: flags.ranking,
      kicks: flags.kicks,
      calibrated: true,
      signal: job.signal,
      progress: (stage, done, of, size) => {
        const so = size ? `, best ${plural(size.nodes, "node")} ${plural(size.edges, "edge")}` : "";
        out.live(`${task.name}: ${stage} ${done}/${of}${so}`);
      },
    });
    const chosen = extraction.search.best ?? closest(extraction.search.candidates);
    const result: SeedResult = { seed, extraction, kept: chosen?.kept };
    results.push(result);
    out.event({
      event: "seed",
      task: task.name,
      seed,
      nodes: chosen?.nodes ?? null,
      edges: chosen?.edges ?? null,
      reached: extraction.search.best !== undefined,
    });
    if (chosen && (!best || better(result, best.result))) best = { result, pairs, extractor };
  }
  if (!best) {
    const lowest = results.map((r) => r.extraction.search.lowest).filter((x) => x !== undefined)[0];
    const text = lowest
      ? `the lowest loss met was ${nats(lowest.loss)} with ${plural(lowest.nodes, "node")}`
      : "nothing was tried";
    return goalError(
      "no-circuit",
      `Task ${task.name}: no circuit reaches ${flags.target}; ${text}`,
      "Raise --target or --seeds.",
    );
  }
  const kept = best.result.kept!;
  const circuit = buildCircuit({
    runName: trained.name,
    model: trained.model,
    tokenizer: trained.data.tokenizer,
    task: task.name,
    pairs: best.pairs,
    target: flags.target,
    ablation: flags.ablation,
    ablationTokens: ABLATION_TOKENS,
    fill,
    kept,
    extraction: best.result.extraction,
    scores: best.extractor.scores(maskOf(kept, fill.length)),
    drivers: drivingTokens(model, kept, job.text, DRIVERS),
    method: flags.ranking,
    seeds: results.map((r) => r.seed),
    evaluations: results.reduce((sum, r) => sum + r.extraction.search.evaluations, 0),
    oneMinimal: !best.result.extraction.search.stopped,
    engine: job.engine.info,
  });
  const path = `${job.folder}/circuit.json`;
  writeFileAtomic(path, serializeCircuit(circuit));
  writeFileAtomic(`${job.folder}/search.json`, formatJson(searchRecord(results)));
  const seconds = (performance.now() - started) / 1000;
  report(job, circuit, results, seconds, path);
  if (best.result.extraction.search.best) return undefined;
  return goalError(
    "target-missed",
    `Task ${task.name}: the circuit meets the target ${flags.target} on the pairs it was fitted to but has ` +
      `${nats(circuit.taskLoss.val!)} on validation pairs`,
    "It is written all the same. Try --seeds 5, or a higher --target.",
  );
}

function notLearned({ task, flags }: Job, loss: number): SparseError {
  return goalError(
    "target-below-model",
    `Task ${task.name}: the full model's task loss is ${nats(loss)} on validation pairs, above the target ${flags.target}`,
    "Train longer or denser, or raise --target.",
  );
}

/** The candidate that comes nearest to holding on the verification pairs. */
function closest(candidates: readonly Candidate[]): Candidate | undefined {
  return [...candidates].sort((a, b) => (a.verified?.loss ?? a.loss) - (b.verified?.loss ?? b.loss))[0];
}

function better(a: SeedResult, b: SeedResult): boolean {
  const [x, y] = [a.extraction.search.best, b.extraction.search.best];
  if (!x || !y) return x !== undefined;
  return x.edges - y.edges < 0 || (x.edges === y.edges && x.nodes < y.nodes);
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

function report(job: Job, circuit: Circuit, results: readonly SeedResult[], seconds: number, path: string): void {
  const { out, task, flags } = job;
  const { counts, calibrated } = circuit;
  const per = results.map(({ seed, extraction }) => {
    const b = extraction.search.best;
    return { seed, nodes: b?.nodes ?? null, edges: b?.edges ?? null, valLoss: b?.verified?.loss ?? null };
  });
  out.line(`\n${out.style.bold(task.name)}  ${plural(counts.nodes, "node")}, ${plural(counts.edges, "edge")}`);
  const split = (name: PairSplitName): string[] => [
    name,
    nats(circuit.taskLoss[name] ?? Number.NaN),
    percent(circuit.pairAccuracy[name] ?? 0),
    nats(circuit.fullTaskLoss[name] ?? Number.NaN),
    count(circuit.task.pairs[name]),
  ];
  out.line(
    table(
      [
        { title: "pairs" },
        { title: "task loss", align: "right" },
        { title: "pair accuracy", align: "right" },
        { title: "full model", align: "right" },
        { title: "number", align: "right" },
      ],
      [split("train"), split("val"), split("test")],
      { style: out.style },
    ),
  );
  const stages = circuit.search.stages.map((s) => `${s.name} ${s.nodesAfter} nodes ${s.edgesAfter ?? "?"} edges`);
  out.line(
    `  search: ${stages.join(" > ")}; ${count(circuit.search.candidates)} circuits scored in ${seconds.toFixed(1)} s`,
  );
  if (results.length > 1) {
    out.line(`  seeds:  ${per.map((p) => `${p.seed}: ${p.nodes ?? "-"}/${p.edges ?? "-"}`).join("  ")} (nodes/edges)`);
  }
  if (calibrated) {
    out.line(
      `  calibrated (scale ${calibrated.scale.toFixed(2)}, at most 10): ${plural(calibrated.nodes, "node")}, ` +
        `${plural(calibrated.edges, "edge")}, test task loss ${nats(calibrated.taskLoss)}`,
    );
  }
  out.line(`  written ${path}`);
  out.line(`  next: circuit show ${job.trained.run.dir}`);
  out.done({
    task: task.name,
    nodes: counts.nodes,
    edges: counts.edges,
    edgesPerMatrix: counts.edgesPerMatrix,
    taskLoss: circuit.taskLoss,
    calibrated: calibrated
      ? { nodes: calibrated.nodes, edges: calibrated.edges, taskLoss: calibrated.taskLoss, scale: calibrated.scale }
      : null,
    fullTaskLoss: circuit.fullTaskLoss,
    target: flags.target,
    seeds: per,
    seconds: Number(seconds.toFixed(3)),
    circuit: path,
  });
}

type PairSplitName = "train" | "val" | "test";
