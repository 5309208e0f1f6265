/** `sparse corpus show`: documents of the procedural corpus, with the places where tasks are decided. */
import { type Command, Option } from "commander";
import { proceduralSource } from "../../data/corpus.ts";
import type { Mark, Program } from "../../data/grammar.ts";
import { cutPieces } from "../../data/pretokenize.ts";
import { grammarOf, resolveTrainConfig, TRAIN_DEFAULTS, type TrainOverrides } from "../../train/config.ts";
import { oneLine, site } from "../highlight.ts";
import { jsonOption, wholeNumber } from "../options.ts";
import type { Output } from "../output.ts";
import { examplesText } from "../program.ts";
import { plural, type Style } from "../render.ts";
import { taskSource } from "../task-source.ts";
import { taskSettings } from "../train-config.ts";

interface Flags {
  readonly profile?: string;
  readonly task?: string;
  readonly n: number;
  readonly seed: number;
}

export function register(command: Command, out: Output): void {
  command
    .addOption(new Option("--profile <name>", `mix of statements (default: ${TRAIN_DEFAULTS.data.profile})`))
    .addOption(
      new Option("--task <name>", "the corpus that `sparse train` reads for it, and its decisions only").conflicts(
        "profile",
      ),
    )
    .addOption(new Option("--n <n>", "documents").default(2).argParser(wholeNumber("--n", 1)))
    .addOption(new Option("--seed <n>", "seed of the corpus").default(0).argParser(wholeNumber("--seed")));
  jsonOption(command)
    .addHelpText("after", EXAMPLES)
    .action((flags: Flags) => show(flags, out));
}

const EXAMPLES = examplesText([
  ["sparse corpus show", "two documents, ⟦decided⟧ places and, behind the line, what was to be decided"],
  ["sparse corpus show --profile full --n 5", "of the corpus for all tasks"],
  ["sparse corpus show --task var_swap --seed 1", "what one task is learned from"],
]);

async function show({ profile, task, n, seed }: Flags, out: Output): Promise<void> {
  const asked = task === undefined ? undefined : await taskSource(task);
  const layers: TrainOverrides[] = asked ? taskSettings(asked) : [profile === undefined ? {} : { data: { profile } }];
  const names = asked && new Set(asked.tasks.map(({ name }) => name));
  const source = proceduralSource(grammarOf(resolveTrainConfig(layers)), seed, "train");
  for (let index = 0; index < n; index++) {
    const { text, marks: all } = source.document(index);
    const marks = names === undefined ? all : all.filter((mark) => names.has(mark.task));
    const withRight = marks.map((mark) => ({ ...mark, right: rightOf(text, mark) }));
    out.event({ event: "document", index, text, marks: withRight });
    out.line(out.style.bold(`document ${index}: ${plural(marks.length, "decision")}`));
    out.line(marked({ text, marks }, out.style));
  }
  out.done({ documents: n });
}

/** The completion at a mark. */
function rightOf(text: string, { offset }: Mark): string {
  return cutPieces(text.slice(offset))[0]!;
}

/** The text with its decisions marked; behind each line, the tasks of those that begin in it and what would be wrong. */
function marked({ text, marks }: Program, style: Style): string {
  let end = 0;
  const lines = text.split(/(?<=\n)/).map((line) => {
    let at = end;
    end += line.length;
    const here = marks.filter(({ offset }) => offset >= at && offset < end);
    let shown = "";
    for (const mark of here) {
      // Several tasks may share a place.
      if (mark.offset < at) continue;
      const right = rightOf(text, mark);
      shown += text.slice(at, mark.offset) + site(right, style);
      at = mark.offset + right.length;
    }
    const notes = here.map(({ task, wrong }) => `${task}: not ⟨${oneLine(wrong)}⟩`).join("; ");
    return `${shown}${text.slice(at, end).trimEnd()}${notes && style.dim(`   ← ${notes}`)}\n`;
  });
  return lines.join("");
}
