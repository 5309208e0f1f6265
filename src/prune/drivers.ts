/** Which tokens drive a node: those at which its activation stands out most from its mean over text. */
import type { Activation } from "../engine/engine.ts";
import { Tape } from "../engine/tape.ts";
import { finalHidden } from "../model/forward.ts";
import type { Model } from "../model/model.ts";
import { siteSpecs } from "../model/sites.ts";
import type { TokenBatch } from "./means.ts";

export interface DrivingToken {
  readonly token: number;
  /** Mean activation of the node at that token. */
  readonly value: number;
}

/** Occurrences that a token needs to be listed. */
const SEEN = 5;

/**
 * For each node (flat index) the `most` tokens whose mean activation differs most from the node's overall mean, by
 * magnitude; differences under a tenth of the largest are left out.
 */
export function drivingTokens(
  model: Model,
  nodes: readonly number[],
  batches: Iterable<TokenBatch>,
  most: number,
): Map<number, DrivingToken[]> {
  const V = model.config.vocabSize;
  const specs = siteSpecs(model.config);
  const bySite = new Map<string, { node: number; channel: number; width: number; sums: Float64Array }[]>();
  for (const node of nodes) {
    const spec = specs.find((s) => node >= s.offset && node < s.offset + s.width)!;
    const list = bySite.get(spec.name) ?? [];
    list.push({ node, channel: node - spec.offset, width: spec.width, sums: new Float64Array(V) });
    bySite.set(spec.name, list);
  }
  const seen = new Int32Array(V);
  for (const { ids, tokens } of batches) {
    for (const id of ids) seen[id]!++;
    const tape = new Tape(model.engine, "nothing");
    const record = (name: string, x: Activation): void => {
      const wanted = bySite.get(name);
      if (!wanted) return;
      const values = model.engine.read(x);
      for (const { channel, width, sums } of wanted) {
        for (let n = 0; n < ids.length; n++) sums[ids[n]!]! += values[n * width + channel]!;
      }
    };
    finalHidden(tape, model, ids, tokens, { record });
    tape.free();
  }
  const total = seen.reduce((a, b) => a + b, 0);
  const out = new Map<number, DrivingToken[]>();
  for (const list of bySite.values()) {
    for (const { node, sums } of list) out.set(node, strongest(sums, seen, total, most));
  }
  return out;
}

function strongest(sums: Float64Array, seen: Int32Array, total: number, most: number): DrivingToken[] {
  const mean = sums.reduce((a, b) => a + b, 0) / total;
  const tokens: (DrivingToken & { difference: number })[] = [];
  for (let token = 0; token < sums.length; token++) {
    if (seen[token]! < SEEN) continue;
    const value = sums[token]! / seen[token]!;
    tokens.push({ token, value, difference: Math.abs(value - mean) });
  }
  tokens.sort((a, b) => b.difference - a.difference || a.token - b.token);
  const least = (tokens[0]?.difference ?? 0) / 10;
  return tokens
    .slice(0, most)
    .filter((t) => t.difference > 0 && t.difference >= least)
    .map(({ token, value }) => ({ token, value }));
}
