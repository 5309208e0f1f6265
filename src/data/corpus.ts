/**
 * A corpus as an endless stream of tokens, packed into windows: end-of-text, document, end-of-text, document ... cut
 * every `contextLength + 1` tokens, so a window may begin inside a document. Contract: the stream depends on the source,
 * the tokenizer and the decontaminator alone; a stream resumed from a cursor goes on exactly as the one that wrote it,
 * whatever the batch sizes before or after.
 */
import { inputError } from "../util/errors.ts";
import { hash32, Rng } from "../util/rng.ts";
import type { DocumentFilter } from "./decontaminate.ts";
import { Grammar, type GrammarOptions, type Program } from "./grammar.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** train: the model's; val: held-out loss; calib: means for ablation, and nothing else. */
export type CorpusSplit = "train" | "val" | "calib";

/** A program as text, or any document as the token ids of the stream's tokenizer. */
export type Document = Program | { readonly tokens: ArrayLike<number> };

/** Documents by number, endless; a finite collection starts over. */
export interface DocumentSource<D extends Document = Document> {
  /** Equal for sources that give the same documents. */
  readonly id: string;
  document(index: number): D;
}

/** The tokens of a document, end-of-text first. */
export function encodeDocument(document: Document, tokenizer: Tokenizer): number[] {
  const into = [tokenizer.eot];
  if ("text" in document) return tokenizer.encode(document.text, into);
  for (let i = 0; i < document.tokens.length; i++) into.push(document.tokens[i]!);
  return into;
}

/** Where a stream stands: JSON, a few dozen bytes. */
export interface CorpusCursor {
  readonly version: 1;
  /** What the stream is made of; resuming another one is refused. */
  readonly corpus: string;
  /** Number of the document being read, and how many of its tokens (end-of-text first) are used up. */
  readonly document: number;
  readonly token: number;
  /** Documents left out so far because they hold the end of a held-out prompt. */
  readonly dropped: number;
}

/** A decision mark inside a batch: the token after `position` of `row` decides between `right` and `wrong`. */
export interface BatchMark {
  readonly task: string;
  readonly side: "pos" | "neg";
  readonly row: number;
  readonly position: number;
  readonly right: number;
  readonly wrong: number;
}

export interface CorpusBatch {
  /** [rows, contextLength + 1], row-major: inputs are all but the last of a row, targets all but the first. */
  readonly tokens: Int32Array;
  readonly rows: number;
  readonly contextLength: number;
  /** Empty unless the stream was asked for marks. */
  readonly marks: readonly BatchMark[];
}

/**
 * The procedural corpus. The splits are apart by the seed's key, not by a hash of the text: document i of each is
 * drawn on its own, costs no documents of the others, and two of them agree with negligible chance (a document holds
 * hundreds of random bits).
 */
export function proceduralSource(options: GrammarOptions, seed: number, split: CorpusSplit): DocumentSource<Program> {
  const grammar = new Grammar(options);
  const { weights, docStmts, maxDepth, quoteNoise } = options;
  const sorted = Object.entries(weights).sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    id: `procedural/${seed}/${split}/${hash32(JSON.stringify([sorted, docStmts, maxDepth, quoteNoise])).toString(16)}`,
    document: (index) => grammar.program(Rng.of(seed, "corpus", split, index)),
  };
}

/** A document as tokens, the first of which is end-of-text; `marks` say where its decisions are. */
interface Pending {
  readonly tokens: readonly number[];
  readonly marks: readonly { at: number; task: string; side: "pos" | "neg"; wrong: number }[];
}

/** Documents dropped in a row after which the corpus is taken to consist of held-out prompts. */
const MOST_DROPPED_IN_A_ROW = 10_000;

export interface StreamOptions {
  readonly decontaminator?: DocumentFilter;
  /** From `cursor()` of a stream of the same parts. */
  readonly cursor?: CorpusCursor;
  /** Report decision marks with the batches; slower, for held-out accuracy. */
  readonly marks?: boolean;
}

export class CorpusStream {
  private readonly source: DocumentSource;
  private readonly tokenizer: Tokenizer;
  private readonly decontaminator: DocumentFilter | undefined;
  private readonly withMarks: boolean;
  private readonly id: string;
  private document = 0;
  private token = 0;
  private dropped = 0;
  private pending: Pending;

  /** @throws inputError when the cursor is of another corpus. */
  constructor(source: DocumentSource, tokenizer: Tokenizer, options: StreamOptions = {}) {
    this.source = source;
    this.tokenizer = tokenizer;
    this.decontaminator = options.decontaminator;
    this.withMarks = options.marks ?? false;
    this.id = `${source.id} ${tokenizer.hash.slice(0, 16)} ${this.decontaminator?.fingerprint ?? "-"}`;
    if (options.cursor !== undefined) this.seek(options.cursor);
    this.pending = this.load();
    if (this.token > this.pending.tokens.length) throw this.refuse("points past the end of its document");
  }

  private seek(cursor: CorpusCursor): void {
    if (cursor.version !== 1) throw this.refuse(`is of version ${cursor.version}; expected 1`);
    if (cursor.corpus !== this.id) throw this.refuse(`is of "${cursor.corpus}"; expected "${this.id}"`);
    for (const field of ["document", "token", "dropped"] as const) {
      const value = cursor[field];
      if (!(Number.isSafeInteger(value) && value >= 0)) throw this.refuse(`has ${field} ${value}; expected 0 or more`);
    }
    this.document = cursor.document;
    this.token = cursor.token;
    this.dropped = cursor.dropped;
  }

  private refuse(why: string): Error {
    return inputError(
      "corpus-cursor",
      `The corpus position to resume from ${why}`,
      "Resume with the corpus options, seed, tasks and tokenizer of the run, or start a new run.",
    );
  }

  /** Number of documents left out so far. */
  get droppedDocuments(): number {
    return this.dropped;
  }

  /** Number of documents read to the end or begun, dropped ones included. */
  get documents(): number {
    return this.document + 1;
  }

  cursor(): CorpusCursor {
    return { version: 1, corpus: this.id, document: this.document, token: this.token, dropped: this.dropped };
  }

  /** The next `rows` windows of `contextLength + 1` tokens. */
  batch(rows: number, contextLength: number): CorpusBatch {
    const length = contextLength + 1;
    const tokens = new Int32Array(rows * length);
    const marks: BatchMark[] = [];
    let filled = 0;
    while (filled < tokens.length) {
      if (this.token === this.pending.tokens.length) {
        this.document++;
        this.token = 0;
        this.pending = this.load();
      }
      const from = this.token;
      const until = Math.min(this.pending.tokens.length, from + tokens.length - filled);
      for (const { at, task, side, wrong } of this.pending.marks) {
        const place = filled + at - from;
        // A decision needs the token before it in the same window.
        if (at < from || at >= until || place % length === 0) continue;
        const row = Math.floor(place / length);
        marks.push({ task, side, row, position: (place % length) - 1, right: this.pending.tokens[at]!, wrong });
      }
      for (let i = from; i < until; i++) tokens[filled++] = this.pending.tokens[i]!;
      this.token = until;
    }
    return { tokens, rows, contextLength, marks };
  }

  /** The document at the cursor, or the first after it that holds no held-out prompt. */
  private load(): Pending {
    for (let skipped = 0; skipped < MOST_DROPPED_IN_A_ROW; skipped++) {
      const document = this.source.document(this.document);
      const tokens = encodeDocument(document, this.tokenizer);
      if (!(this.decontaminator?.contains(tokens) ?? false)) {
        return { tokens, marks: this.withMarks && "text" in document ? this.place(document) : [] };
      }
      this.dropped++;
      this.document++;
    }
    throw inputError(
      "corpus-contaminated",
      `${MOST_DROPPED_IN_A_ROW} documents in a row contain a held-out prompt of the tasks`,
      "Lengthen the documents or the prompts: the corpus and the task have too few different texts.",
    );
  }

  /** Marks by token. One whose completions are not single tokens of this tokenizer cannot be scored, and is left out. */
  private place(program: Program): Pending["marks"] {
    const marks: { at: number; task: string; side: "pos" | "neg"; wrong: number }[] = [];
    for (const { task, side, offset, wrong } of program.marks) {
      if (!this.tokenizer.isSingle(wrong)) continue;
      const at = 1 + this.tokenizer.encode(program.text.slice(0, offset)).length;
      marks.push({ task, side, at, wrong: this.tokenizer.idOf(wrong)! });
    }
    return marks;
  }
}
