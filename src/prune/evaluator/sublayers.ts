/** The sublayers of a circuit: from the residual stream before one to the stream after it, for any kept nodes. */
import { attentionWidth, cutCount, type ModelConfig } from "../../model/config.ts";
import { SITE_LOCATION, type Site } from "../../model/sites.ts";
import type { AblatedModel, Folded } from "./ablated-model.ts";
import { attend } from "./attend.ts";
import { type Column, type ColumnPool, type Columns, SiteColumns } from "./columns.ts";
import { normalCdf } from "./normal.ts";
import type { Rows } from "./rows.ts";
import {
  child,
  type Head,
  type KeptLayer,
  type Middle,
  type Norms,
  type Read,
  type Stream,
  streamOf,
} from "./states.ts";

export class Sublayers {
  private readonly config: ModelConfig;
  private readonly base: AblatedModel;
  private readonly pool: ColumnPool;
  private readonly squares: Float64Array;
  private readonly sums: Float64Array;

  constructor(base: AblatedModel, pool: ColumnPool) {
    this.config = base.config;
    this.base = base;
    this.pool = pool;
    this.squares = new Float64Array(base.tree.size);
    this.sums = new Float64Array(base.tree.size);
  }

  attention(stream: Stream, kept: KeptLayer): Stream {
    if (kept["attn.resid_delta"].length === 0) return this.unchanged(stream);
    const read = this.read(stream, "attn.act_in", kept["attn.act_in"]);
    const parts = [kept["attn.q"], kept["attn.k"], kept["attn.v"]] as const;
    const middle = child(read.next, parts.map(String).join("|"), () => this.headOutputs(stream, read, parts));
    return this.write(stream, middle, kept["attn.resid_delta"]);
  }

  mlp(stream: Stream, kept: KeptLayer): Stream {
    if (kept["mlp.resid_delta"].length === 0) return this.unchanged(stream);
    const read = this.read(stream, "mlp.act_in", kept["mlp.act_in"]);
    const middle = child(read.next, String(kept["mlp.post_act"]), () => this.neuronOutputs(stream, read, kept));
    return this.write(stream, middle, kept["mlp.resid_delta"]);
  }

  private unchanged(stream: Stream): Stream {
    stream.unchanged ??= streamOf(stream.at + 1, stream.columns);
    return stream.unchanged;
  }

  /** In the last layer only the answer positions matter, once keys and values are known. */
  private rowsAfterAttention(layer: number): Int32Array {
    const { tree } = this.base;
    return layer === this.config.layers - 1 ? tree.lastRows : tree.all;
  }

  private site(layer: number, site: Site, rows: Int32Array, relative: boolean, compute: (c: number) => Column) {
    const fill = this.base.siteFill(layer, site);
    const cut = cutCount(this.config, SITE_LOCATION[site], fill.length);
    return new SiteColumns({ width: fill.length, cut, rows, compute, fill: relative ? fill : undefined });
  }

  /** Means and inverse deviations of a stream, for the tokens in `rows`. */
  norms(stream: Stream, rows: Int32Array): Norms {
    if (stream.norms) return stream.norms;
    const mean = this.pool.take();
    const inverse = this.pool.take();
    const { squares, sums, base } = this;
    const { width, norm } = this.config;
    const constants = base.ablated[stream.at]!;
    squares.set(base.baseSquares[stream.at]!);
    sums.set(base.baseSum[stream.at]!);
    for (const [c, deviation] of stream.columns) {
      const column = base.embeddingColumn(c);
      const constant = constants[c]!;
      for (let i = 0; i < rows.length; i++) {
        const n = rows[i]!;
        const d = deviation[n]!;
        squares[n]! += d * (2 * (column[n]! + constant) + d);
      }
      if (norm === "layer") for (let i = 0; i < rows.length; i++) sums[rows[i]!]! += deviation[rows[i]!]!;
    }
    for (let i = 0; i < rows.length; i++) {
      const n = rows[i]!;
      const moments = base.moments(sums[n]!, squares[n]!, width);
      mean[n] = moments.mean;
      inverse[n] = moments.inverse;
    }
    stream.norms = { mean, inverse };
    return stream.norms;
  }

  private read(stream: Stream, site: "attn.act_in" | "mlp.act_in", kept: readonly number[]): Read {
    return child(stream.next, String(kept), () => {
      const layer = stream.at >> 1;
      const { tree, layers } = this.base;
      const tables = layers[layer]!;
      const rows = site === "attn.act_in" ? tree.all : this.rowsAfterAttention(layer);
      stream.reads ??= this.site(layer, site, rows, true, (c) => this.readColumn(stream, site, c, rows));
      const reads = stream.reads.pick(kept);
      const affine = (part: Site, map: Folded, first: number, relative: boolean, of?: (x: number) => number) =>
        this.site(layer, part, rows, relative, (c) => this.affine(map, first + c, reads, rows, of));
      const width = attentionWidth(this.config);
      const sites =
        site === "attn.act_in"
          ? [
              affine("attn.q", tables.qkv, 0, false),
              affine("attn.k", tables.qkv, width, false),
              affine("attn.v", tables.qkv, 2 * width, true),
            ]
          : [affine("mlp.post_act", tables.fc, 0, true, this.config.activation === "gelu" ? gelu : relu)];
      return { sites, heads: new Map(), next: new Map() };
    });
  }

  /** A normalised channel of the stream, or a position channel. */
  private readColumn(stream: Stream, site: "attn.act_in" | "mlp.act_in", c: number, rows: Int32Array): Column {
    const { config, base } = this;
    const { tree } = base;
    const tables = base.layers[stream.at >> 1]!;
    const [weight, bias, positions] =
      site === "attn.act_in"
        ? [tables.attnNorm, tables.attnNormBias, tables.attnPositions]
        : [tables.mlpNorm, tables.mlpNormBias, tables.mlpPositions];
    const column = this.pool.take();
    if (c >= config.width) {
      const first = (c - config.width) * tree.longest;
      for (let i = 0; i < rows.length; i++) column[rows[i]!] = positions[first + tree.position[rows[i]!]!]!;
      return column;
    }
    const { mean, inverse } = this.norms(stream, rows);
    const embedding = base.embeddingColumn(c);
    const constant = base.ablated[stream.at]![c]!;
    const deviation = stream.columns.get(c);
    const w = weight[c]!;
    const b = bias?.[c] ?? 0;
    for (let i = 0; i < rows.length; i++) {
      const n = rows[i]!;
      const x = embedding[n]! + constant + (deviation ? deviation[n]! : 0);
      column[n] = (x - mean[n]!) * inverse[n]! * w + b;
    }
    return column;
  }

  /** bias + sum over kept inputs of weight * deviation, through a nonlinearity if given. */
  private affine(
    map: Folded,
    o: number,
    inputs: Columns,
    rows: Int32Array,
    nonlinearity?: (x: number) => number,
  ): Column {
    const column = this.pool.take();
    const bias = map.bias[o]!;
    for (let i = 0; i < rows.length; i++) column[rows[i]!] = bias;
    accumulate(column, map.rows, o, inputs, rows);
    if (nonlinearity) for (let i = 0; i < rows.length; i++) column[rows[i]!] = nonlinearity(column[rows[i]!]!);
    return column;
  }

  private neuronOutputs(stream: Stream, { sites: [neurons] }: Read, kept: KeptLayer): Middle {
    const layer = stream.at >> 1;
    const rows = this.rowsAfterAttention(layer);
    const inputs = neurons!.pick(kept["mlp.post_act"]);
    const { mlpProj } = this.base.layers[layer]!;
    const writes = this.site(layer, "mlp.resid_delta", rows, true, (o) => this.affine(mlpProj, o, inputs, rows));
    return { writes, next: new Map() };
  }

  private headOutputs(stream: Stream, read: Read, [q, k, v]: readonly (readonly number[])[]): Middle {
    const { config, base } = this;
    const layer = stream.at >> 1;
    const tables = base.layers[layer]!;
    const rows = this.rowsAfterAttention(layer);
    const y = new Map<number, Column>();
    const headAt = (h: number): Head => {
      const of = (list: readonly number[] | undefined) => list!.filter((c) => Math.floor(c / config.headWidth) === h);
      const parts = [of(q), of(k), of(v)] as const;
      return child(read.heads, `${h}:${parts.map(String).join("|")}`, () => this.head(layer, h, read, parts, rows));
    };
    for (const h of new Set(v!.map((c) => Math.floor(c / config.headWidth)))) {
      for (const [c, column] of headAt(h).outputs) y.set(c, column);
    }
    const compute = (o: number): Column => {
      if (!tables.sink) return this.affine(tables.proj, o, y, rows);
      const column = this.pool.take();
      const bias = tables.projBias?.[o] ?? 0;
      for (let i = 0; i < rows.length; i++) column[rows[i]!] = bias;
      // With a sink even constant values count, by how much attention they get.
      for (let h = 0; h < config.heads; h++) {
        const constant = tables.headConstant[o * config.heads + h]!;
        if (constant === 0) continue;
        const total = headAt(h).total!;
        for (let i = 0; i < rows.length; i++) column[rows[i]!]! += constant * total[rows[i]!]!;
      }
      accumulate(column, tables.proj.rows, o, y, rows);
      return column;
    };
    return { writes: this.site(layer, "attn.resid_delta", rows, true, compute), next: new Map() };
  }

  private head(
    layer: number,
    h: number,
    { sites }: Read,
    [queries, keys, values]: readonly [readonly number[], readonly number[], readonly number[]],
    rows: Int32Array,
  ): Head {
    const { config, base, pool } = this;
    const { sink } = base.layers[layer]!;
    const outputs = new Map(values.map((c) => [c, pool.take()]));
    const total = sink ? pool.take() : undefined;
    const head = {
      first: h * config.headWidth,
      width: config.headWidth,
      q: sites[0]!.pick(queries),
      k: sites[1]!.pick(keys),
      qFill: base.siteFill(layer, "attn.q"),
      kFill: base.siteFill(layer, "attn.k"),
      sink: sink ? sink[h]! : null,
    };
    attend(base.tree, head, [...sites[2]!.pick(values).values()], [...outputs.values()], total, rows);
    return { outputs, total };
  }

  /** The stream with the kept writes added. */
  private write(stream: Stream, { writes, next }: Middle, kept: readonly number[]): Stream {
    return child(next, String(kept), () => {
      const rows = this.rowsAfterAttention(stream.at >> 1);
      const columns = new Map(stream.columns);
      for (const c of kept) {
        const delta = writes.get(c);
        const before = columns.get(c);
        if (!before) {
          columns.set(c, delta);
          continue;
        }
        const sum = this.pool.take();
        for (let i = 0; i < rows.length; i++) sum[rows[i]!] = before[rows[i]!]! + delta[rows[i]!]!;
        columns.set(c, sum);
      }
      return streamOf(stream.at + 1, columns);
    });
  }
}

function accumulate(column: Column, w: Rows, o: number, inputs: Columns, rows: Int32Array): void {
  if (inputs.size === 0) return;
  for (let z = w.start[o]!; z < w.start[o + 1]!; z++) {
    const x = inputs.get(w.column[z]!);
    if (x) addScaled(column, x, w.value[z]!, rows);
  }
}

/** column += weight * x. All tokens together are the usual case, and go faster without their indices. */
function addScaled(column: Column, x: Column, weight: number, rows: Int32Array): void {
  if (rows.length === column.length) {
    for (let n = 0; n < column.length; n++) column[n]! += weight * x[n]!;
    return;
  }
  for (let i = 0; i < rows.length; i++) column[rows[i]!]! += weight * x[rows[i]!]!;
}

function gelu(x: number): number {
  return x * normalCdf(x);
}

function relu(x: number): number {
  return Math.max(x, 0);
}
