/** `sparse tokenizer train`: byte-pair encoding of real text, as `tokenizer.json` and as tiktoken ranks. */
import * as path from "node:path";
import { type Command, Option } from "commander";
import { PATTERN_NAMES, type PatternName } from "../../data/pretokenize.ts";
import { tiktokenRanks } from "../../data/tiktoken.ts";
import { tokenizerToJson } from "../../data/tokenizer-json.ts";
import { resolveTrainConfig, TRAIN_DEFAULTS } from "../../train/config.ts";
import { trainTokenizer } from "../../train/corpora.ts";
import { inputError } from "../../util/errors.ts";
import { ensureWritableDir, pathExists, writeFileAtomic } from "../../util/files.ts";
import { CORPUS_HELP, type CorpusFlags, corpusSettings, documentOptions, readingProgress } from "../corpus-options.ts";
import { interruptible } from "../interrupt.ts";
import { jsonOption, oneOf, wholeNumber } from "../options.ts";
import type { Output } from "../output.ts";
import { examplesText } from "../program.ts";
import { count } from "../render.ts";
import { TASK_HELP, taskSource } from "../task-source.ts";

interface Flags extends CorpusFlags {
  readonly vocab: number;
  readonly regex: PatternName;
  readonly task?: string;
  readonly out: string;
  readonly tiktoken?: string;
  readonly force?: boolean;
}

export function register(command: Command, out: Output): void {
  const { vocabSize, pattern } = TRAIN_DEFAULTS.data;
  command
    .argument("<path...>", CORPUS_HELP)
    .addOption(new Option("--out <file>", "tokenizer.json to write").makeOptionMandatory())
    .addOption(
      new Option("--vocab <n>", "tokens, end-of-text counted").default(vocabSize).argParser(wholeNumber("--vocab", 1)),
    )
    .addOption(
      new Option(
        "--regex <name>",
        "how text is cut: published, or brackets (the same, with countable opening brackets)",
      )
        .default(pattern)
        .argParser(oneOf("--regex", PATTERN_NAMES)),
    )
    .addOption(new Option("--task <name>", `its completions and names become single tokens: ${TASK_HELP}`))
    .addOption(new Option("--tiktoken <file>", "also write tiktoken ranks"));
  command.addOption(new Option("--force", "replace files that are there"));
  jsonOption(documentOptions(command))
    .addHelpText("after", EXAMPLES)
    .action((paths: string[], flags: Flags) => interruptible(out, (signal) => run(paths, flags, out, signal)));
}

const EXAMPLES = examplesText([
  ["sparse tokenizer train ~/code --out code.json", "2,048 tokens from the Python files of a folder"],
  ["sparse tokenizer train ~/code --task quotes --out code.json", "with which the task can be asked"],
  ["sparse tokenizer train a.jsonl.gz --regex published --tiktoken a.tiktoken --out a.json", "for other programs too"],
]);

async function run(paths: readonly string[], flags: Flags, out: Output, signal: AbortSignal): Promise<void> {
  const started = performance.now();
  for (const file of [flags.out, flags.tiktoken ?? flags.out]) {
    if (pathExists(file) && !flags.force) {
      throw inputError("file-exists", `${file} exists already`, "Choose another name, or replace it with --force.");
    }
  }
  const data = { ...corpusSettings(flags, paths), vocabSize: flags.vocab, pattern: flags.regex };
  const config = resolveTrainConfig([{ data }]);
  const tasks = flags.task === undefined ? [] : (await taskSource(flags.task)).tasks;
  const tokenizer = await trainTokenizer(config, tasks, readingProgress(out, signal, "reading"));
  for (const [file, text] of [
    [flags.out, tokenizerToJson(tokenizer)],
    ...(flags.tiktoken === undefined ? [] : [[flags.tiktoken, tiktokenRanks(tokenizer)] as const]),
  ] as const) {
    ensureWritableDir(path.dirname(path.resolve(file)));
    writeFileAtomic(file, text);
  }
  const { vocabSize, hash, parts } = tokenizer;
  if (vocabSize < flags.vocab) {
    out.notice(`the text has pairs for ${count(vocabSize)} of ${count(flags.vocab)} tokens only; give more text`);
  }
  if (flags.tiktoken !== undefined && tasks.length > 0) {
    out.notice("tiktoken may merge the tasks' pieces inside longer pieces too: its ids differ there");
  }
  out.line(`${count(vocabSize)} tokens, ${count(parts.merges.length)} merges in ${flags.out}`);
  const seconds = (performance.now() - started) / 1000;
  out.done({ path: flags.out, vocabSize, merges: parts.merges.length, hash, seconds });
}
