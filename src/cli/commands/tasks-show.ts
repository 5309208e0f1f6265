/** `sparse tasks show`: pairs of a task as training, search and reports read them. */
import { type Command, Option } from "commander";
import { PairSource } from "../../data/pairs.ts";
import { SPLITS, type Split } from "../../data/task.ts";
import { taskTokenizer } from "../../data/vocabulary.ts";
import { grammarOf, resolveTrainConfig } from "../../train/config.ts";
import { pairTexts } from "../highlight.ts";
import { jsonOption, oneOf, wholeNumber } from "../options.ts";
import type { Output } from "../output.ts";
import { examplesText } from "../program.ts";
import { TASK_HELP, taskSource } from "../task-source.ts";
import { taskSettings } from "../train-config.ts";

interface Flags {
  readonly n: number;
  readonly variant: string;
  readonly split: Split;
  readonly seed: number;
}

export function register(command: Command, out: Output): void {
  command
    .argument("<name>", TASK_HELP)
    .addOption(new Option("--n <n>", "pairs of each task").default(3).argParser(wholeNumber("--n", 1)))
    .addOption(new Option("--variant <name>", "base, far, another of the task's, or <probe>@<x>").default("base"))
    .addOption(
      new Option("--split <name>", `one of ${SPLITS.join(", ")}`).default("train").argParser(oneOf("--split", SPLITS)),
    )
    .addOption(new Option("--seed <n>", "seed of the pairs").default(0).argParser(wholeNumber("--seed")));
  jsonOption(command)
    .addHelpText("after", EXAMPLES)
    .action((name: string, flags: Flags) => show(name, flags, out));
}

const EXAMPLES = examplesText([
  ["sparse tasks show quotes", "three pairs, with ⟦what differs⟧ and the ⟨completions⟩"],
  ["sparse tasks show var_swap --n 5 --variant far", "five with a longer beginning"],
  ["sparse tasks show bracket_counting --variant dilution@16", "a point of a probe"],
  ["sparse tasks show ./my-task.ts", "of a task of your own"],
  ["sparse tasks show all --n 1 --split test --json", "for machines"],
]);

async function show(name: string, { n, variant, split, seed }: Flags, out: Output): Promise<void> {
  const source = await taskSource(name);
  const { tasks } = source;
  const config = resolveTrainConfig(taskSettings(source));
  const tokenizer = taskTokenizer(grammarOf(config), tasks);
  for (const task of tasks) {
    const pairs = new PairSource(task, tokenizer, { seed, contextLength: Number.POSITIVE_INFINITY });
    for (let i = 0; i < n; i++) {
      const pair = pairs.pair(split, i, variant);
      const { pos, neg } = pairs.encode(pair);
      out.event({ event: "pair", ...pair, tokens: { pos: pos.length, neg: neg.length } });
      const length = pos.length === neg.length ? pos.length : `${pos.length} and ${neg.length}`;
      out.line(out.style.bold(`${task.name}, ${variant}, ${split} pair ${i}: ${length} tokens`));
      for (const text of pairTexts(pair, out.style)) out.line(`${text.replace(/^/gm, "    ")}\n`);
    }
  }
  out.done({ tasks: tasks.length, pairs: n * tasks.length });
}
