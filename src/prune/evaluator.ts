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
import type { Params } from "../model/params.ts";
import { SITE_LOCATION, type Site } from "../model/sites.ts";
import { assert } from "../util/errors.ts";
import { AblatedModel, type Column, type Folded } from "./evaluator/ablated-model.ts";
import { attend, type HeadInputs } from "./evaluator/attend.ts";
import type { PrefixTree } from "./evaluator/prefix-tree.ts";
import type { Rows } from "./evaluator/rows.ts";

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
  /** The model that kept nodes are added to. */
  private readonly base: AblatedModel;
  private readonly columns: Column[] = [];
  private used = 0;

  /** `fill`: each node's ablation value (its mean, or zero), in flat site order. */
  constructor(config: ModelConfig, params: Params, fill: Float32Array, batch: PairBatch) {
    assert(supports(config), "the circuit evaluator does not compute this model");
    this.config = config;
    this.base = new AblatedModel(config, params, fill, batch);
    this.tree = this.base.tree;
  }

  private column(): Column {
    if (this.used === this.columns.length) this.columns.push(new Float32Array(this.tree.size));
    return this.columns[this.used++]!;
  }

  private kept(mask: Uint8Array, layer: number, site: Site, width: number): number[] {
    const offset = this.base.offsets.get(`${layer}.${site}`)!;
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
    const squares = Float64Array.from(this.base.baseSquares[s]!);
    const sums = norm === "rms" ? this.base.baseSum[s]! : Float64Array.from(this.base.baseSum[s]!);
    for (const [c, deviation] of stream) {
      const column = this.base.embeddingColumn(c);
      const constant = this.base.ablated[s]![c]!;
      for (let i = 0; i < rows.length; i++) {
        const n = rows[i]!;
        const d = deviation[n]!;
        squares[n]! += d * (2 * (column[n]! + constant) + d);
      }
      if (norm === "layer") for (let i = 0; i < rows.length; i++) sums[rows[i]!]! += deviation[rows[i]!]!;
    }
    for (let i = 0; i < rows.length; i++) {
      const n = rows[i]!;
      const m = this.base.moments(sums[n]!, squares[n]!, width);
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
    const tables = this.base.layers[layer]!;
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
      const embedding = this.base.embeddingColumn(c);
      const constant = this.base.ablated[s]![c]!;
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
      const fill = this.base.siteFill(layer, site);
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
    const tables = this.base.layers[layer]!;
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
        qFill: this.base.siteFill(layer, "attn.q"),
        kFill: this.base.siteFill(layer, "attn.k"),
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
    const tables = this.base.layers[layer]!;
    const reads = this.reads(mask, layer, "mlp.act_in", stream, rows);
    const activate = config.activation === "gelu" ? gelu : (x: number): number => Math.max(x, 0);
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
    const { mean, inverse } = this.norms(this.base.ablated.length - 1, stream, tree.lastRows);
    const margins = new Float64Array(P);
    for (let p = 0; p < P; p++) {
      const n = tree.lastOf[p]!;
      let dot = this.base.baseDot[p]!;
      for (const [c, deviation] of stream) dot += deviation[n]! * this.base.answer[p * D + c]!;
      margins[p] = (dot - mean[n]! * this.base.answerTotal[p]!) * inverse[n]! + this.base.answerConstant[p]!;
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
