/** What nodes of the unpruned model carry on prompts. */
import type { PairBatch } from "../data/pairs.ts";
import type { Activation } from "../engine/engine.ts";
import { Tape } from "../engine/tape.ts";
import { finalHidden } from "../model/forward.ts";
import type { Model } from "../model/model.ts";
import { siteSpecs } from "../model/sites.ts";
import type { PrefixTree } from "./evaluator/prefix-tree.ts";
import { chunks } from "./pair-scores.ts";

/** Values of the nodes (flat indices) at every prefix of the batch's prompts. */
export function fullValues(
  model: Model,
  batch: PairBatch,
  { size, path }: PrefixTree,
  nodes: Iterable<number>,
): Map<number, Float32Array> {
  const out = new Map([...nodes].map((n) => [n, new Float32Array(size)]));
  const bySite = new Map<string, { channel: number; values: Float32Array; width: number }[]>(
    siteSpecs(model.config).map(({ name, offset, width }) => [
      name,
      [...out]
        .filter(([n]) => n >= offset && n < offset + width)
        .map(([n, values]) => ({ channel: n - offset, values, width })),
    ]),
  );
  let row = 0;
  for (const chunk of chunks(batch)) {
    const tape = new Tape(model.engine, "nothing");
    const first = row;
    const record = (name: string, x: Activation): void => {
      const wanted = bySite.get(name);
      if (!wanted || wanted.length === 0) return;
      const read = model.engine.read(x);
      for (const { channel, values, width } of wanted) {
        for (let r = 0; r < chunk.rows; r++) {
          for (let t = 0; t <= chunk.last[r]!; t++) {
            values[path[(first + r) * batch.length + t]!] = read[(r * chunk.length + t) * width + channel]!;
          }
        }
      }
    };
    finalHidden(tape, model, chunk.tokens, { batch: chunk.rows, length: chunk.length }, { record });
    tape.free();
    row += chunk.rows;
  }
  return out;
}
