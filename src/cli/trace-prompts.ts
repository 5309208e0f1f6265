/** What a circuit carries, where its heads look and what it answers on prompts: the numbers of unrolled figures. */
import { embedding, unembedding } from "../circuits/edges.ts";
import { restoreCircuit } from "../circuits/restore.ts";
import type { Circuit, CircuitNode } from "../circuits/schema.ts";
import { headKey, type Trace } from "../circuits/trace.ts";
import { Wiring } from "../circuits/wiring.ts";
import type { PairBatch } from "../data/pairs.ts";
import type { Model } from "../model/model.ts";
import type { StoredModel } from "../model/params.ts";
import { nodeId, nodeIndexOf, siteSpecs } from "../model/sites.ts";
import type { Ablation } from "../prune/ablation.ts";
import { answerLogits } from "../prune/pair-scores.ts";
import { type NodeValues, type Part, Pruned } from "../prune/pruned.ts";
import { attention, carried } from "../verify/attention.ts";

export interface TracedPrompt {
  readonly name: string;
  /** Ids of candidate answers. */
  readonly answers: readonly number[];
  /** The right one of them, where it is known. */
  readonly right?: number;
}

/**
 * Traces of the two prompts of a pair, or of its first alone.
 * @param batch one pair; under several draws of ablation values the first is taken
 * @param prompts of its rows
 */
export function tracePair(
  model: Model,
  stored: StoredModel,
  circuit: Circuit,
  { ablation, tokenText }: { ablation: Ablation; tokenText: (token: number) => string },
  batch: PairBatch,
  prompts: readonly TracedPrompt[],
): Trace[] {
  const { config, params } = stored;
  const one: Ablation = { ...ablation, draws: ablation.draws.slice(0, 1) };
  const pruned = new Pruned(stored, restoreCircuit(circuit, new Wiring(config, params)), one, batch);
  const part = pruned.parts[0]!;
  const own = pruned.values(part);
  const indexOf = nodeIndexOf(config);
  const [V, D] = [config.vocabSize, config.width];
  const logits = { circuit: pruned.logits(V), full: answerLogits(model, batch) };
  const [embed, unembed] = [embedding(config, params), unembedding(config, params)];
  const rowOf = (matrix: Float32Array, token: number): Float32Array => matrix.slice(token * D, (token + 1) * D);
  const nodes = withPartners(circuit);
  return prompts.map(({ name, answers, right }, row): Trace => {
    const ids = Array.from(batch.tokens.subarray(row * batch.length, row * batch.length + batch.last[row]! + 1));
    const prefixes = ids.map((_, t) => part.prefixes.path[row * batch.length + t]!);
    const among = (all: Float32Array): number[] => softmax(answers.map((token) => all[row * V + token]!));
    const [inCircuit, inFull] = [among(logits.circuit), among(logits.full)];
    const values = circuit.nodes.map(({ id }) => {
      const seen = own.get(indexOf(id)!);
      const computed = new Set(seen?.rows);
      const at = (prefix: number): number => (computed.has(prefix) ? seen!.values[prefix]! : Number.NaN);
      return [id, Float64Array.from(prefixes, at)] as const;
    });
    return {
      name,
      tokens: ids.map((token) => ({ token, text: tokenText(token) })),
      values: new Map(values),
      ablated: new Map([...nodes].map((id) => [id, part.fill[indexOf(id)!]!])),
      attention: patterns(stored, circuit, part, own, prefixes),
      embedding: ids.map((token) => rowOf(embed, token)),
      answers: answers.map((token, i) => ({
        token,
        text: tokenText(token),
        circuit: inCircuit[i]!,
        full: inFull[i]!,
        right: token === right,
        unembedding: rowOf(unembed, token),
      })),
    };
  });
}

/** Ids of the circuit's nodes, and of the queries and keys that these are multiplied with. */
function withPartners({ nodes }: Circuit): Set<string> {
  const partner = ({ layer, site, channel }: CircuitNode): string[] => {
    if (site !== "attn.q" && site !== "attn.k") return [];
    return [nodeId({ layer, site: site === "attn.q" ? "attn.k" : "attn.q", channel })];
  };
  return new Set(nodes.flatMap((node) => [node.id, ...partner(node)]));
}

/** Attention of the heads with a value in the circuit, from each prefix. */
function patterns(
  { config, params }: StoredModel,
  { nodes }: Circuit,
  part: Part,
  own: ReadonlyMap<number, NodeValues>,
  prefixes: readonly number[],
): Map<string, number[][]> {
  const offsets = new Map(siteSpecs(config).map(({ layer, site, offset }) => [`${layer}.${site}`, offset]));
  const heads = new Map(nodes.filter(({ site }) => site === "attn.v").map((n) => [headKey(n), n] as const));
  return new Map(
    [...heads].map(([key, { layer, head = 0 }]) => {
      const sink = params.get(`transformer.h.${layer}.attn.attn_imp.sink_logit`)?.[head];
      const first = head * config.headWidth;
      const [q, k] = [offsets.get(`${layer}.attn.q`)! + first, offsets.get(`${layer}.attn.k`)! + first];
      const channels = Array.from({ length: config.headWidth }, (_, c) => [q + c, k + c] as const);
      const value = (node: number, prefix: number): number => carried(own, part, node, prefix);
      return [key, prefixes.map((prefix) => attention(part.prefixes, prefix, channels, value, sink))];
    }),
  );
}

function softmax(logits: readonly number[]): number[] {
  const most = Math.max(...logits);
  const weights = logits.map((z) => Math.exp(z - most));
  const total = weights.reduce((a, b) => a + b, 0);
  return weights.map((w) => w / total);
}
