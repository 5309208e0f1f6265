/** Mean activation of every node over a stream of text: what ablation puts in a node's place. */
import type { Activation, TokenShape } from "../engine/engine.ts";
import { Tape } from "../engine/tape.ts";
import { finalHidden } from "../model/forward.ts";
import type { Model } from "../model/model.ts";
import { nodeCount, siteSpecs } from "../model/sites.ts";
import { Rng } from "../util/rng.ts";
import type { Ablation, AblationKind } from "./ablation.ts";

export interface TokenBatch {
  /** [B * T] */
  readonly ids: Int32Array;
  readonly tokens: TokenShape;
}

/** How many vectors resampling draws, each from one token of text. */
const DRAWS = 8;

/** The values that ablation puts in the place of nodes, from text. */
export function measureAblation(
  model: Model,
  text: readonly TokenBatch[],
  { kind, frozenNorm, seed }: { kind: AblationKind; frozenNorm: boolean; seed: number },
): Ablation {
  switch (kind) {
    case "mean":
      return { kind, frozenNorm, draws: [meanActivations(model, text)] };
    case "zero":
      return { kind, frozenNorm, draws: [new Float32Array(nodeCount(model.config))] };
    case "resample":
      return { kind, frozenNorm, draws: drawnActivations(model, text, Rng.of(seed, "resample")) };
  }
}

/** Activations of all nodes at some tokens of text. */
function drawnActivations(model: Model, text: readonly TokenBatch[], rng: Rng): Float32Array[] {
  return Array.from({ length: DRAWS }, () => {
    const { ids, tokens } = rng.pick(text);
    const n = rng.int(0, ids.length - 1);
    const values = new Float32Array(nodeCount(model.config));
    const offsets = new Map<string, number>(siteSpecs(model.config).map((s) => [s.name, s.offset]));
    const tape = new Tape(model.engine, "nothing");
    const record = (name: string, x: Activation): void => {
      const offset = offsets.get(name);
      if (offset === undefined) return;
      values.set(model.engine.read(x).subarray(n * x.width, (n + 1) * x.width), offset);
    };
    finalHidden(tape, model, ids, tokens, { record });
    tape.free();
    return values;
  });
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
