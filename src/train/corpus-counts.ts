/** What a stream of text holds, counted over its first tokens. */
import type { CorpusStream } from "../data/corpus.ts";

export interface CorpusCounts {
  readonly tokens: number;
  /** Documents, or segments of a real corpus, begun. */
  readonly documents: number;
  /** Left out because they hold the end of a held-out prompt. */
  readonly dropped: number;
  /** Different tokens that occur. */
  readonly used: number;
  /** Tokens that stand for unknown bytes. */
  readonly unknown: number;
  /** Decision points by task; marked in procedural text only. */
  readonly decisions: Readonly<Record<string, number>>;
}

/** Tokens read at a time. */
const WINDOW = 65_536;

/** @param stream with marks, if decision points are wanted; it moves on. */
export function countCorpus(stream: CorpusStream, tokens: number, unk?: number): CorpusCounts {
  const seen = new Set<number>();
  const decisions: Record<string, number> = {};
  let unknown = 0;
  for (let left = tokens; left > 0; left -= WINDOW) {
    const batch = stream.batch(1, Math.min(left, WINDOW) - 1);
    for (const token of batch.tokens) {
      seen.add(token);
      if (token === unk) unknown++;
    }
    for (const { task } of batch.marks) decisions[task] = (decisions[task] ?? 0) + 1;
  }
  const dropped = stream.droppedDocuments;
  return { tokens, documents: stream.documents - dropped, dropped, used: seen.size, unknown, decisions };
}
