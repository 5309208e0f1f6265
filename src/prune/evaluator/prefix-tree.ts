/**
 * The tokens of a batch with equal prefixes merged: in a causal model a token's activations depend on its prefix only,
 * and the two prompts of a pair share all that precedes the contrast.
 */
import type { PairBatch } from "../../data/pairs.ts";

export class PrefixTree {
  /** Number of different prefixes. */
  readonly size: number;
  /** Longest prompt in tokens. */
  readonly longest: number;
  /** Token id, position and parent (-1 at the start) of each prefix; a parent comes before its children. */
  readonly ids: Int32Array;
  readonly position: Int32Array;
  readonly parent: Int32Array;
  /** The prefix that each prompt ends with; several prompts may end alike. */
  readonly lastOf: Int32Array;
  /** 0 .. size - 1 */
  readonly all: Int32Array;
  /** The different entries of `lastOf`. */
  readonly lastRows: Int32Array;
  /** Ancestors of each prefix from the first token to itself: path[pathStart[n] + t], t = 0 .. position[n]. */
  readonly path: Int32Array;
  readonly pathStart: Int32Array;

  constructor(batch: PairBatch) {
    const ids: number[] = [];
    const position: number[] = [];
    const parent: number[] = [];
    const pathStart: number[] = [];
    const children = new Map<number, number>();
    const path = new Int32Array(batch.rows * batch.length);
    this.lastOf = new Int32Array(batch.rows);
    for (let p = 0; p < batch.rows; p++) {
      let at = -1;
      for (let t = 0; t <= batch.last[p]!; t++) {
        const id = batch.tokens[p * batch.length + t]!;
        const key = (at + 1) * 65536 + id;
        let next = children.get(key);
        if (next === undefined) {
          next = ids.length;
          children.set(key, next);
          ids.push(id);
          position.push(t);
          parent.push(at);
          pathStart.push(p * batch.length);
        }
        path[p * batch.length + t] = next;
        at = next;
      }
      this.lastOf[p] = at;
    }
    this.size = ids.length;
    this.longest = Math.max(...position) + 1;
    this.ids = Int32Array.from(ids);
    this.position = Int32Array.from(position);
    this.parent = Int32Array.from(parent);
    this.path = path;
    this.pathStart = Int32Array.from(pathStart);
    this.all = Int32Array.from({ length: this.size }, (_, n) => n);
    this.lastRows = Int32Array.from(new Set(this.lastOf)).sort();
  }
}
