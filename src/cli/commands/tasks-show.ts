/** `sparse tasks show`: pairs of a task as training, search and reports read them. */
import { type Command, Option } from "commander";
import { findTasks } from "../../../tasks/index.ts";
import { PairSource } from "../../data/pairs.ts";
import type { Split } from "../../data/task.ts";
import { taskTokenizer } from "../../data/vocabulary.ts";
import { grammarOf, resolveTrainConfig } from "../../train/config.ts";
import { presetOf } from "../../train/presets.ts";
import { pairTexts } from "../highlight.ts";
import { jsonOption, oneOf, wholeNumber } from "../options.ts";
import type { Output } from "../output.ts";
import { examplesText } from "../program.ts";

const SPLITS: readonly Split[] = ["train", "val", "test"];

interface Flags {
  readonly n: number;
  readonly variant: string;
  readonly split: Split;
  readonly seed: number;
}

export function register(command: Command, out: Output): void {
  command
    .argument("<name>", "task, group of tasks, or all; `sparse tasks` lists them")
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
  ["sparse tasks show all --n 1 --split test --json", "for machines"],
]);

function show(name: string, { n, variant, split, seed }: Flags, out: Output): void {
  const tasks = findTasks(name);
  const config = resolveTrainConfig([presetOf(tasks)]);
  const tokenizer = taskTokenizer(grammarOf(config), tasks);
  for (const task of tasks) {
    const source = new PairSource(task, tokenizer, { seed, contextLength: Number.POSITIVE_INFINITY });
    for (let i = 0; i < n; i++) {
      const pair = source.pair(split, i, variant);
      const { pos, neg } = source.encode(pair);
      out.event({ event: "pair", ...pair, tokens: { pos: pos.length, neg: neg.length } });
      const length = pos.length === neg.length ? pos.length : `${pos.length} and ${neg.length}`;
      out.line(out.style.bold(`${task.name}, ${variant}, ${split} pair ${i}: ${length} tokens`));
      for (const text of pairTexts(pair, out.style)) out.line(`${text.replace(/^/gm, "    ")}\n`);
    }
  }
  out.done({ tasks: tasks.length, pairs: n * tasks.length });
}
