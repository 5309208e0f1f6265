/**
 * A real corpus as token ids on the disk, made once for a tokenizer and read from anywhere. Contract: what it holds
 * depends on the documents and the tokenizer alone; a cache that does not match its sources, or is damaged, is made
 * again. A folder in the cache has
 *
 *     corpus.json    what it was made of, and checksums    tokens.bin    uint16, segment after segment
 *     segments.bin   uint32 pairs: hash of the document, number of tokens
 *
 * Documents are cut, at ends of lines, into segments of at most `segmentTokens`, and what is shuffled is segments:
 * consecutive windows of one long file in one batch would be one sample many times over. Each is read after an
 * end-of-text, as prompts are.
 */
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { z } from "zod";
import { inputError } from "../util/errors.ts";
import { onFile, pathExists, writeDirAtomic } from "../util/files.ts";
import { type Format, formatJson, parseSchema, readVersioned } from "../util/json.ts";
import { Rng } from "../util/rng.ts";
import type { CorpusSplit, DocumentSource } from "./corpus.ts";
import { type DocumentOptions, Documents, type ReadFile, sha256 } from "./documents/documents.ts";
import type { Tokenizer } from "./tokenizer.ts";

export interface TokenCorpusOptions extends DocumentOptions {
  /** Reading stops once there are as many. */
  readonly maxTokens: number;
  readonly segmentTokens: number;
}

/** What a corpus was made of: `corpus.json`, of which a run keeps a copy. */
export interface CorpusRecord {
  /** SHA-256 of the tokens and their segments: equal for equal corpora, wherever their files lie. */
  readonly content: string;
  /** Hash of the tokenizer. */
  readonly tokenizer: string;
  readonly options: TokenCorpusOptions;
  /** Of the files found, with their sizes and times. */
  readonly fingerprint: string;
  readonly documents: number;
  readonly segments: number;
  readonly tokens: number;
  /** Bytes of the text that was read. */
  readonly bytes: number;
  readonly skipped: Readonly<Record<string, number>>;
  /** Files found; more than those read if `maxTokens` was reached. */
  readonly found: number;
  readonly files: readonly ReadFile[];
}

export interface BuildProgress {
  readonly documents: number;
  readonly tokens: number;
  /** Of the bytes to be read. */
  readonly fraction: number;
}

export type OnProgress = (progress: BuildProgress) => Promise<void>;

export interface OpenOptions {
  /** Folder of all caches. */
  readonly cache?: string;
  /** `content` of the corpus wanted: one in the cache will do, whatever has become of the sources. */
  readonly content?: string | undefined;
  /** Awaited every few hundred documents, and not asked when nothing is built; may throw to stop. */
  readonly onProgress?: OnProgress;
}

/** Documents between two reports of progress. */
export const REPORT_EVERY = 200;

const FORMAT: Format = { format: "sparse-circuits/corpus", version: 1 };
const FILES = { record: "corpus.json", tokens: "tokens.bin", segments: "segments.bin" } as const;

/** `$SPARSE_CACHE`, or the place where the system's programs keep what can be made again. */
function cacheFolder(env: Readonly<Record<string, string | undefined>> = process.env): string {
  if (env.SPARSE_CACHE) return env.SPARSE_CACHE;
  return path.join(env.XDG_CACHE_HOME || path.join(os.homedir(), ".cache"), "sparse-circuits");
}

/** Opens the corpus from the cache, or reads its sources and puts it there. @throws inputError for bad sources. */
export async function openCorpus(
  options: TokenCorpusOptions,
  tokenizer: Tokenizer,
  { cache = cacheFolder(), content, onProgress }: OpenOptions = {},
): Promise<TokenCorpus> {
  const absolute = { ...options, paths: options.paths.map((one) => path.resolve(one)) };
  const dir = path.join(cache, "corpora", sha256(JSON.stringify([absolute, tokenizer.hash])).slice(0, 24));
  const wanted = content === undefined ? undefined : readCache(dir, (record) => record.content === content);
  if (wanted !== undefined) return wanted;
  const documents = new Documents(absolute);
  const cached = readCache(dir, (record) => {
    return record.fingerprint === documents.fingerprint && record.tokenizer === tokenizer.hash;
  });
  return cached ?? (await build(absolute, tokenizer, documents, dir, onProgress));
}

/** A cache that is there, whole, and fits; undefined for any other. */
function readCache(dir: string, fits: (record: CorpusRecord) => boolean): TokenCorpus | undefined {
  const file = path.join(dir, FILES.record);
  if (!pathExists(file)) return undefined;
  try {
    const record = readRecord(file);
    if (!fits(record)) return undefined;
    const tokens = fs.readFileSync(path.join(dir, FILES.tokens));
    const segments = fs.readFileSync(path.join(dir, FILES.segments));
    return contentOf(tokens, segments) === record.content ? new TokenCorpus(record, tokens, segments) : undefined;
  } catch {
    // Damaged in one way or another: it is made again.
    return undefined;
  }
}

function contentOf(tokens: Uint8Array, segments: Uint8Array): string {
  return sha256(sha256(tokens) + sha256(segments));
}

async function build(
  options: TokenCorpusOptions,
  tokenizer: Tokenizer,
  documents: Documents,
  dir: string,
  onProgress?: OnProgress,
): Promise<TokenCorpus> {
  const tokens = new Growing(2);
  const segments = new Growing(4);
  const endsLine = tokenizer.pieces.map((piece) => piece.endsWith("\n"));
  let count = 0;
  let bytes = 0;
  for await (const { text, hash } of documents.read()) {
    const ids = tokenizer.encode(text);
    for (const [from, until] of cutSegments(ids, endsLine, options.segmentTokens)) {
      for (let i = from; i < until; i++) tokens.push(ids[i]!);
      segments.push(hash);
      segments.push(until - from);
    }
    bytes += Buffer.byteLength(text);
    if (++count % REPORT_EVERY === 0) {
      await onProgress?.({ documents: count, tokens: tokens.length, fraction: documents.fraction });
    }
    if (tokens.length >= options.maxTokens) break;
  }
  const { skipped, fingerprint, found, files } = documents;
  const [tokenBytes, segmentBytes] = [tokens.bytes(), segments.bytes()];
  const record: CorpusRecord = {
    content: contentOf(tokenBytes, segmentBytes),
    tokenizer: tokenizer.hash,
    options,
    fingerprint,
    documents: count,
    segments: segments.length / 2,
    tokens: tokens.length,
    bytes,
    skipped,
    found,
    files,
  };
  const corpus = new TokenCorpus(record, tokenBytes, segmentBytes);
  const write = (temp: string): void => {
    fs.writeFileSync(path.join(temp, FILES.tokens), tokenBytes);
    fs.writeFileSync(path.join(temp, FILES.segments), segmentBytes);
    fs.writeFileSync(path.join(temp, FILES.record), recordText(record));
  };
  onFile(dir, "write", () => writeDirAtomic(dir, write, "replace"));
  return corpus;
}

/** The text of `corpus.json`. */
export function recordText(record: CorpusRecord): string {
  return formatJson({ ...FORMAT, ...record });
}

/** What a record is compared by; the rest is for people. */
const recordSchema = z.object({
  content: z.string(),
  tokenizer: z.string(),
  fingerprint: z.string(),
  files: z.array(z.object({ file: z.string(), sha256: z.string() })),
});

/** @throws inputError when the file is missing, damaged or of a newer version. */
export function readRecord(file: string): CorpusRecord {
  const { format: _, version: __, ...record } = readVersioned(file, FORMAT);
  parseSchema(recordSchema, record, file);
  return record as unknown as CorpusRecord;
}

/** Cuts after the last end of a line that fits, or anywhere if no line ends in time. */
function* cutSegments(ids: readonly number[], endsLine: readonly boolean[], most: number): Generator<[number, number]> {
  for (let from = 0; from < ids.length; ) {
    let until = Math.min(ids.length, from + most);
    if (until < ids.length) {
      let line = until;
      while (line > from && !endsLine[ids[line - 1]!]) line--;
      if (line > from) until = line;
    }
    yield [from, until];
    from = until;
  }
}

/** Numbers of 2 or 4 bytes, appended. */
class Growing {
  length = 0;
  private readonly width: 2 | 4;
  private values: Uint16Array | Uint32Array;

  constructor(width: 2 | 4) {
    this.width = width;
    this.values = this.room(1 << 16);
  }

  private room(length: number): Uint16Array | Uint32Array {
    return this.width === 2 ? new Uint16Array(length) : new Uint32Array(length);
  }

  push(value: number): void {
    if (this.length === this.values.length) {
      const larger = this.room(2 * this.length);
      larger.set(this.values);
      this.values = larger;
    }
    this.values[this.length++] = value;
  }

  bytes(): Uint8Array {
    return new Uint8Array(this.values.buffer as ArrayBuffer, 0, this.length * this.width);
  }
}

/** One document in a hundred each. */
const HELD_OUT = ["val", "calib"] as const;
const BUCKETS = 100;

/** The tokens of a corpus in memory (2 bytes each), by split. */
export class TokenCorpus {
  readonly record: CorpusRecord;
  private readonly tokens: Uint16Array;
  /** Where each segment begins; one more than there are. */
  private readonly starts: Float64Array;
  private readonly splits: Readonly<Record<CorpusSplit, Uint32Array>>;

  /** @throws inputError when there are fewer documents than splits. */
  constructor(record: CorpusRecord, tokens: Uint8Array, segments: Uint8Array) {
    this.record = record;
    // Copies, as a buffer that was read may lie anywhere in a larger one.
    this.tokens = new Uint16Array(new Uint8Array(tokens).buffer);
    const pairs = new Uint32Array(new Uint8Array(segments).buffer);
    const count = pairs.length / 2;
    this.starts = new Float64Array(count + 1);
    const hashes = pairs.filter((_, i) => i % 2 === 0);
    for (let i = 0; i < count; i++) this.starts[i + 1] = this.starts[i]! + pairs[2 * i + 1]!;
    const split = splitter(new Set(hashes), record);
    const of = (name: CorpusSplit): Uint32Array =>
      Uint32Array.from({ length: count }, (_, i) => i).filter((i) => split(hashes[i]!) === name);
    this.splits = { train: of("train"), val: of("val"), calib: of("calib") };
  }

  /** Segments and tokens of a split. */
  size(split: CorpusSplit): { readonly segments: number; readonly tokens: number } {
    const segments = this.splits[split];
    const tokens = segments.reduce((sum, i) => sum + this.starts[i + 1]! - this.starts[i]!, 0);
    return { segments: segments.length, tokens };
  }

  /** The segments of a split, endless: each pass over them in an order of its own. */
  source(split: CorpusSplit, seed: number): DocumentSource {
    const segments = this.splits[split];
    let pass = -1;
    let order: ArrayLike<number> = segments;
    const orderOf = (wanted: number): ArrayLike<number> => {
      if (pass !== wanted) {
        order = Rng.of(seed, "corpus", split, wanted).shuffle([...segments]);
        pass = wanted;
      }
      return order;
    };
    return {
      id: `tokens/${this.record.content.slice(0, 16)}/${seed}/${split}`,
      document: (index) => {
        const segment = orderOf(Math.floor(index / segments.length))[index % segments.length]!;
        return { tokens: this.tokens.subarray(this.starts[segment]!, this.starts[segment + 1]!) };
      },
    };
  }
}

/** The split of a document by its hash; in small corpora the documents of the lowest hashes fill the empty splits. */
function splitter(hashes: ReadonlySet<number>, { documents, skipped, options }: CorpusRecord) {
  const places = new Map<number, CorpusSplit>();
  const ordered = [...hashes].sort((a, b) => (a % BUCKETS) - (b % BUCKETS) || a - b);
  if (ordered.length <= HELD_OUT.length) {
    const reasons = Object.entries(skipped).map(([reason, count]) => `${count} ${reason}`);
    throw inputError(
      "corpus-empty",
      `${options.paths.join(", ")}: ${documents === 0 ? "no documents" : `only ${documents} documents`} can be used, ` +
        `expected ${HELD_OUT.length + 1} or more${reasons.length === 0 ? "" : ` (left out: ${reasons.join(", ")})`}`,
      "Give more files. Documents have 64 bytes to 256 KiB; those of text files are cut at --separator.",
    );
  }
  for (const hash of ordered) places.set(hash, HELD_OUT[hash % BUCKETS] ?? "train");
  for (const split of HELD_OUT) {
    if (ordered.some((hash) => places.get(hash) === split)) continue;
    places.set(ordered.find((hash) => places.get(hash) === "train") ?? ordered[0]!, split);
  }
  return (hash: number): CorpusSplit => places.get(hash)!;
}
