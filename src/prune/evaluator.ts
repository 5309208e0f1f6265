/**
 * Task loss of a circuit at a cost that falls with its size: only kept nodes are computed. A search asks for tens of
 * thousands of circuits, and most of them are small.
 *
 * How. With every node ablated the residual stream is embedding + constants, so a kept write only adds its deviation
 * from its ablation value. Constants are folded through each matrix into its bias once; a kept read adds
 * w * (x - ablation value). Norms are corrected from the sums of the all-ablated stream. A head with constant keys
 * attends uniformly. Equal prefixes of prompts are computed once, and the last layer only at the answer position. What
 * was computed for earlier circuits is kept for a while: circuits that agree up to a node share all before it.
 *
 * Exact: equal to the masked forward pass (src/model/forward.ts) up to float rounding, for any config but two that the
 * paper's models do not use (`supports` says so). Nothing here is differentiable.
 */
import type { PairBatch } from "../data/pairs.ts";
import { cutCount, type ModelConfig } from "../model/config.ts";
import type { Params } from "../model/params.ts";
import { type Site, siteSpecs } from "../model/sites.ts";
import { assert } from "../util/errors.ts";
import { AblatedModel } from "./evaluator/ablated-model.ts";
import { type Column, ColumnPool } from "./evaluator/columns.ts";
import type { PrefixTree } from "./evaluator/prefix-tree.ts";
import { type KeptLayer, type Norms, type Stream, streamOf } from "./evaluator/states.ts";
import { Sublayers } from "./evaluator/sublayers.ts";

/** How a set of kept nodes does a task. */
export interface Score {
  /** Mean two-way cross entropy, nats; chance is ln 2. */
  readonly loss: number;
  /** z[right] - z[wrong] of each prompt, in the order of the batch. */
  readonly margins: Float64Array;
  /** Draws of ablated values that the pairs were dealt to in turn; 1 when it is undefined. */
  readonly draws?: number | undefined;
}

/**
 * Anything that scores a mask over all nodes (1 kept, 0 ablated), in flat site order. What does not compute single nodes
 * (`supports`) ignores removed edges and interventions.
 */
export interface Evaluator {
  score(kept: Uint8Array, removed?: RemovedEdges, interventions?: Interventions): Score;
}

/** Mean softplus(-margin). */
export function lossOfMargins(margins: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < margins.length; i++) {
    const m = margins[i]!;
    sum += m > 0 ? Math.log1p(Math.exp(-m)) : Math.log1p(Math.exp(m)) - m;
  }
  return sum / margins.length;
}

/** Whether `CircuitEvaluator` computes this model exactly. */
export function supports(config: ModelConfig): boolean {
  const cutsStream = (["resid_post_attn", "resid_post_mlp"] as const).some(
    (location) => cutCount(config, location, config.width) !== undefined,
  );
  return config.residualActivation === "identity" && !cutsStream;
}

/** Indices of weights, in the order of all nonzero ones, that carry only what their ablated source would send. */
export type RemovedEdges = ReadonlySet<number>;

/** What a kept node carries at a prefix of the prompts instead of `value`, by flat index. */
export type Interventions = ReadonlyMap<number, (value: number, prefix: number) => number>;

/** The interventions of a circuit with scaled nodes (flat index, factor); undefined when there are none. */
export function scaling(factors: ReadonlyMap<number, number>): Interventions | undefined {
  if (factors.size === 0) return undefined;
  return new Map([...factors].map(([n, factor]) => [n, (value: number) => factor * value]));
}

/** How a circuit differs from its kept nodes as they are in the model. */
export interface Changes {
  readonly removed?: RemovedEdges | undefined;
  readonly interventions?: Interventions | undefined;
  /**
   * Called with each kept node: what it carries, less `offset`, at the prefixes `rows`. Valid during the call. A value
   * channel of a head that writes nothing, or a node whose sublayer does, is seen all the same.
   */
  readonly seen?: (node: number, column: Column, offset: number, rows: Int32Array) => void;
}

export interface EvaluatorOptions {
  /** Whether norms divide by what they divide by in the full model. */
  readonly frozenNorm?: boolean | undefined;
  /** Whether all tokens are computed in the last layer too, and not only those that answer. */
  readonly everywhere?: boolean | undefined;
}

/** Columns are kept up to this many bytes, or those of so many circuits up to so many bytes. */
const KEPT_BYTES = 32 << 20;
const CIRCUITS_KEPT = 16;
export const MOST_KEPT_BYTES = 128 << 20;

export class CircuitEvaluator implements Evaluator {
  private readonly base: AblatedModel;
  private readonly pool: ColumnPool;
  private readonly sublayers: Sublayers;
  private readonly specs: readonly { readonly layer: number; readonly site: Site; offset: number; width: number }[];
  /** The stream at the beginning, from which everything known is reached. */
  private root: Stream;
  private keptBytes = KEPT_BYTES;

  /** `fill`: each node's ablation value (its mean, or zero), in flat site order. */
  constructor(
    config: ModelConfig,
    params: Params,
    fill: Float32Array,
    batch: PairBatch,
    { frozenNorm = false, everywhere }: EvaluatorOptions = {},
  ) {
    assert(supports(config), "the circuit evaluator does not compute this model");
    this.base = new AblatedModel(config, params, fill, batch);
    this.specs = siteSpecs(config);
    this.pool = new ColumnPool(this.base.tree.size);
    const frozen = frozenNorm ? this.fullNorms() : undefined;
    this.sublayers = new Sublayers(this.base, this.pool, { frozen, everywhere });
    this.root = streamOf(0, new Map());
  }

  /** The prompts with equal prefixes merged. */
  get prefixes(): PrefixTree {
    return this.base.tree;
  }

  score(kept: Uint8Array, removed?: RemovedEdges, interventions?: Interventions): Score {
    return this.answers(this.end(kept, { removed, interventions }));
  }

  /** The same with all that a circuit may change, and a look at what its nodes carry. */
  run(kept: Uint8Array, changes: Changes): Score {
    return this.answers(this.end(kept, changes));
  }

  /** Logits of the whole vocabulary at the answer of each prompt, (prompts, V). */
  logits(kept: Uint8Array, changes: Changes): Float32Array {
    const { base } = this;
    const { vocabSize } = base.config;
    const { lastOf, lastRows } = base.tree;
    const stream = this.end(kept, changes);
    const { mean, inverse } = this.sublayers.norms(stream, lastRows);
    const constants = base.ablated[stream.at]!;
    const out = new Float32Array(lastOf.length * vocabSize);
    for (const [p, n] of lastOf.entries()) {
      const x = (c: number): number => base.embeddingColumn(c)[n]! + constants[c]! + (stream.columns.get(c)?.[n] ?? 0);
      out.set(base.logits(p, x, { mean: mean[n]!, inverse: inverse[n]! }), p * vocabSize);
    }
    return out;
  }

  /** The residual stream after the last sublayer. */
  private end(kept: Uint8Array, changes: Changes): Stream {
    const fresh = this.pool.bytes > this.keptBytes;
    if (fresh) {
      this.pool.clear();
      this.root = streamOf(0, new Map());
    }
    const streams = this.streams(this.sublayers, this.root, this.layersOf(kept), changes);
    // Circuits like this one follow: what it has in common with them should outlast some of them.
    if (fresh) this.keptBytes = Math.max(KEPT_BYTES, Math.min(MOST_KEPT_BYTES, CIRCUITS_KEPT * this.pool.bytes));
    return streams[streams.length - 1]!;
  }

  /** The residual stream before each sublayer and at the end. */
  private streams(sublayers: Sublayers, root: Stream, layers: readonly KeptLayer[], changes: Changes): Stream[] {
    const streams = [root];
    let stream = root;
    for (const layer of layers) {
      const between = sublayers.attention(stream, layer, changes);
      stream = sublayers.mlp(between, layer, changes);
      streams.push(between, stream);
    }
    return streams;
  }

  /** Norms of the full model before each sublayer and at the end. */
  private fullNorms(): Norms[] {
    const { tree, config } = this.base;
    const sublayers = new Sublayers(this.base, new ColumnPool(tree.size));
    const nodes = this.specs.reduce((sum, { width }) => sum + width, 0);
    const streams = this.streams(sublayers, streamOf(0, new Map()), this.layersOf(new Uint8Array(nodes).fill(1)), {});
    const last = 2 * config.layers - 1;
    return streams.map((stream) => sublayers.norms(stream, stream.at < last ? tree.all : tree.lastRows));
  }

  private layersOf(kept: Uint8Array): KeptLayer[] {
    const layers: Partial<Record<Site, readonly number[]>>[] = [];
    for (const { layer, site, offset, width } of this.specs) {
      const channels: number[] = [];
      for (let c = 0; c < width; c++) if (kept[offset + c]) channels.push(c);
      layers[layer] ??= {};
      layers[layer][site] = channels;
    }
    return layers as KeptLayer[];
  }

  private answers(stream: Stream): Score {
    const { tree, answer, answerTotal, answerConstant, baseDot } = this.base;
    const P = tree.lastOf.length;
    const D = this.base.config.width;
    const { mean, inverse } = this.sublayers.norms(stream, tree.lastRows);
    const margins = new Float64Array(P);
    for (let p = 0; p < P; p++) {
      const n = tree.lastOf[p]!;
      let dot = baseDot[p]!;
      for (const [c, deviation] of stream.columns) dot += deviation[n]! * answer[p * D + c]!;
      margins[p] = (dot - mean[n]! * answerTotal[p]!) * inverse[n]! + answerConstant[p]!;
    }
    return { loss: lossOfMargins(margins), margins };
  }
}
