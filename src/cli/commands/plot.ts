/** `sparse plot`: what the metrics of runs hold as figures, one run or several side by side, and probes over training. */
import * as path from "node:path";
import { type Command, Option } from "commander";
import { findTasks } from "../../../tasks/index.ts";
import { openRun, type Run, readMetrics } from "../../runs/open.ts";
import { inputError } from "../../util/errors.ts";
import { ensureWritableDir } from "../../util/files.ts";
import { nearest } from "../../util/nearest.ts";
import { type EngineFlags, engineOptions } from "../engine.ts";
import { interruptible } from "../interrupt.ts";
import { jsonOption, oneOf } from "../options.ts";
import type { Output } from "../output.ts";
import { type PlotFlags, plotOptions, shortNames, writePictures } from "../plot-files.ts";
import { plotProbes } from "../probes-over-training.ts";
import { examplesText } from "../program.ts";
import { plural } from "../render.ts";
import { PROGRESS, type Progress, type RunMetrics, scoredTasks, trainingFigure } from "../training-plot.ts";

interface Flags extends PlotFlags, EngineFlags {
  readonly x: Progress;
  readonly task?: string;
  readonly probes?: boolean;
  readonly out?: string;
}

export function register(command: Command, out: Output): void {
  command
    .argument("<runs...>", "run directories; of several, each curve is drawn for all of them in one panel")
    .option("--task <names>", "tasks or groups with commas between them (default: all that a run was scored on)")
    .option(
      "--x <name>",
      "what runs along the bottom: step, or tokens for runs of different batches",
      oneOf("--x", PROGRESS),
      "step",
    )
    .addOption(
      new Option("--probes", "sweep the probes of one run's tasks at its checkpoints instead, and draw their curves"),
    )
    .option("--out <dir>", "folder for the plots (default: <run>/plots; of several runs it must be given)");
  plotOptions(command);
  engineOptions(command);
  jsonOption(command)
    .addHelpText(
      "after",
      examplesText([
        ["sparse plot runs/quotes", "loss, task scores, density, learning rate, gradient over training"],
        ["sparse plot runs/quotes --format svg,pdf --palette print", "the same for a paper in black and white"],
        ["sparse plot runs/a runs/b runs/c --out plots", "three runs in one figure"],
        ["sparse plot runs/quotes --probes", "how the curves of the probes came about"],
      ]),
    )
    .action((dirs: readonly string[], flags: Flags) => plot(dirs, flags, out));
}

async function plot(dirs: readonly string[], flags: Flags, out: Output): Promise<void> {
  const folder = flags.out ?? (dirs.length === 1 ? openAny(dirs[0]!).paths.plots : undefined);
  if (folder === undefined) {
    throw inputError("plot-out", `the plots of ${dirs.length} runs have no folder`, "Give one, such as `--out plots`.");
  }
  const files = flags.probes ? await probes(dirs, folder, flags, out) : await training(dirs, folder, flags, out);
  out.line(`written ${files.join(", ")}`);
  out.done({ runs: dirs, files });
}

function openAny(dir: string): Run {
  return openRun(dir, { allowUnfinished: true });
}

function probes(dirs: readonly string[], folder: string, flags: Flags, out: Output): Promise<string[]> {
  if (dirs.length === 1) return interruptible(out, (signal) => plotProbes(dirs[0]!, folder, flags, out, signal));
  throw inputError("plot-runs", `--probes is of one run, but received ${dirs.length}`, "Plot them one after another.");
}

async function training(dirs: readonly string[], folder: string, flags: Flags, out: Output): Promise<string[]> {
  const twice = dirs.find((dir, i) => dirs.findIndex((other) => path.resolve(other) === path.resolve(dir)) < i);
  if (twice !== undefined) throw inputError("plot-runs", `${twice} is given twice`, "Give each run once.");
  const names = shortNames(dirs);
  const runs = dirs.map((dir, i) => metricsOf(dir, names[i]!, out));
  const tasks = flags.task === undefined ? undefined : wantedTasks(runs, flags.task);
  tellDifferentTasks(runs, tasks, out);
  const figure = trainingFigure(runs, { x: flags.x, ...(tasks && { tasks }) });
  if (figure.panels.length === 0) {
    throw inputError("plot-empty", `${dirs.join(", ")}: the metrics hold no number to draw`, "Train it again.");
  }
  ensureWritableDir(folder);
  return writePictures(path.join(folder, "training"), figure, flags);
}

function metricsOf(dir: string, name: string, out: Output): RunMetrics {
  const run = openAny(dir);
  const rows = readMetrics(run);
  const last = rows.at(-1);
  if (last === undefined) {
    throw inputError(
      "run-metrics",
      `${dir} has no metrics: training ended before the first were written`,
      `Continue it with \`sparse train --resume ${dir}\`, or plot another run.`,
    );
  }
  if (!run.finished) out.notice(`${dir} is not finished: drawn up to step ${last.step}`);
  const missing = rows.flatMap((row) => Object.values(row)).filter((value) => value === null).length;
  if (missing > 0)
    out.notice(`${dir}: left out ${plural(missing, "value")} that ${missing === 1 ? "is" : "are"} not finite`);
  return { name, rows };
}

/** The tasks of some run that names or groups stand for. */
function wantedTasks(runs: readonly RunMetrics[], typed: string): string[] {
  const known = [...new Set(runs.flatMap(scoredTasks))];
  return typed.split(",").flatMap((text) => {
    const name = text.trim();
    if (known.includes(name)) return [name];
    const found = findTasks(name).flatMap((task) => (known.includes(task.name) ? [task.name] : []));
    if (found.length > 0) return found;
    const near = nearest(name, known);
    throw inputError(
      "task-of-run",
      `no run was scored on task ${name}`,
      `Their tasks: ${known.join(", ") || "none"}${known.length > 1 && near !== undefined ? ` (nearest: ${near})` : ""}.`,
    );
  });
}

/** Scores stand side by side: says so where they are of different tasks. */
function tellDifferentTasks(runs: readonly RunMetrics[], wanted: readonly string[] | undefined, out: Output): void {
  const each = runs.map((run) =>
    scoredTasks(run)
      .filter((task) => wanted?.includes(task) ?? true)
      .sort()
      .join(", "),
  );
  if (new Set(each).size < 2) return;
  out.notice(
    `the scores on pairs are of different tasks: ${runs.map(({ name }, i) => `${name} ${each[i] || "none"}`).join("; ")}`,
  );
}
