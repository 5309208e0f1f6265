/** What a circuit's nodes carry in the full model, on text and on the two sides of the task's pairs. */
import type { CircuitNode } from "../circuits/schema.ts";
import type { PairBatch } from "../data/pairs.ts";
import type { Activation } from "../engine/engine.ts";
import { Tape } from "../engine/tape.ts";
import { finalHidden } from "../model/forward.ts";
import type { Model } from "../model/model.ts";
import { siteName } from "../model/sites.ts";
import type { TokenBatch } from "../prune/means.ts";
import { CHUNK_TOKENS } from "./extract-source.ts";

export interface NodeActivations {
  readonly node: CircuitNode;
  /** At each token of the text. */
  readonly text: Float32Array;
  /**
   * Of the first and of the second prompt of each pair (P): the value that is furthest from the ablated one, at the
   * tokens from where the two prompts differ on. Before, both carry the same.
   */
  readonly sides: readonly [first: Float32Array, second: Float32Array];
}

export function nodeActivations(
  model: Model,
  nodes: readonly CircuitNode[],
  text: readonly TokenBatch[],
  pairs: PairBatch,
): NodeActivations[] {
  const onText = carriedBy(model, nodes, text);
  const onPairs = carriedBy(model, nodes, rowsOf(pairs));
  const firsts = Array.from({ length: pairs.rows }, (_, row) => firstDifference(pairs, row));
  return nodes.map((node, i) => {
    const peak = (row: number): number => {
      const start = row * pairs.length;
      const values = onPairs[i]!.subarray(start + firsts[row]!, start + pairs.last[row]! + 1);
      const far = (value: number): number => Math.abs(value - node.meanActivation);
      return values.reduce((most, value) => (far(value) > far(most) ? value : most));
    };
    const side = (offset: number) =>
      Float32Array.from({ length: pairs.rows / 2 }, (_, pair) => peak(2 * pair + offset));
    return { node, text: onText[i]!, sides: [side(0), side(1)] };
  });
}

/** Values of each node at each token of the batches, one after another. */
function carriedBy(model: Model, nodes: readonly CircuitNode[], batches: readonly TokenBatch[]): Float32Array[] {
  const total = batches.reduce((sum, { ids }) => sum + ids.length, 0);
  const values = nodes.map(() => new Float32Array(total));
  let at = 0;
  for (const { ids, tokens } of batches) {
    const tape = new Tape(model.engine, "nothing");
    const record = (name: string, x: Activation): void => {
      const here = nodes.flatMap((node, i) =>
        siteName(node.layer, node.site) === name ? [[node.channel, i] as const] : [],
      );
      if (here.length === 0) return;
      const all = model.engine.read(x);
      for (const [channel, i] of here) {
        for (let n = 0; n < ids.length; n++) values[i]![at + n] = all[n * x.width + channel]!;
      }
    };
    finalHidden(tape, model, ids, tokens, { record });
    tape.free();
    at += ids.length;
  }
  return values;
}

/** In pieces whose activations stay in the caches. */
function rowsOf({ tokens, rows, length }: PairBatch): TokenBatch[] {
  const step = Math.max(1, Math.floor(CHUNK_TOKENS / length));
  return Array.from({ length: Math.ceil(rows / step) }, (_, i) => {
    const batch = Math.min(step, rows - i * step);
    return { ids: tokens.subarray(i * step * length, (i * step + batch) * length), tokens: { batch, length } };
  });
}

/** Where the prompts of a row's pair differ first; the row's last token where they do not. */
function firstDifference({ tokens, length, last }: PairBatch, row: number): number {
  const [a, b] = [row * length, (row ^ 1) * length];
  for (let t = 0; t < last[row]!; t++) if (tokens[a + t] !== tokens[b + t]) return t;
  return last[row]!;
}
