/**
 * Task loss of a circuit at a cost that falls with its size: only kept nodes are computed. A search asks for tens of
 * thousands of circuits, and most of them are small.
 *
 * How. With every node ablated the residual stream is embedding + constants, so a kept write only adds its deviation
 * from its ablation value. Constants are folded through each matrix into its bias once; a kept read adds
 * w * (x - ablation value). Norms are corrected from the sums of the all-ablated stream. A head with constant keys
 * attends uniformly. Equal prefixes of prompts are computed once, and the last layer only at the answer position.
 *
 * Exact: equal to the masked forward pass (src/model/forward.ts) up to float rounding, for any config but two that the
 * paper's models do not use (`supports` says so). Nothing here is differentiable.
 */
import type { PairBatch } from "../data/pairs.ts";
import { attentionWidth, cutCount, type ModelConfig, readWidth } from "../model/config.ts";
import { BIGRAM, LM_HEAD, LOGITS_BIAS, WPE, WTE } from "../model/names.ts";
import type { Params } from "../model/params.ts";
import { SITE_LOCATION, type Site, siteSpecs } from "../model/sites.ts";
import { assert } from "../util/errors.ts";
import { attend, type HeadInputs } from "./evaluator/attend.ts";
import { PrefixTree } from "./evaluator/prefix-tree.ts";
import { compressRows, type Rows } from "./evaluator/rows.ts";

const RMS_EPS = 1.1920928955078125e-7;
const LAYER_EPS = 1e-5;

/** How a set of kept nodes does a task. */
export interface Score {
  /** Mean two-way cross entropy, nats; chance is ln 2. */
  readonly loss: number;
  /** z[right] - z[wrong] of each prompt, in the order of the batch. */
  readonly margins: Float64Array;
}

/** Anything that scores a mask over all nodes (1 kept, 0 ablated), in flat site order. */
export interface Evaluator {
  score(kept: Uint8Array): Score;
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

/** A column of one value a token, or one constant. */
type Column = Float32Array;

/** A linear map y = W x + b with the ablation values of x folded into the bias. */
interface Folded {
  readonly rows: Rows;
  readonly bias: Float64Array;
}

interface LayerTables {
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

/** Whether `CircuitEvaluator` computes this model exactly. */
export function supports(config: ModelConfig): boolean {
  const cutsStream = (["resid_post_attn", "resid_post_mlp"] as const).some(
    (location) => cutCount(config, location, config.width) !== undefined,
  );
  return config.residualActivation === "identity" && !cutsStream;
}

function gelu(x: number): number {
  return x * normalCdf(x);
}

/** Standard normal distribution function by erfc's expansion fitted to 9e-8 relative (as in the native kernels). */
function normalCdf(x: number): number {
  const z = Math.abs(x) * Math.SQRT1_2;
  const t = 1 / (1 + 0.33 * z);
  let r = -0.13593029 * t + 0.46269421;
  r = r * t - 0.35544854;
  r = r * t + 0.41254938;
  r = r * t + 0.04500741;
  r = r * t + 0.20192438;
  r = r * t + 0.18283725;
  r = r * t + 0.1863661;
  const half = 0.5 * r * t * Math.exp(-z * z);
  return x < 0 ? half : 1 - half;
}

export class CircuitEvaluator implements Evaluator {
  private readonly config: ModelConfig;
  private readonly tree: PrefixTree;
  private readonly fill: ReadonlyMap<string, Float32Array>;
  private readonly offsets: ReadonlyMap<string, number>;
  private readonly layers: readonly LayerTables[];
  private readonly embeddingColumns: (Column | undefined)[];
  private readonly wte: Float32Array;
  private readonly wpe: Float32Array | null;
  /** Ablated writes of all sublayers before sublayer s, (2L + 1) x D. */
  private readonly ablated: Float64Array[];
  /** Sums over channels of the all-ablated stream and of its square, for each sublayer and token. */
  private readonly baseSum: Float64Array[];
  private readonly baseSquares: Float64Array[];
  /** d(margin)/d(normed channel) for each prompt: norm weight times the difference of unembedding rows. */
  private readonly answer: Float64Array;
  private readonly answerTotal: Float64Array;
  private readonly baseDot: Float64Array;
  /** Bigram, logits bias and norm bias: what the stream has no part in. */
  private readonly answerConstant: Float64Array;
  private readonly columns: Column[] = [];
  private used = 0;

  /** `fill`: each node's ablation value (its mean, or zero), in flat site order. */
  constructor(config: ModelConfig, params: Params, fill: Float32Array, batch: PairBatch) {
    assert(supports(config), "the circuit evaluator does not compute this model");
    this.config = config;
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

  private siteFill(layer: number, site: Site): Float32Array {
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
      return { rows, bias };
    };
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
      qkv: fold("attn.c_attn", 3 * attention, readWidth(config), this.siteFill(layer, "attn.act_in")),
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

  private moments(sum: number, squares: number, width: number): { mean: number; inverse: number } {
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
  private embeddingColumn(c: number): Column {
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

  private column(): Column {
    if (this.used === this.columns.length) this.columns.push(new Float32Array(this.tree.size));
    return this.columns[this.used++]!;
  }

  private kept(mask: Uint8Array, layer: number, site: Site, width: number): number[] {
    const offset = this.offsets.get(`${layer}.${site}`)!;
    const list: number[] = [];
    for (let c = 0; c < width; c++) if (mask[offset + c]) list.push(c);
    return list;
  }

  score(mask: Uint8Array): Score {
    this.used = 0;
    const { config, tree } = this;
    /** Deviation of the residual stream from the all-ablated one, by channel. */
    const stream = new Map<number, Column>();
    const all = tree.all;
    for (let layer = 0; layer < config.layers; layer++) {
      const last = layer === config.layers - 1;
      this.attentionBlock(mask, layer, stream, all, last ? tree.lastRows : all);
      this.mlpBlock(mask, layer, stream, last ? tree.lastRows : all);
    }
    return this.answers(stream);
  }

  /** Means and inverse deviations of the stream before sublayer s, for the tokens in `rows`. */
  private norms(s: number, stream: ReadonlyMap<number, Column>, rows: Int32Array): { mean: Column; inverse: Column } {
    const mean = this.column();
    const inverse = this.column();
    const { width, norm } = this.config;
    const squares = Float64Array.from(this.baseSquares[s]!);
    const sums = norm === "rms" ? this.baseSum[s]! : Float64Array.from(this.baseSum[s]!);
    for (const [c, deviation] of stream) {
      const column = this.embeddingColumn(c);
      const constant = this.ablated[s]![c]!;
      for (let i = 0; i < rows.length; i++) {
        const n = rows[i]!;
        const d = deviation[n]!;
        squares[n]! += d * (2 * (column[n]! + constant) + d);
      }
      if (norm === "layer") for (let i = 0; i < rows.length; i++) sums[rows[i]!]! += deviation[rows[i]!]!;
    }
    for (let i = 0; i < rows.length; i++) {
      const n = rows[i]!;
      const m = this.moments(sums[n]!, squares[n]!, width);
      mean[n] = m.mean;
      inverse[n] = m.inverse;
    }
    return { mean, inverse };
  }

  /**
   * Kept reads of a sublayer minus their ablation values, by channel. With AbsTopK the whole site is computed, since
   * what one channel keeps depends on all.
   */
  private reads(
    mask: Uint8Array,
    layer: number,
    site: "attn.act_in" | "mlp.act_in",
    stream: ReadonlyMap<number, Column>,
    rows: Int32Array,
  ): Map<number, Column> {
    const { config, tree } = this;
    const width = readWidth(config);
    const kept = this.kept(mask, layer, site, width);
    const out = new Map<number, Column>();
    if (kept.length === 0) return out;
    const tables = this.layers[layer]!;
    const [weight, bias, positions, s] =
      site === "attn.act_in"
        ? [tables.attnNorm, tables.attnNormBias, tables.attnPositions, 2 * layer]
        : [tables.mlpNorm, tables.mlpNormBias, tables.mlpPositions, 2 * layer + 1];
    const { mean, inverse } = this.norms(s, stream, rows);
    const compute = (c: number): Column => {
      const column = this.column();
      if (c >= config.width) {
        const base = (c - config.width) * tree.longest;
        for (let i = 0; i < rows.length; i++) column[rows[i]!] = positions[base + tree.position[rows[i]!]!]!;
        return column;
      }
      const embedding = this.embeddingColumn(c);
      const constant = this.ablated[s]![c]!;
      const deviation = stream.get(c);
      const w = weight[c]!;
      const b = bias?.[c] ?? 0;
      for (let i = 0; i < rows.length; i++) {
        const n = rows[i]!;
        const x = embedding[n]! + constant + (deviation ? deviation[n]! : 0);
        column[n] = (x - mean[n]!) * inverse[n]! * w + b;
      }
      return column;
    };
    return this.finish(layer, site, width, kept, rows, compute, true);
  }

  /** Computes kept nodes of a site (all of them where AbsTopK cuts), and subtracts ablation values when `relative`. */
  private finish(
    layer: number,
    site: Site,
    width: number,
    kept: readonly number[],
    rows: Int32Array,
    compute: (c: number) => Column,
    relative: boolean,
  ): Map<number, Column> {
    const out = new Map<number, Column>();
    const k = cutCount(this.config, SITE_LOCATION[site], width);
    if (k === undefined) {
      for (const c of kept) out.set(c, compute(c));
    } else {
      const columns = Array.from({ length: width }, (_, c) => compute(c));
      cutTokens(columns, k, rows);
      for (const c of kept) out.set(c, columns[c]!);
    }
    if (relative) {
      const fill = this.siteFill(layer, site);
      for (const [c, column] of out) {
        const f = fill[c]!;
        for (let i = 0; i < rows.length; i++) column[rows[i]!]! -= f;
      }
    }
    return out;
  }

  /** bias + sum over kept inputs of weight * deviation. */
  private affine(map: Folded, o: number, inputs: ReadonlyMap<number, Column>, rows: Int32Array): Column {
    const column = this.column();
    const bias = map.bias[o]!;
    for (let i = 0; i < rows.length; i++) column[rows[i]!] = bias;
    this.accumulate(column, map.rows, o, inputs, rows);
    return column;
  }

  private accumulate(column: Column, w: Rows, o: number, inputs: ReadonlyMap<number, Column>, rows: Int32Array): void {
    if (inputs.size === 0) return;
    for (let z = w.start[o]!; z < w.start[o + 1]!; z++) {
      const x = inputs.get(w.column[z]!);
      if (!x) continue;
      const weight = w.value[z]!;
      for (let i = 0; i < rows.length; i++) column[rows[i]!]! += weight * x[rows[i]!]!;
    }
  }

  private attentionBlock(
    mask: Uint8Array,
    layer: number,
    stream: Map<number, Column>,
    rows: Int32Array,
    outRows: Int32Array,
  ): void {
    const { config } = this;
    const writes = this.kept(mask, layer, "attn.resid_delta", config.width);
    if (writes.length === 0) return;
    const cutsWrites = cutCount(config, "attn_out", config.width) !== undefined;
    const tables = this.layers[layer]!;
    const width = attentionWidth(config);
    const reads = this.reads(mask, layer, "attn.act_in", stream, rows);
    const part = (site: "attn.q" | "attn.k" | "attn.v", start: number, relative: boolean): Map<number, Column> => {
      const kept = this.kept(mask, layer, site, width);
      if (kept.length === 0) return new Map();
      const compute = (c: number): Column => this.affine(tables.qkv, start + c, reads, rows);
      return this.finish(layer, site, width, kept, rows, compute, relative);
    };
    const q = part("attn.q", 0, false);
    const k = part("attn.k", width, false);
    const v = part("attn.v", 2 * width, true);
    const totals: (Column | undefined)[] = [];
    const y = new Map<number, Column>();
    const wanted = cutsWrites ? Array.from({ length: config.width }, (_, c) => c) : writes;
    for (let h = 0; h < config.heads; h++) {
      const first = h * config.headWidth;
      const values: { channel: number; column: Column }[] = [];
      for (let d = 0; d < config.headWidth; d++) {
        const column = v.get(first + d);
        if (column) values.push({ channel: first + d, column });
      }
      const feeds = tables.sink !== null && wanted.some((o) => tables.headConstant[o * config.heads + h] !== 0);
      if (values.length === 0 && !feeds) continue;
      const head: HeadInputs = {
        first,
        width: config.headWidth,
        q,
        k,
        qFill: this.siteFill(layer, "attn.q"),
        kFill: this.siteFill(layer, "attn.k"),
        sink: tables.sink ? tables.sink[h]! : null,
      };
      const outputs = values.map(() => this.column());
      const total = tables.sink ? this.column() : undefined;
      attend(
        this.tree,
        head,
        values.map((x) => x.column),
        outputs,
        total,
        outRows,
      );
      totals[h] = total;
      values.forEach((x, i) => {
        y.set(x.channel, outputs[i]!);
      });
    }
    const compute = (o: number): Column => {
      const column = this.column();
      if (tables.sink) {
        const bias = tables.projBias?.[o] ?? 0;
        for (let i = 0; i < outRows.length; i++) column[outRows[i]!] = bias;
        for (let h = 0; h < config.heads; h++) {
          const constant = tables.headConstant[o * config.heads + h]!;
          const total = totals[h];
          if (constant === 0 || !total) continue;
          for (let i = 0; i < outRows.length; i++) column[outRows[i]!]! += constant * total[outRows[i]!]!;
        }
      } else {
        const bias = tables.proj.bias[o]!;
        for (let i = 0; i < outRows.length; i++) column[outRows[i]!] = bias;
      }
      this.accumulate(column, tables.proj.rows, o, y, outRows);
      return column;
    };
    this.write(stream, this.finish(layer, "attn.resid_delta", config.width, writes, outRows, compute, true), outRows);
  }

  private mlpBlock(mask: Uint8Array, layer: number, stream: Map<number, Column>, rows: Int32Array): void {
    const { config } = this;
    const writes = this.kept(mask, layer, "mlp.resid_delta", config.width);
    if (writes.length === 0) return;
    const tables = this.layers[layer]!;
    const reads = this.reads(mask, layer, "mlp.act_in", stream, rows);
    const activate = config.activation === "gelu" ? gelu : (x: number): number => (x > 0 ? x : 0);
    const kept = this.kept(mask, layer, "mlp.post_act", config.neurons);
    const neuron = (n: number): Column => {
      const column = this.affine(tables.fc, n, reads, rows);
      for (let i = 0; i < rows.length; i++) column[rows[i]!] = activate(column[rows[i]!]!);
      return column;
    };
    const neurons =
      kept.length === 0
        ? new Map<number, Column>()
        : this.finish(layer, "mlp.post_act", config.neurons, kept, rows, neuron, true);
    const compute = (o: number): Column => this.affine(tables.mlpProj, o, neurons, rows);
    this.write(stream, this.finish(layer, "mlp.resid_delta", config.width, writes, rows, compute, true), rows);
  }

  /** Adds deviations to the stream. */
  private write(stream: Map<number, Column>, deltas: ReadonlyMap<number, Column>, rows: Int32Array): void {
    for (const [c, delta] of deltas) {
      const known = stream.get(c);
      if (!known) stream.set(c, delta);
      else for (let i = 0; i < rows.length; i++) known[rows[i]!]! += delta[rows[i]!]!;
    }
  }

  private answers(stream: ReadonlyMap<number, Column>): Score {
    const { config, tree } = this;
    const P = tree.lastOf.length;
    const D = config.width;
    const { mean, inverse } = this.norms(this.ablated.length - 1, stream, tree.lastRows);
    const margins = new Float64Array(P);
    for (let p = 0; p < P; p++) {
      const n = tree.lastOf[p]!;
      let dot = this.baseDot[p]!;
      for (const [c, deviation] of stream) dot += deviation[n]! * this.answer[p * D + c]!;
      margins[p] = (dot - mean[n]! * this.answerTotal[p]!) * inverse[n]! + this.answerConstant[p]!;
    }
    return { loss: lossOfMargins(margins), margins };
  }
}

/** AbsTopK of each token over all columns of a site, in place; ties: lowest index. */
function cutTokens(columns: readonly Column[], k: number, rows: Int32Array): void {
  const width = columns.length;
  const order = Array.from({ length: width }, (_, c) => c);
  for (let i = 0; i < rows.length; i++) {
    const n = rows[i]!;
    order.sort((a, b) => Math.abs(columns[b]![n]!) - Math.abs(columns[a]![n]!) || a - b);
    for (let j = k; j < width; j++) columns[order[j]!]![n] = 0;
  }
}
