/** Mean activation of every node over a stream of text: what ablation puts in a node's place. */
import type { Activation, TokenShape } from "../engine/engine.ts";
import { Tape } from "../engine/tape.ts";
import { finalHidden } from "../model/forward.ts";
import type { Model } from "../model/model.ts";
import { siteSpecs } from "../model/sites.ts";

export interface TokenBatch {
  /** [B * T] */
  readonly ids: Int32Array;
  readonly tokens: TokenShape;
}

/** Means after AbsTopK over all tokens and positions, in flat site order. Sums are float64. */
export function meanActivations(model: Model, batches: Iterable<TokenBatch>): Float32Array {
  const specs = siteSpecs(model.config);
  const bySite = new Map<string, Float64Array>(specs.map((s) => [s.name, new Float64Array(s.width)]));
  let count = 0;
  for (const { ids, tokens } of batches) {
    const tape = new Tape(model.engine, "nothing");
    const record = (name: string, x: Activation): void => {
      const sums = bySite.get(name);
      if (!sums) return;
      const values = model.engine.read(x);
      const width = sums.length;
      for (let at = 0; at < values.length; at += width) for (let c = 0; c < width; c++) sums[c]! += values[at + c]!;
    };
    finalHidden(tape, model, ids, tokens, { record });
    tape.free();
    count += tokens.batch * tokens.length;
  }
  const means = new Float32Array(specs.reduce((sum, s) => sum + s.width, 0));
  for (const { name, offset } of specs)
    means.set(
      Float32Array.from(bySite.get(name)!, (x) => x / count),
      offset,
    );
  return means;
}
