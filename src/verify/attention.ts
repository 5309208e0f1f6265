/** Attention of a head from what its queries and keys carry at the prefixes of prompts. */
import type { PrefixTree } from "../prune/evaluator/prefix-tree.ts";
import type { NodeValues, Part } from "../prune/pruned.ts";

/** What a node carries at a prefix: kept nodes what they were seen to, others their ablation value. */
export function carried(own: ReadonlyMap<number, NodeValues>, part: Part, node: number, prefix: number): number {
  return own.get(node)?.values[prefix] ?? part.fill[node]!;
}

/**
 * Attention from a prefix to itself and all before it, and at the end what the sink takes.
 * @param channels flat indices of the head's query and key channels, all of them
 */
export function attention(
  prefixes: PrefixTree,
  from: number,
  channels: readonly (readonly [q: number, k: number])[],
  value: (node: number, prefix: number) => number,
  sink: number | undefined,
): number[] {
  const scale = 1 / Math.sqrt(channels.length);
  const start = prefixes.pathStart[from]!;
  const scores = Array.from({ length: prefixes.position[from]! + 1 }, (_, t) => {
    const to = prefixes.path[start + t]!;
    return scale * channels.reduce((sum, [q, k]) => sum + value(q, from) * value(k, to), 0);
  });
  if (sink !== undefined) scores.push(sink);
  const most = Math.max(...scores);
  const weights = scores.map((s) => Math.exp(s - most));
  const total = weights.reduce((a, b) => a + b, 0);
  return weights.map((w) => w / total);
}
