/** `sparse corpus stats`: what a corpus holds, real or procedural, by split. */
import { type Command, Option } from "commander";
import type { CorpusSplit } from "../../data/corpus.ts";
import type { TokenCorpus } from "../../data/token-corpus.ts";
import { resolveTrainConfig } from "../../train/config.ts";
import { makeTokenizer } from "../../train/corpora.ts";
import { type CorpusCounts, countCorpus } from "../../train/corpus-counts.ts";
import { TrainingData } from "../../train/trainer.ts";
import { inputError } from "../../util/errors.ts";
import {
  CORPUS_HELP,
  type CorpusFlags,
  corpusSettings,
  documentOptions,
  mixOptions,
  readingProgress,
  skippedText,
} from "../corpus-options.ts";
import { breathe, interruptible } from "../interrupt.ts";
import { jsonOption, wholeNumber } from "../options.ts";
import type { Output } from "../output.ts";
import { examplesText } from "../program.ts";
import { count, plural, short, table } from "../render.ts";
import { TASK_HELP, taskSource } from "../task-source.ts";
import { taskSettings } from "../train-config.ts";

interface Flags extends CorpusFlags {
  readonly profile?: string;
  readonly task?: string;
  readonly tokens: number;
  readonly seed: number;
}

/** Read of a stream that has no end. */
const SAMPLE_TOKENS = 1_000_000;
const SPLITS: readonly CorpusSplit[] = ["train", "val", "calib"];

export function register(command: Command, out: Output): void {
  command
    .argument("[path...]", `${CORPUS_HELP}; without any, the procedural corpus`)
    .addOption(new Option("--profile <name>", "of the procedural corpus (default: quotes)"))
    .addOption(new Option("--task <name>", `read as \`sparse train\` does for it: ${TASK_HELP}`))
    .addOption(
      new Option("--tokens <n>", "tokens of the training stream that are counted")
        .default(SAMPLE_TOKENS)
        .argParser(wholeNumber("--tokens", 1)),
    )
    .addOption(new Option("--seed <n>", "seed of the stream").default(0).argParser(wholeNumber("--seed")));
  jsonOption(documentOptions(mixOptions(command)))
    .addHelpText("after", EXAMPLES)
    .action((paths: string[], flags: Flags) => interruptible(out, (signal) => run(paths, flags, out, signal)));
}

const EXAMPLES = examplesText([
  ["sparse corpus stats", "the procedural corpus"],
  ["sparse corpus stats ~/code", "the Python files of a folder, and what was left out of it"],
  ["sparse corpus stats ~/code --mix procedural=0.3 --task quotes", "as `sparse train` would read it"],
]);

async function run(paths: readonly string[], flags: Flags, out: Output, signal: AbortSignal): Promise<void> {
  const started = performance.now();
  if (paths.length === 0 && flags.textField !== undefined) {
    throw inputError("usage", "--text-field is for a real corpus, and no path was given", "Name a folder or a file.");
  }
  const { profile, seed } = flags;
  const data = { ...corpusSettings(flags, paths), ...(profile === undefined ? {} : { profile }) };
  const asked = flags.task === undefined ? { tasks: [] } : await taskSource(flags.task);
  const { tasks } = asked;
  const config = resolveTrainConfig([...taskSettings(asked), { data, seed }]);
  const tokenizer = await makeTokenizer(config, tasks, readingProgress(out, signal, "training the tokenizer"));
  const opened = new TrainingData(config, tasks, tokenizer);
  await opened.prepare({ onProgress: readingProgress(out, signal, "reading the corpus") });
  await breathe(signal);
  const { corpus } = opened;
  const counts = countCorpus(opened.stream("train", { marks: true }), flags.tokens, tokenizer.unk);
  if (corpus !== undefined) tellFiles(corpus, out);
  tellStream(counts, tokenizer.vocabSize, out);
  const { kind, vocabSize, hash } = tokenizer;
  out.done({
    ...(corpus && { corpus: corpusFacts(corpus) }),
    tokenizer: { kind, vocabSize, hash },
    stream: counts,
    seconds: (performance.now() - started) / 1000,
  });
}

function corpusFacts(corpus: TokenCorpus): object {
  const { files, options, ...facts } = corpus.record;
  const splits = Object.fromEntries(SPLITS.map((split) => [split, corpus.size(split)]));
  return { ...facts, files: files.length, paths: options.paths, splits };
}

function tellFiles(corpus: TokenCorpus, out: Output): void {
  const { documents, tokens, bytes, found, files, skipped, options } = corpus.record;
  const whole = tokens < options.maxTokens;
  out.line(
    `${plural(documents, "document")} in ${plural(found, "file")}, ${short(tokens)} tokens, ${short(bytes)} bytes`,
  );
  if (!whole) out.notice(`reading stopped after ${count(files.length)} files, at data.maxTokens`);
  out.line(`Left out: ${skippedText(skipped)}`);
  out.line();
  const rows = SPLITS.map((split) => [split, ...Object.values(corpus.size(split)).map(count)]);
  const columns = [{ title: "split" }, right("segments"), right("tokens")];
  out.line(table(columns, rows, { style: out.style }));
  out.line();
}

function right(title: string) {
  return { title, align: "right" } as const;
}

function tellStream(counts: CorpusCounts, vocabSize: number, out: Output): void {
  const { documents, tokens, used, unknown, decisions, dropped } = counts;
  out.line(
    `The first ${count(tokens)} tokens of training: ${plural(documents, "document")} ` +
      `(${(tokens / documents).toFixed(0)} tokens each), ${count(used)} of ${count(vocabSize)} tokens used, ` +
      `${count(unknown)} unknown, ${plural(dropped, "document")} dropped for a held-out prompt`,
  );
  const rows = Object.entries(decisions).sort(([, a], [, b]) => b - a);
  out.line();
  if (rows.length === 0) out.line("No decision points: they are marked in procedural text only (--mix)");
  else {
    const cells = rows.map(([task, n]) => [task, count(n), ((1000 * n) / tokens).toFixed(2)]);
    const columns = [{ title: "decision points" }, right("number"), right("per 1,000 tokens")];
    out.line(table(columns, cells, { style: out.style }));
  }
}
