/** Corpus and tokenizer of a run as its configuration names them: which files, how they are cut, and by what. */
import { trainBpe } from "../data/bpe/train.ts";
import { proceduralSource } from "../data/corpus.ts";
import { Documents } from "../data/documents/documents.ts";
import { countPieces, PATTERNS, pieceCutter } from "../data/pretokenize.ts";
import { requiredPieces } from "../data/required-pieces.ts";
import type { TaskSpec } from "../data/task.ts";
import {
  type CorpusRecord,
  type OnProgress,
  type OpenOptions,
  REPORT_EVERY,
  type TokenCorpusOptions,
} from "../data/token-corpus.ts";
import { bpeTokenizer, type Tokenizer } from "../data/tokenizer.ts";
import { tokenizerFromJson } from "../data/tokenizer-json.ts";
import { taskTokenizer } from "../data/vocabulary.ts";
import { inputError } from "../util/errors.ts";
import { readText } from "../util/files.ts";
import { grammarOf, type TrainConfig } from "./config.ts";

/** Contexts in a segment: long enough that most windows lie in one, short enough that a batch is of several files. */
const SEGMENT_CONTEXTS = 4;

/** Text that a tokenizer is trained on; more changes the merges little. */
const BPE_BYTES = 20_000_000;

export interface PrepareOptions extends Omit<OpenOptions, "content"> {
  readonly expected?: CorpusRecord | undefined;
}

/** The real corpus of a run; undefined when it has none. */
export function realCorpus({ data, model }: TrainConfig): TokenCorpusOptions | undefined {
  const { corpus: paths, extensions, textField, separator, maxTokens } = data;
  if (paths.length === 0) return undefined;
  const segmentTokens = SEGMENT_CONTEXTS * model.contextLength;
  return { paths, extensions, textField, separator, maxTokens, segmentTokens };
}

/** @throws inputError, naming a file, when a corpus is not that of which the run is. */
export function checkSame(now: CorpusRecord, before: CorpusRecord): void {
  if (now.content === before.content) return;
  const hashes = new Map(now.files.map(({ file, sha256 }) => [file, sha256]));
  const other = before.files.find(({ file, sha256 }) => hashes.get(file) !== sha256)?.file;
  const known = new Set(before.files.map(({ file }) => file));
  const added = now.files.find(({ file }) => !known.has(file))?.file;
  const what = other === undefined ? `${added ?? "a file"} was added` : `${other} is gone or has changed`;
  throw inputError(
    "corpus-changed",
    `The corpus is not what it was when the run began: ${what}`,
    "Restore the files (the run's corpus.json lists them with their hashes), or train again.",
  );
}

/**
 * The tokenizer of a new run: closed, read from a file, or trained on the run's text, with the tasks' completions among
 * its tokens.
 */
export async function makeTokenizer(
  config: TrainConfig,
  tasks: readonly TaskSpec[],
  onProgress?: OnProgress,
): Promise<Tokenizer> {
  const { tokenizer } = config.data;
  if (tokenizer === "closed") return taskTokenizer(grammarOf(config), tasks);
  if (tokenizer !== null && tokenizer !== "bpe") return tokenizerFromJson(readText(tokenizer), tokenizer);
  return await trainTokenizer(config, tasks, onProgress);
}

/** Trained on the text of the run, procedural and real in their shares. */
export async function trainTokenizer(
  config: TrainConfig,
  tasks: readonly TaskSpec[],
  onProgress?: OnProgress,
): Promise<Tokenizer> {
  const { vocabSize, pattern, procedural } = config.data;
  const cut = pieceCutter(PATTERNS[pattern]);
  const real = realCorpus(config);
  const counts = new Map<string, number>();
  let bytes = 0;
  if (real !== undefined) {
    const documents = new Documents(real);
    let count = 0;
    for await (const { text } of documents.read()) {
      countPieces([text], cut, counts);
      bytes += Buffer.byteLength(text);
      if (++count % REPORT_EVERY === 0) {
        await onProgress?.({ documents: count, tokens: 0, fraction: Math.max(bytes / BPE_BYTES, documents.fraction) });
      }
      if (bytes >= BPE_BYTES) break;
    }
  }
  const wanted = real === undefined ? BPE_BYTES / 10 : (bytes * procedural) / (1 - procedural);
  const source = proceduralSource(grammarOf(config), config.seed, "train");
  for (let i = 0, size = 0; size < wanted; i++) {
    const { text } = source.document(i);
    countPieces([text], cut, counts);
    size += text.length;
  }
  const required = requiredPieces(tasks, cut);
  return bpeTokenizer(trainBpe(counts, { size: vocabSize - 1, required }), PATTERNS[pattern]);
}
