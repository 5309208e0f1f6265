/**
 * A model with every node ablated, folded into constants: what `CircuitEvaluator` adds the kept nodes to. Made once for
 * a model, its ablation values and a batch.
 */
import type { PairBatch } from "../../data/pairs.ts";
import { attentionWidth, type ModelConfig, readWidth } from "../../model/config.ts";
import { BIGRAM, LM_HEAD, LOGITS_BIAS, WPE, WTE } from "../../model/names.ts";
import type { Params } from "../../model/params.ts";
import { type Site, siteSpecs } from "../../model/sites.ts";
import type { Column } from "./columns.ts";
import { PrefixTree } from "./prefix-tree.ts";
import { compressRows, type Rows } from "./rows.ts";

const RMS_EPS = 1.1920928955078125e-7;
const LAYER_EPS = 1e-5;

/** A linear map y = W x + b with the ablation values of x folded into the bias. */
export interface Folded {
  readonly rows: Rows;
  readonly bias: Float64Array;
  /** Index of the map's first nonzero weight among those of all maps, in order of computation. */
  readonly first: number;
}

export interface LayerTables {
  readonly attnNorm: Float32Array;
  readonly attnNormBias: Float32Array | null;
  readonly mlpNorm: Float32Array;
  readonly mlpNormBias: Float32Array | null;
  readonly qkv: Folded;
  readonly proj: Folded;
  /** (D, H): ablated values through each head's columns; the head's total attention multiplies them. */
  readonly headConstant: Float64Array;
  readonly projBias: Float32Array | null;
  readonly fc: Folded;
  readonly mlpProj: Folded;
  readonly sink: Float32Array | null;
  /** Position channels as attention and MLP read them, by channel then position; empty without. */
  readonly attnPositions: Float32Array;
  readonly mlpPositions: Float32Array;
}

export class AblatedModel {
  readonly config: ModelConfig;
  readonly tree: PrefixTree;
  readonly fill: ReadonlyMap<string, Float32Array>;
  readonly offsets: ReadonlyMap<string, number>;
  readonly layers: readonly LayerTables[];
  private readonly embeddingColumns: (Column | undefined)[];
  /** Nonzero weights of the maps so far. */
  private edges = 0;
  private readonly wte: Float32Array;
  private readonly wpe: Float32Array | null;
  private readonly params: Params;
  /** Ablated writes of all sublayers before sublayer s, (2L + 1) x D. */
  readonly ablated: Float64Array[];
  /** Sums over channels of the all-ablated stream and of its square, for each sublayer and token. */
  readonly baseSum: Float64Array[];
  readonly baseSquares: Float64Array[];
  /** d(margin)/d(normed channel) for each prompt: norm weight times the difference of unembedding rows. */
  readonly answer: Float64Array;
  readonly answerTotal: Float64Array;
  readonly baseDot: Float64Array;
  /** Bigram, logits bias and norm bias: what the stream has no part in. */
  readonly answerConstant: Float64Array;

  /** `fill`: each node's ablation value (its mean, or zero), in flat site order. */
  constructor(config: ModelConfig, params: Params, fill: Float32Array, batch: PairBatch) {
    this.config = config;
    this.params = params;
    this.tree = new PrefixTree(batch);
    const specs = siteSpecs(config);
    this.fill = new Map(specs.map((s) => [s.name, fill.subarray(s.offset, s.offset + s.width)]));
    this.offsets = new Map(specs.map((s) => [s.name, s.offset]));
    this.wte = params.get(WTE)!;
    this.wpe = config.positions === "added" ? params.get(WPE)! : null;
    this.embeddingColumns = new Array(config.width);
    this.layers = Array.from({ length: config.layers }, (_, layer) => this.tables(params, layer));
    this.ablated = this.ablatedStream();
    const sums = this.ablated.map((constants) => this.baseSums(constants));
    this.baseSum = sums.map((s) => s.sum);
    this.baseSquares = sums.map((s) => s.squares);
    const { width } = config;
    const P = batch.rows;
    this.answer = new Float64Array(P * width);
    this.answerTotal = new Float64Array(P);
    this.baseDot = new Float64Array(P);
    this.answerConstant = new Float64Array(P);
    this.prepareAnswers(params, batch);
  }

  siteFill(layer: number, site: Site): Float32Array {
    return this.fill.get(`${layer}.${site}`)!;
  }

  private tables(params: Params, layer: number): LayerTables {
    const { config } = this;
    const block = `transformer.h.${layer}`;
    const attention = attentionWidth(config);
    const fold = (name: string, out: number, input: number, values: Float32Array): Folded => {
      const rows = compressRows(params.get(`${block}.${name}.weight`)!, out, input);
      const given = params.get(`${block}.${name}.bias`);
      const bias = Float64Array.from({ length: out }, (_, o) => given?.[o] ?? 0);
      for (let o = 0; o < out; o++) {
        for (let z = rows.start[o]!; z < rows.start[o + 1]!; z++) bias[o]! += rows.value[z]! * values[rows.column[z]!]!;
      }
      const first = this.edges;
      this.edges += rows.column.length;
      return { rows, bias, first };
    };
    const qkv = fold("attn.c_attn", 3 * attention, readWidth(config), this.siteFill(layer, "attn.act_in"));
    const proj = fold("attn.c_proj", config.width, attention, this.siteFill(layer, "attn.v"));
    const headConstant = new Float64Array(config.width * config.heads);
    const v = this.siteFill(layer, "attn.v");
    for (let o = 0; o < config.width; o++) {
      for (let z = proj.rows.start[o]!; z < proj.rows.start[o + 1]!; z++) {
        const j = proj.rows.column[z]!;
        headConstant[o * config.heads + Math.floor(j / config.headWidth)]! += proj.rows.value[z]! * v[j]!;
      }
    }
    return {
      attnNorm: params.get(`${block}.ln_1.weight`)!,
      attnNormBias: params.get(`${block}.ln_1.bias`) ?? null,
      mlpNorm: params.get(`${block}.ln_2.weight`)!,
      mlpNormBias: params.get(`${block}.ln_2.bias`) ?? null,
      qkv,
      proj,
      headConstant,
      projBias: params.get(`${block}.attn.c_proj.bias`) ?? null,
      fc: fold("mlp.c_fc", config.neurons, readWidth(config), this.siteFill(layer, "mlp.act_in")),
      mlpProj: fold("mlp.c_proj", config.width, config.neurons, this.siteFill(layer, "mlp.post_act")),
      sink: params.get(`${block}.attn.attn_imp.sink_logit`) ?? null,
      attnPositions: this.positionChannels(params, `${block}.ln_p1`),
      mlpPositions: this.positionChannels(params, `${block}.ln_p2`),
    };
  }

  /** Normalised position channels, (channels, T). */
  private positionChannels(params: Params, norm: string): Float32Array {
    const { positionChannels: P } = this.config;
    if (P === 0) return new Float32Array(0);
    const table = params.get(WPE)!;
    const weight = params.get(`${norm}.weight`)!;
    const bias = params.get(`${norm}.bias`);
    const T = this.tree.longest;
    const out = new Float32Array(P * T);
    for (let t = 0; t < T; t++) {
      let sum = 0;
      let squares = 0;
      for (let c = 0; c < P; c++) {
        const x = table[t * P + c]!;
        sum += x;
        squares += x * x;
      }
      const { mean, inverse } = this.moments(sum, squares, P);
      for (let c = 0; c < P; c++) out[c * T + t] = (table[t * P + c]! - mean) * inverse * weight[c]! + (bias?.[c] ?? 0);
    }
    return out;
  }

  /** Mean and inverse deviation of channels with these sums, as the model's norm takes them. */
  moments(sum: number, squares: number, width: number): { mean: number; inverse: number } {
    if (this.config.norm === "rms") return { mean: 0, inverse: 1 / Math.sqrt(squares / width + RMS_EPS) };
    const mean = sum / width;
    return { mean, inverse: 1 / Math.sqrt(Math.max(0, squares / width - mean * mean) + LAYER_EPS) };
  }

  private ablatedStream(): Float64Array[] {
    const { layers, width } = this.config;
    const stages = [new Float64Array(width)];
    for (let layer = 0; layer < layers; layer++) {
      for (const site of ["attn.resid_delta", "mlp.resid_delta"] as const) {
        const fill = this.siteFill(layer, site);
        const before = stages[stages.length - 1]!;
        stages.push(before.map((x, c) => x + fill[c]!));
      }
    }
    return stages;
  }

  /** Embedding (and added position) of one channel for every token. */
  embeddingColumn(c: number): Column {
    let column = this.embeddingColumns[c];
    if (!column) {
      const { ids, position, size } = this.tree;
      const D = this.config.width;
      column = new Float32Array(size);
      for (let n = 0; n < size; n++) {
        column[n] = this.wte[ids[n]! * D + c]! + (this.wpe ? this.wpe[position[n]! * D + c]! : 0);
      }
      this.embeddingColumns[c] = column;
    }
    return column;
  }

  private baseSums(constants: Float64Array): { sum: Float64Array; squares: Float64Array } {
    const { size } = this.tree;
    const sum = new Float64Array(size);
    const squares = new Float64Array(size);
    for (let c = 0; c < this.config.width; c++) {
      const column = this.embeddingColumn(c);
      const constant = constants[c]!;
      for (let n = 0; n < size; n++) {
        const x = column[n]! + constant;
        sum[n]! += x;
        squares[n]! += x * x;
      }
    }
    return { sum, squares };
  }

  /**
   * Logits (V) of a prompt from what the final norm does to its stream: x of every channel, less `mean`, times `inverse`.
   */
  logits(
    p: number,
    x: (channel: number) => number,
    { mean, inverse }: { mean: number; inverse: number },
  ): Float32Array {
    const { config, params } = this;
    const { width: D, vocabSize: V } = config;
    const unembed = params.get(config.tiedUnembed ? WTE : LM_HEAD)!;
    const weight = params.get("transformer.ln_f.weight")!;
    const bias = params.get("transformer.ln_f.bias");
    const bigram = params.get(BIGRAM);
    const first = this.tree.ids[this.tree.lastOf[p]!]! * V;
    const logits = Float32Array.from(params.get(LOGITS_BIAS)!, (b, v) => b + (bigram?.[first + v] ?? 0));
    for (let c = 0; c < D; c++) {
      const normed = (x(c) - mean) * inverse * weight[c]! + (bias?.[c] ?? 0);
      if (normed !== 0) for (let v = 0; v < V; v++) logits[v]! += normed * unembed[v * D + c]!;
    }
    return logits;
  }

  private prepareAnswers(params: Params, batch: PairBatch): void {
    const { width: D, vocabSize: V } = this.config;
    const unembed = params.get(this.config.tiedUnembed ? WTE : LM_HEAD)!;
    const weight = params.get("transformer.ln_f.weight")!;
    const bias = params.get("transformer.ln_f.bias");
    const logitsBias = params.get(LOGITS_BIAS)!;
    const bigram = params.get(BIGRAM);
    const final = this.ablated[this.ablated.length - 1]!;
    for (let p = 0; p < batch.rows; p++) {
      const right = batch.right[p]!;
      const wrong = batch.wrong[p]!;
      const token = this.tree.lastOf[p]!;
      const id = this.tree.ids[token]!;
      let constant = logitsBias[right]! - logitsBias[wrong]!;
      if (bigram) constant += bigram[id * V + right]! - bigram[id * V + wrong]!;
      for (let c = 0; c < D; c++) {
        const difference = unembed[right * D + c]! - unembed[wrong * D + c]!;
        const g = weight[c]! * difference;
        this.answer[p * D + c] = g;
        this.answerTotal[p]! += g;
        this.baseDot[p]! += g * (this.embeddingColumn(c)[token]! + final[c]!);
        constant += (bias?.[c] ?? 0) * difference;
      }
      this.answerConstant[p] = constant;
    }
  }
}
