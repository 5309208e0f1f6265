/** `sparse tasks`: what can be trained on, each with an example. */
import type { Command } from "commander";
import { TASKS } from "../../../tasks/index.ts";
import { type Draft, drawOf, type TaskSpec, variantNames } from "../../data/task.ts";
import { OPEN_ENV } from "../../data/vocabulary.ts";
import { Rng } from "../../util/rng.ts";
import { oneLine, pairTexts } from "../highlight.ts";
import { jsonOption } from "../options.ts";
import type { Output } from "../output.ts";
import { examplesText } from "../program.ts";

export function register(command: Command, out: Output): void {
  jsonOption(command)
    .addHelpText("after", EXAMPLES)
    .action(() => list(out));
}

const EXAMPLES = examplesText([
  ["sparse tasks", "every task by group, with a pair of prompts and ⟨completions⟩"],
  ["sparse tasks show var_swap --variant names", "whole pairs of a variant"],
  ["sparse train --task binding", "train on a group, a task or all"],
]);

function list(out: Output): void {
  const { style } = out;
  let group: string | undefined;
  for (const task of TASKS) {
    const { name, aliases = [], doc } = task;
    const [variants, probes] = [variantNames(task), Object.keys(task.probes ?? {})];
    const draft = example(task);
    const { pos, neg } = draft;
    out.event({ event: "task", task: name, aliases, group: task.group, variants, probes, doc, example: { pos, neg } });
    if (task.group !== group) out.line(`${group === undefined ? "" : "\n"}${style.bold(task.group)}`);
    group = task.group;
    const also = aliases.filter((alias) => alias !== group);
    out.line(`  ${style.bold(name)}${also.length > 0 ? ` (${also.join(", ")})` : ""}: ${doc}`);
    for (const text of pairTexts(draft, style)) out.line(`      ${shortened(text)}`);
    const probed = probes.length > 0 ? `; probes ${probes.join(", ")}` : "";
    out.line(style.dim(`      variants ${variants.join(", ")}${probed}`));
  }
  out.done({ tasks: TASKS.length });
}

const EXAMPLES_DRAWN = 50;

/** The shortest of some drafts, without what precedes them in a prompt. */
function example(task: TaskSpec): Draft {
  const draw = drawOf(task, "base");
  const drafts = Array.from({ length: EXAMPLES_DRAWN }, (_, i) => draw(Rng.of("example", task.name, i), OPEN_ENV));
  const length = ({ pos, neg }: Draft): number => pos.prompt.length + neg.prompt.length;
  return drafts.reduce((best, draft) => (length(draft) < length(best) ? draft : best));
}

/** On one line: the first and the last two lines of the text. */
function shortened(text: string): string {
  const lines = text.split("\n");
  return oneLine((lines.length > 3 ? [lines[0], "…", ...lines.slice(-2)] : lines).join("\n"));
}
