/**
 * A model into which a circuit is planted, weight by weight; all other weights are zero until `hide` (distractors.ts)
 * draws them. Places are drawn at random: residual channels, heads, channels of a head, neurons.
 *
 * Norms. RMSNorm joins all channels: what distractors write changes the scale of what the circuit reads. So one residual
 * channel, the anchor, holds ANCHOR at every token and is never written to, and the other channels have ANCHOR / sqrt(D)
 * as norm weight. A read of value x is then x / sqrt(1 + (sum of squares of the others) / ANCHOR^2), that is x to about
 * 0.01%: planted weights can be chosen as if there were no norm, and distractors reach the circuit through it by no more.
 */
import { checkModelConfig, type ModelConfig } from "../../src/model/config.ts";
import { LM_HEAD, LOGITS_BIAS, paramSpecs, shapeSize, WTE } from "../../src/model/names.ts";
import type { Params } from "../../src/model/params.ts";
import { type NodeRef, type Site, siteSpecs } from "../../src/model/sites.ts";
import { assert } from "../../src/util/errors.ts";
import type { Rng } from "../../src/util/rng.ts";

export const LAYERS = 2;
/** Tokens of a prompt. */
export const LENGTH = 16;
export const HEAD_WIDTH = 8;
/** Channels that leave distractors as many as the largest circuit takes. */
export const LEAST_WIDTH = 32;
const VOCABULARY = 48;
const ANCHOR = 4096;
/** Attention logit by which a key that matches stands above the others: it gets 99% of the attention. */
const MATCH = 7;
/** Logit of an answer whose channels hold its code, and of one whose channels hold the opposite. */
const ANSWER = 4;

/** Residual channels with a number each: what is embedded, or the weights of what is read. */
export type Channels = readonly (readonly [channel: number, value: number])[];

interface Match {
  readonly layer: number;
  /** A query meets a key where these channels of the two tokens hold the same code; both empty: uniform attention. */
  readonly query: readonly number[];
  readonly key: readonly number[];
  /** Values that are moved to the query's token, and the channels they are written to. */
  readonly moves: readonly { readonly read: Channels; readonly write: number }[];
}

interface Neuron {
  readonly layer: number;
  readonly read: Channels;
  readonly bias?: number;
  readonly write: Channels;
}

export class Plant {
  readonly config: ModelConfig;
  readonly params: Params;
  readonly rng: Rng;
  /** Planted nodes, one byte a node, flat site order. */
  readonly nodes: Uint8Array;
  /** How many planted weights join two of them. */
  edges = 0;
  /** Residual channels that the circuit or the unembedding of an answer reads. */
  readonly reserved = new Set<number>();
  readonly answers = new Set<number>();
  /** Heads of each layer that the circuit uses. */
  readonly heads: readonly Set<number>[] = Array.from({ length: LAYERS }, () => new Set<number>());
  readonly anchor: number;
  private tokens = 0;
  private readonly offsets: ReadonlyMap<string, number>;

  constructor(width: number, rng: Rng) {
    this.rng = rng;
    this.config = configOf(width);
    this.params = new Map(paramSpecs(this.config).map(({ name, shape }) => [name, new Float32Array(shapeSize(shape))]));
    const specs = siteSpecs(this.config);
    this.offsets = new Map(specs.map(({ name, offset }) => [name, offset]));
    this.nodes = new Uint8Array(specs.reduce((sum, spec) => sum + spec.width, 0));
    this.anchor = this.channel();
    for (const [name, values] of this.params) {
      if (!/\.ln_\w+\.weight$/.test(name)) continue;
      values.fill(ANCHOR / Math.sqrt(width));
      values[this.anchor] = 1 / Math.sqrt(width);
    }
    for (let token = 0; token < VOCABULARY; token++) this.values(WTE)[token * width + this.anchor] = ANCHOR;
  }

  values(name: string): Float32Array {
    return this.params.get(name)!;
  }

  /** Flat index of a node. */
  index({ layer, site, channel }: NodeRef): number {
    return this.offsets.get(`${layer}.${site}`)! + channel;
  }

  isPlanted(layer: number, site: Site, channel: number): boolean {
    return this.nodes[this.index({ layer, site, channel })] === 1;
  }

  channel(): number {
    const { rng, config, reserved } = this;
    return drawUnused(rng, config.width, reserved);
  }

  channels(count: number): number[] {
    return Array.from({ length: count }, () => this.channel());
  }

  /** A new token whose embedding has these entries. */
  token(embedding: Channels): number {
    const token = this.tokens++;
    assert(token < VOCABULARY, `more than ${VOCABULARY} tokens`);
    for (const [c, value] of embedding) this.values(WTE)[token * this.config.width + c] = value;
    return token;
  }

  /** The tokens that the circuit does not read; none may be planted afterwards. */
  fillers(): number[] {
    const first = this.tokens;
    this.tokens = VOCABULARY;
    return Array.from({ length: VOCABULARY - first }, (_, i) => first + i);
  }

  /** A new token with this code in the unembedding, and a logits bias of its own. */
  answer(code: Channels, bias = 0): number {
    const token = this.token([]);
    for (const [c, value] of code) this.values(LM_HEAD)[token * this.config.width + c] = ANSWER * value;
    this.values(LOGITS_BIAS)[token] = ANSWER * bias;
    this.answers.add(token);
    return token;
  }

  /** A head that attends from a query to the keys of its code. Returns its nodes. */
  attend({ layer, query, key, moves }: Match): Set<number> {
    const nodes = new Set<number>();
    const { rng, config } = this;
    const head = drawUnused(rng, config.heads, this.heads[layer]!);
    const used = new Set<number>();
    const inHead = (): number => head * HEAD_WIDTH + drawUnused(rng, HEAD_WIDTH, used);
    const node = (site: Site, channel: number): NodeRef => ({ layer, site, channel });
    const weight = Math.sqrt((MATCH * Math.sqrt(HEAD_WIDTH)) / query.length);
    for (const [i, channel] of query.entries()) {
      const c = inHead();
      this.edge(nodes, node("attn.act_in", channel), node("attn.q", c), weight);
      this.edge(nodes, node("attn.act_in", key[i]!), node("attn.k", c), weight);
    }
    for (const { read, write } of moves) {
      const value = node("attn.v", inHead());
      for (const [c, w] of read) this.edge(nodes, node("attn.act_in", c), value, w);
      this.edge(nodes, value, node("attn.resid_delta", write), 1);
    }
    return nodes;
  }

  /** relu(read + bias), written to some channels. Returns its nodes. */
  neuron({ layer, read, bias = 0, write }: Neuron): Set<number> {
    const nodes = new Set<number>();
    const taken = new Set(
      [...Array(this.config.neurons).keys()].filter((n) => this.isPlanted(layer, "mlp.post_act", n)),
    );
    const neuron: NodeRef = { layer, site: "mlp.post_act", channel: drawUnused(this.rng, this.config.neurons, taken) };
    for (const [c, w] of read) this.edge(nodes, { layer, site: "mlp.act_in", channel: c }, neuron, w);
    this.values(`transformer.h.${layer}.mlp.c_fc.bias`)[neuron.channel] = bias;
    for (const [c, w] of write) this.edge(nodes, neuron, { layer, site: "mlp.resid_delta", channel: c }, w);
    return nodes;
  }

  /** Plants a weight, and adds its two ends to `nodes`. */
  private edge(nodes: Set<number>, source: NodeRef, target: NodeRef, weight: number): void {
    const { matrix, row, columns } = this.rowOf(target);
    this.values(matrix)[row * columns + source.channel] = weight;
    for (const end of [this.index(source), this.index(target)]) {
      this.nodes[end] = 1;
      nodes.add(end);
    }
    this.edges++;
  }

  /** The weights that a node is computed by. */
  private rowOf({ layer, site, channel }: NodeRef): { matrix: string; row: number; columns: number } {
    const { width, neurons } = this.config;
    const block = `transformer.h.${layer}`;
    const inAttention = ["attn.q", "attn.k", "attn.v"].indexOf(site);
    if (inAttention >= 0) {
      return { matrix: `${block}.attn.c_attn.weight`, row: inAttention * width + channel, columns: width };
    }
    if (site === "attn.resid_delta") return { matrix: `${block}.attn.c_proj.weight`, row: channel, columns: width };
    if (site === "mlp.post_act") return { matrix: `${block}.mlp.c_fc.weight`, row: channel, columns: width };
    return { matrix: `${block}.mlp.c_proj.weight`, row: channel, columns: neurons };
  }
}

/** Draws one of 0 .. count - 1 that is not used, and marks it used. */
function drawUnused(rng: Rng, count: number, used: Set<number>): number {
  const free = Array.from({ length: count }, (_, i) => i).filter((i) => !used.has(i));
  assert(free.length > 0, `all ${count} places are taken`);
  const drawn = rng.pick(free);
  used.add(drawn);
  return drawn;
}

function configOf(width: number): ModelConfig {
  return checkModelConfig({
    vocabSize: VOCABULARY,
    contextLength: LENGTH,
    layers: LAYERS,
    heads: width / HEAD_WIDTH,
    headWidth: HEAD_WIDTH,
    width,
    neurons: 4 * width,
    norm: "rms",
    normBias: false,
    bias: true,
    activation: "relu",
    residualActivation: "identity",
    activationFraction: null,
    activationSites: [],
    tiedUnembed: false,
    bigram: "none",
    positions: "none",
    positionChannels: 0,
    sink: false,
  });
}
