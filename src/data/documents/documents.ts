/**
 * The documents of a real corpus, one at a time: files of folders, records of JSONL, Parquet and text files. Contract:
 * always the same documents in the same order, that of the files shuffled once and for all (a corpus that is read in
 * part is then a sample of its folders), each text once, from 64 bytes to 256 KiB; what is left out is counted by reason.
 */
import { createHash } from "node:crypto";
import { inputError } from "../../util/errors.ts";
import { Rng } from "../../util/rng.ts";
import { type CorpusFile, listFiles } from "./list.ts";
import type { Read, ReadOptions, SkipReason } from "./readers.ts";

/** Where documents come from, and how they are read. */
export interface DocumentOptions extends ReadOptions {
  readonly paths: readonly string[];
  /** Of the files read in folders. */
  readonly extensions: readonly string[];
}

export interface SourceDocument {
  readonly text: string;
  /** Of the text: decides the split, the same wherever the document stands. */
  readonly hash: number;
}

/** A file that was read to its end. */
export interface ReadFile {
  readonly file: string;
  readonly bytes: number;
  readonly sha256: string;
}

const FEWEST_BYTES = 64;
const MOST_BYTES = 256 * 1024;

export class Documents {
  /** How many were left out, and why. Symbolic links and what is not readable count as one each. */
  readonly skipped: Partial<Record<SkipReason | "symbolic link" | "not readable", number>>;
  /** Those read so far. */
  readonly files: ReadFile[] = [];
  /** Changes when a file is added, removed or written to. */
  readonly fingerprint: string;
  private readonly options: DocumentOptions;
  private readonly listed: readonly CorpusFile[];
  private readonly seen = new Set<string>();
  private readonly bytes: number;
  private bytesRead = 0;

  /** @throws inputError when a path cannot be read, or there is nothing to read in any. */
  constructor(options: DocumentOptions) {
    this.options = options;
    const { files, skipped } = listFiles(options.paths, options.extensions);
    if (files.length === 0) {
      throw inputError(
        "corpus-empty",
        `No ${options.extensions.join(", ")} files are in ${options.paths.join(", ")}`,
        "Give other folders or files; `sparse train` reads other extensions with --set 'data.extensions=[\".py\"]'.",
      );
    }
    this.listed = Rng.of("corpus files").shuffle([...files]);
    this.bytes = files.reduce((sum, file) => sum + file.bytes, 0);
    this.skipped = Object.fromEntries(Object.entries(skipped).filter(([, count]) => count > 0));
    this.fingerprint = sha256(JSON.stringify(files.map(({ file, bytes, modified }) => [file, bytes, modified])));
  }

  /** Share of the files' bytes that is read. */
  get fraction(): number {
    return this.bytesRead / Math.max(1, this.bytes);
  }

  /** Number of files found. */
  get found(): number {
    return this.listed.length;
  }

  /** May be asked for once. @throws inputError, with file and line, for what cannot be read. */
  async *read(): AsyncGenerator<SourceDocument> {
    for (const { file, bytes, named, read } of this.listed) {
      const all = read(file, this.options);
      for (;;) {
        const { value, done } = await all.next();
        if (done) {
          this.files.push({ file, bytes, sha256: value });
          this.bytesRead += bytes;
          break;
        }
        const document = this.accept(value);
        if (typeof document !== "string") yield document;
        else if (named && (document === "binary" || document === "not UTF-8")) throw unreadable(file, document);
        else this.skipped[document] = (this.skipped[document] ?? 0) + 1;
      }
    }
  }

  private accept(read: Read): SourceDocument | SkipReason {
    if ("skipped" in read) return read.skipped;
    const { text } = read;
    const bytes = Buffer.byteLength(text);
    if (bytes < FEWEST_BYTES) return "too short";
    if (bytes > MOST_BYTES) return "too long";
    const digest = createHash("sha256").update(text).digest();
    const key = digest.toString("latin1", 0, 12);
    if (this.seen.has(key)) return "duplicate";
    this.seen.add(key);
    return { text, hash: digest.readUInt32LE(12) };
  }
}

function unreadable(file: string, what: string): Error {
  return inputError(
    "corpus-file",
    `${file} holds ${what === "binary" ? "binary data" : "text that is not UTF-8"}; expected UTF-8 text`,
    "Convert the file to UTF-8, or leave it out.",
  );
}

export function sha256(data: string | Uint8Array): string {
  return createHash("sha256").update(data).digest("hex");
}
