/** `circuit extract`: finds the smallest circuit for each task of a run and writes it into the run. */
import * as fs from "node:fs";
import * as path from "node:path";
import type { Command } from "commander";
import type { TaskSpec } from "../../data/task.ts";
import { Model } from "../../model/model.ts";
import type { Ranking } from "../../prune/extract.ts";
import { meanActivations, type TokenBatch } from "../../prune/means.ts";
import { extractionMemory } from "../../prune/memory.ts";
import { CHUNK_ROWS } from "../../prune/pair-scores.ts";
import { circuitPath } from "../../runs/layout.ts";
import { inputsAndTargets } from "../../train/evaluate.ts";
import { inputError, interruptError, type SparseError } from "../../util/errors.ts";
import { ensureWritableDir, pathExists } from "../../util/files.ts";
import { doneFields, type Outcome, outcomeFields } from "../circuit-report.ts";
import { describeEngine, type EngineFlags, engineOptions, openEngine } from "../engine.ts";
import { extractTask } from "../extract-task.ts";
import { interruptible } from "../interrupt.ts";
import { checkMemory, PROBED_PAIRS } from "../memory.ts";
import { jsonOption, oneOf, realNumber, wholeNumber } from "../options.ts";
import type { Output } from "../output.ts";
import { examplesText } from "../program.ts";
import { openTrainedRun, prepareText, type TrainedRun, tasksOfRun } from "../trained-run.ts";

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

/** Corpus tokens that the ablation means are over, and how many go through the model at once. */
const ABLATION_TOKENS = 65_536;
const CHUNK_TOKENS = 2048;
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
    .option("--kicks <n>", "rounds of local search, at most", wholeNumber("--kicks"), 120)
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
  const started = performance.now();
  checkFlags(flags);
  const trained = await openTrainedRun(dir);
  const tasks = tasksOfRun(trained, flags.task);
  const places = tasks.map((task) => prepare(dir, task, flags.out));
  checkSizes(trained, tasks, out);
  await prepareText(trained.run, trained.data, out, signal);
  const engine = await openEngine(flags, out);
  const outcomes: Outcome[] = [];
  try {
    out.line(`${out.style.bold(`Extracting from ${dir}`)} with the ${describeEngine(engine.info)}`);
    out.event({ event: "start", run: dir, tasks: tasks.map((t) => t.name), target: flags.target, engine: engine.info });
    out.live("measuring what nodes are on average");
    const model = new Model(engine, trained.model);
    const text = ablationText(trained);
    const means = meanActivations(model, text);
    for (const [i, task] of tasks.entries()) {
      if (signal.aborted) break;
      const { folder, show } = places[i]!;
      const outcome = await extractTask({ ...flags, trained, task, folder, show, model, text, means, out, signal });
      outcomes.push(outcome);
      out.event({ event: "circuit", ...outcomeFields(outcome) });
    }
  } finally {
    engine.dispose();
    for (const place of places) place.leave();
  }
  const failures = outcomes.flatMap((outcome) => outcome.failure ?? []);
  if (signal.aborted) failures.push(interrupted(outcomes));
  const last = failures.pop();
  for (const failure of failures) out.fail(failure);
  out.done(doneFields(outcomes, (performance.now() - started) / 1000), last);
}

function checkSizes({ data, model }: TrainedRun, tasks: readonly TaskSpec[], out: Output): void {
  const prompts = tasks.map((task) => data.pairs(task).batch("val", PROBED_PAIRS));
  const { contextLength: length } = model.config;
  const estimate = extractionMemory(
    model,
    { batch: Math.max(1, Math.floor(CHUNK_TOKENS / length)), length },
    { batch: CHUNK_ROWS, length: Math.max(...prompts.map((batch) => batch.length)) },
  );
  const lower = { weights: "the size of the model", activations: "the size of the model" };
  checkMemory({ name: "Extraction", estimate, lower }, (text) => out.notice(text));
}

function interrupted(outcomes: readonly Outcome[]): SparseError {
  const written = outcomes.flatMap((outcome) => outcome.path ?? []);
  return written.length === 0
    ? interruptError("interrupted: no circuit was written")
    : interruptError(`interrupted: ${written.join(", ")} is the best found so far, marked as not searched to the end`);
}

/** Largest first seed; seeds number the training pairs too. */
const LARGEST_SEED = 2 ** 31 - 1;

function checkFlags({ target, seed, seeds }: ExtractFlags): void {
  if (!(target > 0 && target < Math.LN2)) {
    throw inputError(
      "target",
      `--target: expected a loss above 0 and below ${Math.LN2.toFixed(3)} (chance), but received ${target}`,
      "The usual target is 0.15.",
    );
  }
  if (seed + seeds > LARGEST_SEED) {
    throw inputError(
      "seed",
      `--seed and --seeds: expected seeds up to ${LARGEST_SEED}, but received ${seed} and ${seeds}`,
      `The nearest valid --seed is ${Math.max(0, LARGEST_SEED - seeds)}.`,
    );
  }
}

/** The folder for a task's circuit, made and checked before the work; `leave` removes it if it was made and is empty. */
function prepare(dir: string, task: TaskSpec, out: string | undefined) {
  const folder = out === undefined ? circuitPath(dir, task.name) : path.join(out, task.name);
  const made = !pathExists(folder);
  ensureWritableDir(folder);
  const leave = (): void => {
    if (made && pathExists(folder) && fs.readdirSync(folder).length === 0) fs.rmdirSync(folder);
  };
  return { folder, show: out === undefined ? dir : folder, leave };
}

/** Text for the ablation means, in pieces whose activations stay in the caches. */
function ablationText({ data }: TrainedRun): TokenBatch[] {
  const text = data.sample("calib", ABLATION_TOKENS);
  const { ids } = inputsAndTargets(text);
  const { rows, contextLength: length } = text;
  const step = Math.max(1, Math.floor(CHUNK_TOKENS / length));
  const pieces: TokenBatch[] = [];
  for (let row = 0; row < rows; row += step) {
    const count = Math.min(step, rows - row);
    pieces.push({ ids: ids.subarray(row * length, (row + count) * length), tokens: { batch: count, length } });
  }
  return pieces;
}
