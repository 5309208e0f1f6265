/**
 * The attribution graph of a circuit on a prompt, in the JSON of Neuronpedia and circuit-tracer (schema version 1). Nodes
 * are the circuit's at each token that reaches the answer, with embeddings and answers; a link is its weight times what
 * its source carries, times the attention from value to write. Queries and keys, which are multiplied, have links to the
 * writes: gradient times activation through the softmax. Norms are taken as constants and not in the links.
 *
 * Sites are layers of their own here, layer * 8 + site, since (layer, feature, position) has to be unique; `clerp` has the
 * node's name. Probabilities are among the task's answers. No clock times: the same trace gives the same bytes.
 */
import { nodeId, SITES } from "../../model/sites.ts";
import { visibleToken } from "../layout/text.ts";
import type { Circuit, CircuitNode } from "../schema.ts";
import { type Gathering, headKey, type Trace, unroll, WHOLE } from "../trace.ts";

interface GraphNode {
  readonly node_id: string;
  /** Of an embedding its position, of an answer its token. */
  readonly feature: number;
  /** A number, or "E" of embeddings. */
  readonly layer: string;
  readonly ctx_idx: number;
  readonly feature_type: "cross layer transcoder" | "embedding" | "logit";
  readonly jsNodeId: string;
  readonly clerp: string;
  /** Share of all influence on the answers that this node and those of more influence have. */
  readonly influence: number;
  readonly activation: number;
  readonly token_prob: number;
  readonly is_target_logit: boolean;
  readonly run_idx: number;
  readonly reverse_ctx_idx: number;
}

interface Link {
  readonly source: string;
  readonly target: string;
  readonly weight: number;
}

interface AttributionMetadata {
  readonly slug: string;
  readonly scan: string;
  readonly prompt: string;
  readonly prompt_tokens: readonly string[];
  readonly transcoder_list: readonly string[];
  readonly node_threshold: number;
  readonly schema_version: 1;
  readonly info: object;
}

interface AttributionGraph {
  readonly metadata: AttributionMetadata;
  readonly qParams: object;
  readonly nodes: readonly GraphNode[];
  readonly links: readonly Link[];
}

/** Nodes that have this share of all influence together are kept. */
const NODE_THRESHOLD = 0.98;

export function attributionGraph(circuit: Circuit, trace: Trace): AttributionGraph {
  const { run, layers } = circuit.model;
  const links = linksOf(circuit, trace);
  const answers = trace.answers.map((a) => logitNode(layers, trace, a));
  const influence = influences(links, answers);
  const sources = [...embeddings(trace), ...features(circuit, trace)]
    .map((node) => ({ ...node, influence: influence.get(node.node_id) ?? 0 }))
    .sort((a, b) => b.influence - a.influence);
  const total = sources.reduce((sum, n) => sum + n.influence, 0) || 1;
  let sum = 0;
  const cumulative = sources.flatMap((node, i) => {
    sum += node.influence;
    const share = Math.min(1, sum / total);
    if (node.influence === 0 || (i > 0 && share > NODE_THRESHOLD)) return [];
    // Viewers hide what is above the threshold.
    return [{ ...node, influence: Math.min(share, NODE_THRESHOLD) }];
  });
  const nodes = [
    ...cumulative.sort((a, b) => order(a) - order(b) || a.ctx_idx - b.ctx_idx || a.feature - b.feature),
    ...answers,
  ];
  const known = new Set(nodes.map((n) => n.node_id));
  return {
    metadata: {
      slug: slugOf(circuit, trace),
      scan: run,
      prompt: trace.tokens.map((t) => t.text).join(""),
      prompt_tokens: trace.tokens.map((t) => t.text),
      transcoder_list: [],
      node_threshold: NODE_THRESHOLD,
      schema_version: 1,
      info: {
        description:
          `Circuit of ${circuit.counts.nodes} nodes for ${circuit.task.name}: weights times activations. ` +
          "Probabilities are among the task's answers.",
        creator_name: "",
        creator_url: "",
        source_urls: [],
        generator: { name: "sparse-circuits", version: circuit.provenance.toolVersion, url: "" },
        create_time_ms: 0,
      },
    },
    qParams: { pinnedIds: answers.map((n) => n.node_id), supernodes: [], linkType: "both", clickedId: "", sg_pos: "" },
    nodes,
    links: links.filter((l) => known.has(l.source) && known.has(l.target)),
  };
}

/** Of letters, digits and hyphens. */
function slugOf({ task }: Circuit, { name }: Trace): string {
  return `${task.name}-${task.variant}-${name}`.replace(/[^A-Za-z0-9]+/g, "-");
}

/** Cantor's pairing of two whole numbers. */
function cantor(x: number, y: number): number {
  return ((x + y) * (x + y + 1)) / 2 + y;
}

function order({ layer }: GraphNode): number {
  return layer === "E" ? -1 : Number(layer);
}

function siteLayer({ layer, site }: CircuitNode): number {
  return layer * SITES.length + SITES.indexOf(site);
}

function featureId(node: CircuitNode, position: number): string {
  return `${siteLayer(node)}_${node.channel}_${position}`;
}

function embeddingId(trace: Trace, position: number): string {
  return `E_${trace.tokens[position]!.token}_${position}`;
}

function logitLayer(layers: number): number {
  return layers * SITES.length + 1;
}

function logitId(circuit: Circuit, trace: Trace, token: number): string {
  return `${logitLayer(circuit.model.layers)}_${token}_${trace.tokens.length - 1}`;
}

const PLAIN = { token_prob: 0, is_target_logit: false, run_idx: 0, reverse_ctx_idx: 0, influence: 0 };

function embeddings(trace: Trace): GraphNode[] {
  return trace.tokens.map(({ token, text }, position) => ({
    ...PLAIN,
    node_id: embeddingId(trace, position),
    feature: position,
    layer: "E",
    ctx_idx: position,
    feature_type: "embedding",
    jsNodeId: `E_${token}-${position}`,
    clerp: `token ${visibleToken(text)}`,
    activation: 1,
  }));
}

function features(circuit: Circuit, trace: Trace): GraphNode[] {
  return circuit.nodes.flatMap((node) => {
    const layer = siteLayer(node);
    return [...trace.values.get(node.id)!].flatMap((activation, position): GraphNode[] =>
      Number.isNaN(activation)
        ? []
        : [
            {
              ...PLAIN,
              node_id: featureId(node, position),
              feature: cantor(layer, node.channel),
              layer: String(layer),
              ctx_idx: position,
              feature_type: "cross layer transcoder",
              jsNodeId: `${layer}_${node.channel}-${position}`,
              clerp: node.label ? `${node.id}: ${node.label}` : node.id,
              activation,
            },
          ],
    );
  });
}

function logitNode(layers: number, trace: Trace, answer: Trace["answers"][number]): GraphNode {
  const layer = logitLayer(layers);
  const position = trace.tokens.length - 1;
  return {
    ...PLAIN,
    node_id: `${layer}_${answer.token}_${position}`,
    feature: answer.token,
    layer: String(layer),
    ctx_idx: position,
    feature_type: "logit",
    jsNodeId: `L_${answer.token}-${position}`,
    // Viewers read the probability after the first "(p=".
    clerp: `Output "${visibleToken(answer.text).replaceAll("(p=", "(p\u2009=")}" (p=${answer.circuit.toFixed(3)})`,
    activation: 0,
    token_prob: answer.circuit,
    is_target_logit: answer.right,
  };
}

function linksOf(circuit: Circuit, trace: Trace): Link[] {
  const unrolled = unroll(circuit, trace, WHOLE);
  const byId = new Map(circuit.nodes.map((n) => [n.id, n]));
  const last = trace.tokens.length - 1;
  const links: Link[] = [];
  const add = (source: string, target: string, weight: number): void => {
    if (weight !== 0) links.push({ source, target, weight });
  };
  const residual = circuit.links.filter((l) => l.kind === "residual").map((l) => ({ ...l, weight: 1 }));
  const within = [...circuit.edges, ...residual].filter((e) => byId.get(e.source)!.site !== "attn.v");
  for (const [position, nodes] of unrolled.nodes) {
    const here = new Set(nodes.map(({ id }) => id));
    for (const { source, target, weight } of within) {
      if (!here.has(source) || !here.has(target)) continue;
      const ends = [source, target].map((id) => featureId(byId.get(id)!, position));
      add(ends[0]!, ends[1]!, weight * trace.values.get(source)![position]!);
    }
    for (const node of nodes) {
      if (!node.site.endsWith("act_in")) continue;
      add(embeddingId(trace, position), featureId(node, position), trace.embedding[position]![node.channel] ?? 0);
    }
  }
  for (const gathering of unrolled.gatherings) {
    const { value, query } = gathering;
    const here = new Set(unrolled.nodes.get(query)!.map(({ id }) => id));
    for (const { source, target, weight } of circuit.edges) {
      if (source !== value.id || !here.has(target)) continue;
      const to = featureId(byId.get(target)!, query);
      for (const { node, position, amount } of moved(circuit, trace, gathering)) {
        add(featureId(node, position), to, weight * amount);
      }
    }
  }
  for (const node of unrolled.nodes.get(last)!) {
    if (!node.site.endsWith("resid_delta")) continue;
    for (const { token, unembedding } of trace.answers) {
      const weight = unembedding[node.channel]! * trace.values.get(node.id)![last]!;
      add(featureId(node, last), logitId(circuit, trace, token), weight);
    }
  }
  return summed(links);
}

interface Part {
  readonly node: CircuitNode;
  readonly position: number;
  readonly amount: number;
}

/** What goes into a gathered value: values by their attention, queries and keys by gradient times activation. */
function moved(circuit: Circuit, trace: Trace, { value, query, sources }: Gathering): Part[] {
  const scale = 1 / Math.sqrt(circuit.model.headWidth);
  const values = trace.values.get(value.id)!;
  const parts = sources.map(({ position, attention }) => ({
    node: value,
    position,
    amount: attention * values[position]!,
  }));
  const sum = parts.reduce((total, p) => total + p.amount, 0);
  const all: Part[] = [...parts];
  const own = circuit.nodes.filter((n) => n.site !== "attn.v" && n.head !== undefined && headKey(n) === headKey(value));
  const carried = (site: "attn.q" | "attn.k", channel: number, position: number): number => {
    const id = nodeId({ layer: value.layer, site, channel });
    return trace.values.get(id)?.[position] ?? trace.ablated.get(id)!;
  };
  for (const node of own) {
    const terms = sources.map(({ position, attention }) => {
      const score = scale * carried("attn.q", node.channel, query) * carried("attn.k", node.channel, position);
      return { node, position, amount: attention * (values[position]! - sum) * score };
    });
    if (node.site === "attn.k") all.push(...terms);
    else all.push({ node, position: query, amount: terms.reduce((total, t) => total + t.amount, 0) });
  }
  return all;
}

/** One link for each pair of ends. */
function summed(links: readonly Link[]): Link[] {
  const sums = new Map<string, Link>();
  for (const link of links) {
    const key = `${link.source}>${link.target}`;
    sums.set(key, { ...link, weight: link.weight + (sums.get(key)?.weight ?? 0) });
  }
  return [...sums.values()];
}

/** Influence on the answers: a node's is shared among its sources by the sizes of their links. */
function influences(links: readonly Link[], answers: readonly GraphNode[]): Map<string, number> {
  const into = new Map<string, Link[]>();
  for (const link of links) into.set(link.target, [...(into.get(link.target) ?? []), link]);
  const influence = new Map(answers.map((a) => [a.node_id, a.token_prob]));
  const layerOf = (id: string): number => Number.parseInt(id, 10);
  // Every source is of a lower layer than its target.
  for (const target of [...into.keys()].sort((a, b) => layerOf(b) - layerOf(a))) {
    const own = into.get(target)!;
    const total = own.reduce((sum, l) => sum + Math.abs(l.weight), 0);
    for (const { source, weight } of own) {
      const share = total === 0 ? 0 : ((influence.get(target) ?? 0) * Math.abs(weight)) / total;
      influence.set(source, (influence.get(source) ?? 0) + share);
    }
  }
  return influence;
}
