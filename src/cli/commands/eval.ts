/** `sparse eval`: loss and accuracy of a run on its tasks and their variants. */
import { type Command, Option } from "commander";
import { SPLIT_SIZE } from "../../data/pairs.ts";
import { drawOf, type TaskSpec, variantNames } from "../../data/task.ts";
import { Model } from "../../model/model.ts";
import { isLearned, type PairMetrics, pairMetrics } from "../../train/evaluate.ts";
import { SparseError } from "../../util/errors.ts";
import { type EngineFlags, engineOptions, openEngine } from "../engine.ts";
import { breathe, interruptible } from "../interrupt.ts";
import { jsonOption, oneOf } from "../options.ts";
import type { Output } from "../output.ts";
import { examplesText } from "../program.ts";
import { count, nats, percent, type Style, table } from "../render.ts";
import { mean } from "../train-log.ts";
import { openTrainedRun, type TrainedRun, tasksOfRun } from "../trained-run.ts";

const SPLITS = ["val", "test"] as const;

interface Flags extends EngineFlags {
  readonly task?: string;
  readonly variant?: string;
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
]);

interface Row {
  readonly task: string;
  readonly variant: string;
  /** Null when the variant's prompts do not fit the model. */
  readonly scores: PairMetrics | null;
}

async function run(dir: string, flags: Flags, out: Output): Promise<void> {
  const started = performance.now();
  const trained = await openTrainedRun(dir);
  const tasks = tasksOfRun(trained, flags.task);
  const { variant, split } = flags;
  if (variant !== undefined) for (const task of tasks) drawOf(task, variant);
  const rows: Row[] = [];
  await interruptible(out, async (signal) => {
    const engine = await openEngine(flags, out);
    try {
      const model = new Model(engine, trained.model);
      for (const task of tasks) {
        for (const name of variant === undefined ? variantNames(task) : [variant]) {
          await breathe(signal, "the scores so far are above");
          const row = { task: task.name, variant: name, scores: score(trained, model, task, name, flags) };
          out.event({ event: "eval", task: row.task, variant: name, split, ...row.scores, fits: row.scores !== null });
          rows.push(row);
        }
      }
    } finally {
      engine.dispose();
    }
  });
  out.line(`${count(SPLIT_SIZE[split])} pairs of the ${split} split each`);
  out.line(scoreTable(rows, out.style));
  const headline = rows.filter((row) => row.variant === (variant ?? "base")).map((row) => row.scores!);
  out.done({
    run: dir,
    split,
    taskLoss: mean(headline.map((s) => s.taskLoss)),
    pairAccuracy: mean(headline.map((s) => s.pairAccuracy)),
    rows: rows.map(({ scores, ...row }) => ({ ...row, ...scores })),
    seconds: (performance.now() - started) / 1000,
  });
}

/** Null when the variant, one of all, is too long for the model. */
function score({ data }: TrainedRun, model: Model, task: TaskSpec, variant: string, flags: Flags): PairMetrics | null {
  try {
    const pairs = data.pairs(task).pairs(flags.split, SPLIT_SIZE[flags.split], variant);
    return pairMetrics(model, pairs, data.tokenizer);
  } catch (error) {
    const tooLong = error instanceof SparseError && error.code === "prompt-length";
    if (tooLong && flags.variant === undefined && variant !== "base") return null;
    throw error;
  }
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
  const cells = rows.map(({ task, variant, scores }, i) => {
    const name = rows[i - 1]?.task === task ? "" : task;
    if (scores === null) return [name, variant, "-", "-", "-", "-", style.dim("longer than the context")];
    const verdict = isLearned(scores) ? style.green("learned") : style.red("not learned");
    const { taskLoss, accuracy, pairAccuracy, fullLoss } = scores;
    return [name, variant, nats(taskLoss), percent(accuracy), percent(pairAccuracy), nats(fullLoss), verdict];
  });
  return table(columns, cells, { style });
}
