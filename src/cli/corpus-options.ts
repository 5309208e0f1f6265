/** What the commands that read real corpora share: their options, the status line, and the account of what was read. */
import { type Command, Option } from "commander";
import type { BuildProgress, CorpusRecord } from "../data/token-corpus.ts";
import { TRAIN_DEFAULTS, type TrainOverrides } from "../train/config.ts";
import { inputError } from "../util/errors.ts";
import { breathe } from "./interrupt.ts";
import { parseNumber } from "./options.ts";
import type { Output } from "./output.ts";
import { count, percent, plural, short } from "./render.ts";

export interface CorpusFlags {
  readonly textField?: string;
  readonly separator?: string;
  readonly mix?: number;
  readonly tokenizer?: string;
}

export const CORPUS_HELP = "folders (their .py files, recursively) and .jsonl, .jsonl.gz, .parquet or .txt files";

/** `--text-field` and `--separator`. */
export function documentOptions(command: Command): Command {
  const { textField, separator } = TRAIN_DEFAULTS.data;
  return command
    .addOption(
      new Option(
        "--text-field <name>",
        `field or column that holds the text, in JSONL and Parquet (default: ${textField})`,
      ),
    )
    .addOption(
      new Option(
        "--separator <text>",
        `what stands between the documents of text files (default: ${separator})`,
      ).argParser(escapes),
    );
}

/** `--mix` and `--tokenizer`, for what trains or measures on a corpus. */
export function mixOptions(command: Command): Command {
  return command
    .addOption(
      new Option("--mix <procedural=x>", "share of the tokens that are procedural, beside a real corpus").argParser(
        mix,
      ),
    )
    .addOption(
      new Option(
        "--tokenizer <name>",
        "closed, bpe (trained on the corpus), or a tokenizer.json (default: closed, for real corpora bpe)",
      ),
    );
}

function mix(text: string): number {
  const [, name, value] = /^([^=]+)=(.*)$/.exec(text) ?? [];
  const share = value === undefined ? undefined : parseNumber(value);
  if (name === "procedural" && share !== undefined && share >= 0 && share < 1) return share;
  throw inputError(
    "option-value",
    `--mix: expected procedural=<share>, from 0 and below 1, but received "${text}"`,
    "For example --mix procedural=0.3.",
  );
}

/** `\n` and `\t` as typed in a shell. */
function escapes(text: string): string {
  return text.replaceAll("\\n", "\n").replaceAll("\\t", "\t");
}

/** The flags as a layer of settings. */
export function corpusSettings(
  { textField, separator, mix: procedural, tokenizer }: CorpusFlags,
  corpus: readonly string[] | undefined,
): NonNullable<TrainOverrides["data"]> {
  const given = { corpus, textField, separator, procedural, tokenizer };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

/** Shows how far the reading is, and lets Ctrl-C through. */
export function readingProgress(out: Output, signal: AbortSignal, what: string) {
  return async ({ documents, tokens, fraction }: BuildProgress): Promise<void> => {
    const size = tokens === 0 ? "" : `, ${short(tokens)} tokens`;
    out.live(`${what}: ${plural(documents, "document")}${size} (${percent(Math.min(1, fraction))})`);
    await breathe(signal);
  };
}

/** What was read and what was left out, in one line. */
export function corpusText({ documents, tokens, files, found, skipped, options }: CorpusRecord): string {
  const part =
    tokens >= options.maxTokens ? `, ${count(files.length)} of ${plural(found, "file")} (data.maxTokens)` : "";
  return `${plural(documents, "document")}, ${short(tokens)} tokens${part}; left out: ${skippedText(skipped)}`;
}

/** `12 too short, 3 duplicate`; most frequent reasons first. */
export function skippedText(skipped: Readonly<Record<string, number>>): string {
  const reasons = Object.entries(skipped).sort(([, a], [, b]) => b - a);
  return reasons.length === 0 ? "nothing" : reasons.map(([reason, n]) => `${count(n)} ${reason}`).join(", ");
}
