/** `sparse eval`: loss and accuracy of a run on its tasks and their variants, and the curves of their probes. */
import * as path from "node:path";
import { type Command, Option } from "commander";
import { drawOf, type TaskLoss, type TaskSpec, variantNames } from "../../data/task.ts";
import { Model } from "../../model/model.ts";
import { isLearned, type PairMetrics, pairMetrics } from "../../train/evaluate.ts";
import { probeCurve } from "../../train/probes.ts";
import { mean } from "../../util/statistics.ts";
import { type EngineFlags, engineOptions, openEngine } from "../engine.ts";
import { breathe, interruptible } from "../interrupt.ts";
import { jsonOption, oneOf, taskLossOption } from "../options.ts";
import type { Output } from "../output.ts";
import { type PlotFlags, plotOptions } from "../plot-files.ts";
import { probeText, writeProbe } from "../probe-report.ts";
import { examplesText } from "../program.ts";
import { count, nats, percent, type Style, table } from "../render.ts";
import { openTrainedRun, type TrainedRun, tasksOfRun } from "../trained-run.ts";
import { unfit } from "../unfit.ts";

const SPLITS = ["val", "test"] as const;

/** Pairs at each value of a probe. */
const PROBE_PAIRS = 256;

interface Flags extends EngineFlags, PlotFlags {
  readonly task?: string;
  readonly variant?: string;
  readonly probes?: boolean;
  readonly out?: string;
  readonly taskLoss?: TaskLoss;
  readonly split: (typeof SPLITS)[number];
}

export function register(command: Command, out: Output): void {
  command
    .argument("<run>", "run directory")
    .addOption(new Option("--task <name>", "one of the run's tasks (default: all of them)"))
    .addOption(
      new Option(
        "--variant <name>",
        "one variant, or a probe with its value such as strings@2 (default: all variants)",
      ),
    )
    .addOption(
      new Option("--probes", "sweep the probes of the tasks instead, and draw their curves").conflicts("variant"),
    )
    .addOption(new Option("--out <dir>", "folder for the curves of --probes (default: <run>/probes)"));
  plotOptions(command)
    .addOption(taskLossOption())
    .addOption(
      new Option("--split <name>", "pairs to score on: val or test")
        .default("test" satisfies Flags["split"], "test")
        .argParser(oneOf("--split", SPLITS)),
    );
  engineOptions(command);
  jsonOption(command)
    .addHelpText("after", EXAMPLES)
    .action((dir: string, flags: Flags) => run(dir, flags, out));
}

const EXAMPLES = examplesText([
  ["sparse eval runs/quotes", "every task and variant of the run"],
  ["sparse eval runs/quotes --variant long --split val", "one variant on validation pairs"],
  ["sparse eval runs/quotes --variant strings@4", "a probe: four strings of the other kind before"],
  ["sparse eval runs/quotes --probes", "every probe over its values, as tables and SVG"],
]);

interface Row {
  readonly task: string;
  readonly variant: string;
  /** Null when the variant cannot be asked of this model. */
  readonly scores: PairMetrics | null;
  /** Why not. */
  readonly unfit?: string;
}

interface Job {
  readonly dir: string;
  readonly flags: Flags;
  readonly trained: TrainedRun;
  readonly tasks: readonly TaskSpec[];
  readonly model: Model;
  readonly out: Output;
  readonly signal: AbortSignal;
}

async function run(dir: string, flags: Flags, out: Output): Promise<void> {
  const started = performance.now();
  const trained = await openTrainedRun(dir);
  const tasks = tasksOfRun(trained, flags.task);
  const { variant, split, probes } = flags;
  if (variant !== undefined) for (const task of tasks) drawOf(task, variant);
  const result = await interruptible(out, async (signal) => {
    const engine = await openEngine(flags, out);
    try {
      const job: Job = { dir, flags, trained, tasks, model: new Model(engine, trained.model), out, signal };
      return probes ? await sweepProbes(job) : await scoreVariants(job);
    } finally {
      engine.dispose();
    }
  });
  out.done({ run: dir, split, ...result, seconds: (performance.now() - started) / 1000 });
}

async function scoreVariants(job: Job): Promise<object> {
  const { flags, tasks, trained, out, signal } = job;
  const { variant, split } = flags;
  const rows: Row[] = [];
  for (const task of tasks) {
    for (const name of variant === undefined ? variantNames(task) : [variant]) {
      await breathe(signal, "the scores so far are above");
      const row = { task: task.name, variant: name, ...score(job, task, name) };
      out.event({ event: "eval", task: row.task, variant: name, split, ...row.scores, fits: row.scores !== null });
      rows.push(row);
    }
  }
  const sizes = [...new Set(tasks.map((task) => trained.data.pairs(task).size(split)))].map(count);
  out.line(`${sizes.join(" or ")} pairs of the ${split} split each`);
  out.line(scoreTable(rows, out.style));
  const headline = rows.filter((row) => row.variant === (variant ?? "base")).map((row) => row.scores!);
  return {
    taskLoss: mean(headline.map((s) => s.taskLoss)),
    pairAccuracy: mean(headline.map((s) => s.pairAccuracy)),
    rows: rows.map(({ scores, ...row }) => ({ ...row, ...scores })),
  };
}

/** A variant that was not asked for by name may be more than can be asked. */
function score({ trained, model, flags }: Job, task: TaskSpec, variant: string): Pick<Row, "scores" | "unfit"> {
  const { data } = trained;
  try {
    const source = data.pairs(task);
    const pairs = source.pairs(flags.split, source.size(flags.split), variant);
    return { scores: pairMetrics(model, pairs, data.tokenizer, { loss: flags.taskLoss ?? data.lossOf(task) }) };
  } catch (error) {
    const why = unfit(error);
    if (why !== undefined && flags.variant === undefined && variant !== "base") return { scores: null, unfit: why };
    throw error;
  }
}

async function sweepProbes({ dir, flags, trained, tasks, model, out, signal }: Job): Promise<object> {
  const { split } = flags;
  const folder = flags.out ?? trained.run.paths.probes;
  const options = { split, pairs: PROBE_PAIRS };
  const files: string[] = [];
  for (const task of tasks) {
    for (const probe of Object.keys(task.probes ?? {})) {
      const wait = () => breathe(signal, files.length > 0 ? `written ${files.join(", ")}` : undefined);
      out.live(`sweeping ${task.name} ${probe}`);
      const curve = await probeCurve(model, trained.data.pairs(task), probe, options, wait).catch((error: unknown) => {
        const why = unfit(error);
        if (why === undefined) throw error;
        out.notice(`${task.name} ${probe} is left out: ${why}`);
      });
      if (!curve) continue;
      const { plots, json } = await writeProbe(curve, trained.name, path.join(folder, task.name), flags);
      files.push(...plots, json);
      out.event({ event: "probe", ...curve, plots, json });
      out.line(`${probeText(curve, out.style)}\n  written ${plots.join(", ")}\n`);
    }
  }
  if (tasks.every(({ probes = {} }) => Object.keys(probes).length === 0))
    out.notice(`no task of ${dir} has probes: ${tasks.map((task) => task.name).join(", ")}`);
  return { files };
}

function scoreTable(rows: readonly Row[], style: Style): string {
  const columns = [
    { title: "task" },
    { title: "variant" },
    { title: "task loss", align: "right" },
    { title: "accuracy", align: "right" },
    { title: "pair accuracy", align: "right" },
    { title: "full loss", align: "right" },
    { title: "" },
  ] as const;
  const cells = rows.map(({ task, variant, scores, unfit = "" }, i) => {
    const name = rows[i - 1]?.task === task ? "" : task;
    if (scores === null) return [name, variant, "-", "-", "-", "-", style.dim(unfit)];
    const verdict = isLearned(scores) ? style.green("learned") : style.red("not learned");
    const { taskLoss, accuracy, pairAccuracy, fullLoss } = scores;
    return [name, variant, nats(taskLoss), percent(accuracy), percent(pairAccuracy), nats(fullLoss), verdict];
  });
  return table(columns, cells, { style });
}
