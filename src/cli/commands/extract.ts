/** `circuit extract`: finds the smallest circuit for each task of a run, or of any model, and writes it. */
import * as fs from "node:fs";
import { availableParallelism } from "node:os";
import * as path from "node:path";
import { type Command, Option } from "commander";
import { Model } from "../../model/model.ts";
import { SITES, type Site } from "../../model/sites.ts";
import { ABLATIONS, type Ablation, type AblationKind } from "../../prune/ablation.ts";
import { otherAblations } from "../../prune/faithful.ts";
import { measureAblation } from "../../prune/means.ts";
import { extractionMemory } from "../../prune/memory.ts";
import { CHUNK_ROWS } from "../../prune/pair-scores.ts";
import { circuitPath, runPaths } from "../../runs/layout.ts";
import { inputError, interruptError, type SparseError } from "../../util/errors.ts";
import { ensureWritableDir, pathExists } from "../../util/files.ts";
import { doneFields, type Outcome, outcomeFields, printNext, printSummary } from "../circuit-report.ts";
import { writeCurves } from "../curve-files.ts";
import { describeEngine, type EngineFlags, engineOptions, openEngine } from "../engine.ts";
import { extractInParallel } from "../extract-parallel.ts";
import { CHUNK_TOKENS, type ExtractableTask, type ExtractSource, pairsSource, runSource } from "../extract-source.ts";
import { extractTask } from "../extract-task.ts";
import { interruptible } from "../interrupt.ts";
import { checkMemory } from "../memory.ts";
import { duration, jsonOption, listOf, oneOf, realNumber, wholeNumber } from "../options.ts";
import type { Output } from "../output.ts";
import { examplesText } from "../program.ts";
import { prepareText } from "../trained-run.ts";
import { printVerification } from "../verification-report.ts";
import { unverifiable, type VerifyJob, verifyTask } from "../verify-task.ts";

interface ExtractFlags extends EngineFlags {
  readonly task?: string;
  readonly variant?: string;
  readonly pairs?: string;
  readonly target: number;
  readonly seed: number;
  readonly seeds: number;
  readonly ablation: AblationKind;
  readonly frozenNorm: boolean;
  readonly tiedQk: boolean;
  readonly sites: readonly Site[];
  readonly pruneEdges: boolean;
  readonly faithful: boolean;
  readonly gates: number;
  readonly kicks: number;
  readonly budget?: number;
  readonly curve: boolean;
  readonly verify: boolean;
  readonly jobs?: number;
  readonly out?: string;
}

export function register(command: Command, out: Output): void {
  command
    .argument("<run>", "a finished run, such as runs/quotes; with --pairs any checkpoint or model folder")
    .option("--task <name>", "task or group, or all (default: every task of the run)")
    .option("--variant <name>", "a variant of the prompts, or a probe with its value such as strings@2 (default: base)")
    .addOption(
      new Option(
        "--pairs <file>",
        "contrast pairs as token ids, instead of the run's tasks: docs/FORMATS.md",
      ).conflicts(["task", "variant"]),
    )
    .option("--target <loss>", "task loss that the circuit must reach, nats", realNumber("--target"), 0.15)
    .option("--seed <n>", "first seed of the search", wholeNumber("--seed"), 0)
    .option("--seeds <n>", "how many seeds to search from; the smallest circuit is kept", wholeNumber("--seeds", 1), 1)
    .option(
      "--ablation <kind>",
      "what replaces a node outside: its mean over text, zero, or resample: what it was at some token of text",
      oneOf("--ablation", ABLATIONS),
      "mean",
    )
    .option("--frozen-norm", "norms divide by what they divide by in the full model", false)
    .option(
      "--sites <list>",
      "prune at these sites only, separated by commas; nodes of the others stay (default: all)",
      listOf("--sites", SITES),
      SITES,
    )
    .option("--tied-qk", "query and key of a channel stay or go together", false)
    .option("--prune-edges", "remove single edges too, after the nodes", false)
    .option(
      "--faithful",
      "also withstand other ablations, carry the model's values, and be needed by the model; larger, slower",
      false,
    )
    .option("--budget <time>", "search each task and seed for this long, such as 60s or 5m", duration("--budget"))
    .option("--gates <n>", "how often gates are learned by gradients, for places to start", wholeNumber("--gates"), 1)
    .option("--kicks <n>", "rounds of local search, at most", wholeNumber("--kicks"), 120)
    .option("--no-curve", "leave out the curve of task loss against edges")
    .option("--no-verify", "leave out the checks whether the circuit is real (`circuit verify`)")
    .option("--jobs <n>", "tasks searched at the same time (default: one for each core)", wholeNumber("--jobs", 1))
    .option("--out <dir>", "folder for the circuits (default: <run>/circuits)");
  engineOptions(command);
  jsonOption(command);
  command.addHelpText(
    "after",
    examplesText([
      ["circuit extract runs/quotes", "the smallest circuit at task loss 0.15"],
      ["circuit extract runs/quotes --target 0.05", "a stricter one"],
      ["circuit extract runs/quotes --seeds 5", "from five seeds, to see how stable it is"],
      ["circuit extract runs/binding --task var_swap --budget 5m", "longer, for a hard task"],
      ["circuit extract runs/quotes --faithful", "one that is more than sufficient"],
      ["circuit extract runs/all --task all", "every task, and the mean number of edges"],
      ["circuit extract model-folder --pairs pairs.json", "of a model that was trained elsewhere"],
    ]),
  );
  command.action((dir: string, flags: ExtractFlags) =>
    interruptible(out, (signal) => extract(dir, flags, out, signal)),
  );
}

async function extract(dir: string, flags: ExtractFlags, out: Output, signal: AbortSignal): Promise<void> {
  const started = performance.now();
  checkFlags(flags);
  const source =
    flags.pairs === undefined ? await runSource(dir, flags.task, flags.variant) : pairsSource(dir, flags.pairs);
  const places = source.tasks.map((task) => prepare(dir, task, flags));
  checkSizes(source, out);
  const jobs = Math.min(source.tasks.length, flags.jobs ?? availableParallelism());
  try {
    const outcomes =
      jobs > 1
        ? await extractInParallel({
            dir,
            source,
            places,
            target: flags.target,
            args: argsOf(flags),
            jobs,
            out,
            signal,
          })
        : await extractInTurn(dir, source, places, flags, out, signal);
    await finish(outcomes, {
      dir,
      tasks: source.tasks.map(({ name }) => name),
      flags,
      out,
      signal,
      seconds: (performance.now() - started) / 1000,
    });
  } finally {
    for (const place of places) place.leave();
  }
}

interface Place {
  readonly folder: string;
  readonly show: string;
  readonly leave: () => void;
}

async function extractInTurn(
  dir: string,
  source: ExtractSource,
  places: readonly Place[],
  flags: ExtractFlags,
  out: Output,
  signal: AbortSignal,
): Promise<Outcome[]> {
  const { trained } = source;
  if (trained) await prepareText(trained.run, trained.data, out, signal);
  const engine = await openEngine(flags, out);
  const outcomes: Outcome[] = [];
  try {
    out.line(`${out.style.bold(`Extracting from ${dir}`)} with the ${describeEngine(engine.info)}`);
    const tasks = source.tasks.map((t) => t.name);
    out.event({ event: "start", run: dir, tasks, target: flags.target, engine: engine.info });
    out.live("measuring what nodes are on average");
    const model = new Model(engine, source.stored);
    const text = source.text();
    const { ablation: kind, frozenNorm, seed } = flags;
    const measure = (of: AblationKind): Ablation => measureAblation(model, text, { kind: of, frozenNorm, seed });
    const ablation = measure(kind);
    const others = flags.faithful ? otherAblations(ablation, measure) : undefined;
    for (const [i, task] of source.tasks.entries()) {
      if (signal.aborted) break;
      const { folder, show } = places[i]!;
      const outcome = await extractTask({
        ...flags,
        curve: flags.curve && !flags.faithful,
        others,
        gateRuns: flags.gates,
        ablation,
        source,
        task,
        folder,
        model,
        text,
        out,
        signal,
      });
      const verified = await verifyOutcome(outcome, { source, task, folder, model, text, flags, out, signal });
      printNext(verified, show, out);
      outcomes.push(verified);
      out.event({ event: "circuit", ...outcomeFields(verified) });
    }
  } finally {
    engine.dispose();
  }
  return outcomes;
}

type Verification = Pick<VerifyJob, "source" | "task" | "folder" | "model" | "text" | "out" | "signal"> & {
  readonly flags: ExtractFlags;
};

/** Checks a circuit that was written, unless that is not wanted or its search was not finished. */
async function verifyOutcome(outcome: Outcome, { flags, ...job }: Verification): Promise<Outcome> {
  const { circuit, path: file, seeds } = outcome;
  const { out, signal } = job;
  const unfinished = signal.aborted || seeds.some(({ stopped }) => stopped);
  if (!flags.verify || !circuit || !file || unfinished) return outcome;
  const why = unverifiable(job.source.stored.config);
  if (why !== undefined) {
    out.notice(`the circuit of ${outcome.task} is not verified: ${why}`);
    return outcome;
  }
  try {
    const verified = await verifyTask({ ...job, circuit, form: "short", seed: flags.seed, peers: [] });
    printVerification(verified.report, out);
    out.line(`  written ${verified.files.page}`);
    return { ...outcome, circuit: verified.circuit };
  } catch (error) {
    if (signal.aborted) return outcome;
    throw error;
  }
}

interface Finished {
  readonly dir: string;
  readonly tasks: readonly string[];
  readonly flags: ExtractFlags;
  readonly out: Output;
  readonly signal: AbortSignal;
  readonly seconds: number;
}

async function finish(
  outcomes: readonly Outcome[],
  { dir, tasks, flags, out, signal, seconds }: Finished,
): Promise<void> {
  if (tasks.length > 1) {
    printSummary(outcomes, tasks, out);
    if (flags.curve && !flags.faithful) await writeCurves(flags.out ?? runPaths(dir).circuits, outcomes, out);
  }
  const failures = outcomes.flatMap((outcome) => outcome.failure ?? []);
  if (signal.aborted) failures.push(interrupted(outcomes));
  const last = failures.pop();
  for (const failure of failures) out.fail(failure);
  out.done({ run: dir, ...doneFields(outcomes, tasks, seconds) }, last);
}

/** The options again, for the process of one task; its own are added there. */
function argsOf(flags: ExtractFlags): string[] {
  const { target, seed, seeds, ablation, gates, kicks, budget, engine } = flags;
  const given = { target, seed, seeds, ablation, gates, kicks, engine };
  return [
    ...Object.entries(given).flatMap(([name, value]) => [`--${name}`, String(value)]),
    ...(flags.frozenNorm ? ["--frozen-norm"] : []),
    ...(flags.sites.length < SITES.length ? ["--sites", flags.sites.join(",")] : []),
    ...(flags.tiedQk ? ["--tied-qk"] : []),
    ...(flags.pruneEdges ? ["--prune-edges"] : []),
    ...(flags.faithful ? ["--faithful"] : []),
    ...(flags.curve ? [] : ["--no-curve"]),
    ...(flags.verify ? [] : ["--no-verify"]),
    ...(budget === undefined ? [] : ["--budget", `${budget}s`]),
    ...(flags.variant === undefined ? [] : ["--variant", flags.variant]),
    ...(flags.out === undefined ? [] : ["--out", flags.out]),
  ];
}

function checkSizes({ stored, tasks }: ExtractSource, out: Output): void {
  const prompts = tasks.map((task) => task.pairs(0).val.length);
  const { contextLength: length } = stored.config;
  const estimate = extractionMemory(
    stored,
    { batch: Math.max(1, Math.floor(CHUNK_TOKENS / length)), length },
    { batch: CHUNK_ROWS, length: Math.max(...prompts) },
  );
  const lower = { weights: "the size of the model", activations: "the size of the model" };
  checkMemory({ name: "Extraction", estimate, lower }, (text) => out.notice(text));
}

function interrupted(outcomes: readonly Outcome[]): SparseError {
  const written = outcomes.filter(({ path: file }) => file !== undefined);
  const unfinished = written.filter(({ seeds }) => seeds.some((seed) => seed.stopped)).map(({ path: file }) => file!);
  if (written.length === 0) return interruptError("interrupted: no circuit was written");
  if (unfinished.length === 0) return interruptError("interrupted: what was finished before is kept");
  return interruptError(
    `interrupted: the best found so far, marked as not searched to the end: ${unfinished.join(", ")}`,
  );
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
function prepare(dir: string, task: ExtractableTask, { out, pairs }: ExtractFlags): Place {
  const folder = out === undefined ? circuitPath(dir, task.folder) : path.join(out, task.folder);
  const made = !pathExists(folder);
  ensureWritableDir(folder);
  const leave = (): void => {
    if (made && pathExists(folder) && fs.readdirSync(folder).length === 0) fs.rmdirSync(folder);
  };
  const own = task.folder === task.name ? dir : `${dir} --task ${task.folder}`;
  return { folder, show: out === undefined && pairs === undefined ? own : folder, leave };
}
