/** The sublayers of a circuit: from the residual stream before one to the stream after it, for any kept nodes. */
import { attentionWidth, cutCount, type ModelConfig } from "../../model/config.ts";
import { SITE_LOCATION, type Site } from "../../model/sites.ts";
import type { Changes, RemovedEdges } from "../evaluator.ts";
import type { AblatedModel, Folded } from "./ablated-model.ts";
import { attend } from "./attend.ts";
import { type Column, type ColumnPool, type Columns, cutTokens } from "./columns.ts";
import { normalCdf } from "./normal.ts";
import { child, type Head, type KeptLayer, type Norms, type Stream, streamOf } from "./states.ts";

/** The channels of a site: how one is computed, and from which columns. */
interface SiteRule {
  readonly site: Site;
  readonly rows: Int32Array;
  /** Whether ablation values are subtracted. */
  readonly relative: boolean;
  /** A channel before AbsTopK, in a column of its own. */
  readonly compute: (channel: number) => Column;
  /** Names the columns that a channel is computed from. */
  readonly sourcesOf: (channel: number) => string;
  readonly changes: Changes;
}

export class Sublayers {
  private readonly config: ModelConfig;
  private readonly base: AblatedModel;
  private readonly pool: ColumnPool;
  private readonly squares: Float64Array;
  private readonly sums: Float64Array;
  /** Norms of the full model before each sublayer and at the end, when they are frozen. */
  private readonly frozen: readonly Norms[] | undefined;
  /** Whether all tokens are computed in the last layer too, and not only those that answer. */
  private readonly everywhere: boolean;

  constructor(
    base: AblatedModel,
    pool: ColumnPool,
    { frozen, everywhere = false }: { frozen?: readonly Norms[] | undefined; everywhere?: boolean | undefined } = {},
  ) {
    this.config = base.config;
    this.everywhere = everywhere;
    this.base = base;
    this.pool = pool;
    this.frozen = frozen;
    this.squares = new Float64Array(base.tree.size);
    this.sums = new Float64Array(base.tree.size);
  }

  attention(stream: Stream, kept: KeptLayer, changes: Changes): Stream {
    const { config, base } = this;
    const tables = base.layers[stream.at >> 1]!;
    const all = base.tree.all;
    const width = attentionWidth(config);
    const written = kept["attn.resid_delta"];
    if (written.length === 0 && !changes.seen) return this.write(stream, new Map());
    const reads = this.reads(stream, "attn.act_in", kept["attn.act_in"], all, changes);
    const part = (site: Site, first: number, relative: boolean): Columns => {
      const rule = this.affineRule(site, tables.qkv, first, { inputs: reads, rows: all, relative, changes });
      return this.channels(stream, rule, kept[site]);
    };
    const q = part("attn.q", 0, false);
    const k = part("attn.k", width, false);
    const v = part("attn.v", 2 * width, true);
    return this.write(stream, this.headWrites(stream, { q, k, v }, written, changes));
  }

  mlp(stream: Stream, kept: KeptLayer, changes: Changes): Stream {
    const layer = stream.at >> 1;
    const { fc, mlpProj } = this.base.layers[layer]!;
    const rows = this.rowsAfterAttention(layer);
    const written = kept["mlp.resid_delta"];
    if (written.length === 0 && !changes.seen) return this.write(stream, new Map());
    const reads = this.reads(stream, "mlp.act_in", kept["mlp.act_in"], rows, changes);
    const activation = this.config.activation === "gelu" ? gelu : relu;
    const hidden = this.affineRule("mlp.post_act", fc, 0, { inputs: reads, rows, relative: true, changes }, activation);
    const neurons = this.channels(stream, hidden, kept["mlp.post_act"]);
    const out = this.affineRule("mlp.resid_delta", mlpProj, 0, { inputs: neurons, rows, relative: true, changes });
    return this.write(stream, this.channels(stream, out, written));
  }

  /** In the last layer only the answer positions matter, once keys and values are known. */
  private rowsAfterAttention(layer: number): Int32Array {
    const { tree } = this.base;
    return layer === this.config.layers - 1 && !this.everywhere ? tree.lastRows : tree.all;
  }

  /** Some channels of a site: true values, or minus ablation values where the rule says so. */
  private channels(stream: Stream, rule: SiteRule, wanted: readonly number[]): Columns {
    const { site, rows, relative, compute, sourcesOf } = rule;
    const fill = this.base.siteFill(stream.at >> 1, site);
    const cut = cutCount(this.config, SITE_LOCATION[site], fill.length);
    const finished = (column: Column, c: number): Column => {
      const f = relative ? fill[c]! : 0;
      if (f) for (let i = 0; i < rows.length; i++) column[rows[i]!]! -= f;
      return column;
    };
    if (cut === undefined) {
      const known = stream.columnsOf;
      const get = (c: number): Column => child(known, `${site}:${c}:${sourcesOf(c)}`, () => finished(compute(c), c));
      return new Map(wanted.map((c) => [c, this.changed(stream, rule, c, get(c))]));
    }
    const everything = Array.from(fill, (_, c) => c);
    const columns = child(stream.sites, `${site}:${everything.map(sourcesOf).join("|")}`, () => {
      const computed = everything.map(compute);
      cutTokens(computed, cut, rows);
      return computed.map(finished);
    });
    return new Map(wanted.map((c) => [c, this.changed(stream, rule, c, columns[c]!)]));
  }

  /** A kept node's column as others see it: what an intervention makes of it, in a new column. */
  private changed(stream: Stream, { site, rows, relative, changes }: SiteRule, c: number, column: Column): Column {
    const { interventions, seen } = changes;
    if (!interventions && !seen) return column;
    const { base, pool } = this;
    const layer = stream.at >> 1;
    const node = base.offsets.get(`${layer}.${site}`)! + c;
    const f = relative ? base.siteFill(layer, site)[c]! : 0;
    const intervention = interventions?.get(node);
    let result = column;
    if (intervention) {
      result = pool.take();
      for (let i = 0; i < rows.length; i++) result[rows[i]!] = intervention(column[rows[i]!]! + f, rows[i]!) - f;
    }
    seen?.(node, result, f, rows);
    return result;
  }

  /** Means and inverse deviations of a stream, for the tokens in `rows`. */
  norms(stream: Stream, rows: Int32Array): Norms {
    if (this.frozen) return this.frozen[stream.at]!;
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

  /** What a sublayer reads, minus ablation values. */
  private reads(
    stream: Stream,
    site: "attn.act_in" | "mlp.act_in",
    kept: readonly number[],
    rows: Int32Array,
    changes: Changes,
  ): Columns {
    const compute = (c: number): Column => this.readColumn(stream, site, c, rows);
    return this.channels(stream, { site, rows, relative: true, compute, sourcesOf: () => "", changes }, kept);
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

  /** Channels that are bias + sum over kept inputs of weight * deviation, through a nonlinearity if given. */
  private affineRule(
    site: Site,
    map: Folded,
    first: number,
    from: { inputs: Columns; rows: Int32Array; relative: boolean; changes: Changes },
    nonlinearity?: (x: number) => number,
  ): SiteRule {
    const { inputs, rows, relative, changes } = from;
    const { removed } = changes;
    const compute = (c: number): Column => {
      const column = this.pool.take();
      const bias = map.bias[first + c]!;
      for (let i = 0; i < rows.length; i++) column[rows[i]!] = bias;
      forEachTerm(map, first + c, inputs, removed, (x, weight) => addScaled(column, x, weight, rows));
      if (nonlinearity) for (let i = 0; i < rows.length; i++) column[rows[i]!] = nonlinearity(column[rows[i]!]!);
      return column;
    };
    return { site, rows, relative, compute, sourcesOf: (c) => this.termsOf(map, first + c, inputs, removed), changes };
  }

  /** Names the terms of an output. */
  private termsOf(map: Folded, o: number, inputs: Columns, removed: RemovedEdges | undefined): string {
    let key = "";
    forEachTerm(map, o, inputs, removed, (x) => {
      key += `${this.pool.idOf(x)},`;
    });
    return key;
  }

  private ids(columns: Iterable<Column>): string {
    let key = "";
    for (const column of columns) key += `${this.pool.idOf(column)},`;
    return key;
  }

  /** What the heads write to some channels, minus ablation values. */
  private headWrites(
    stream: Stream,
    parts: { q: Columns; k: Columns; v: Columns },
    written: readonly number[],
    changes: Changes,
  ): Columns {
    const { config, base } = this;
    const layer = stream.at >> 1;
    const tables = base.layers[layer]!;
    const rows = this.rowsAfterAttention(layer);
    const of = (columns: Columns, h: number): Columns =>
      new Map([...columns].filter(([c]) => Math.floor(c / config.headWidth) === h));
    const headAt = (h: number): Head => {
      const [q, k, v] = [of(parts.q, h), of(parts.k, h), of(parts.v, h)];
      const key = `${h}:${this.ids(q.values())}|${this.ids(k.values())}|${this.ids(v.values())}`;
      return child(stream.heads, key, () => this.head(layer, h, { q, k, v }, rows));
    };
    const y = new Map<number, Column>();
    for (const h of new Set([...parts.v.keys()].map((c) => Math.floor(c / config.headWidth)))) {
      for (const [c, column] of headAt(h).outputs) y.set(c, column);
    }
    const rule = this.affineRule("attn.resid_delta", tables.proj, 0, { inputs: y, rows, relative: true, changes });
    if (!tables.sink) return this.channels(stream, rule, written);
    // With a sink even constant values count, by how much attention they get.
    const constantHeads = (o: number): number[] =>
      Array.from({ length: config.heads }, (_, h) => h).filter((h) => tables.headConstant[o * config.heads + h] !== 0);
    const compute = (o: number): Column => {
      const column = this.pool.take();
      const bias = tables.projBias?.[o] ?? 0;
      for (let i = 0; i < rows.length; i++) column[rows[i]!] = bias;
      for (const h of constantHeads(o)) {
        addScaled(column, headAt(h).total!, tables.headConstant[o * config.heads + h]!, rows);
      }
      forEachTerm(tables.proj, o, y, changes.removed, (x, weight) => addScaled(column, x, weight, rows));
      return column;
    };
    const sourcesOf = (o: number): string =>
      `${rule.sourcesOf(o)}|${this.ids(constantHeads(o).map((h) => headAt(h).total!))}`;
    return this.channels(stream, { ...rule, compute, sourcesOf }, written);
  }

  private head(layer: number, h: number, { q, k, v }: { q: Columns; k: Columns; v: Columns }, rows: Int32Array): Head {
    const { config, base, pool } = this;
    const { sink } = base.layers[layer]!;
    const outputs = new Map([...v.keys()].map((c) => [c, pool.take()]));
    const total = sink ? pool.take() : undefined;
    const head = {
      first: h * config.headWidth,
      width: config.headWidth,
      q,
      k,
      qFill: base.siteFill(layer, "attn.q"),
      kFill: base.siteFill(layer, "attn.k"),
      sink: sink ? sink[h]! : null,
    };
    attend(base.tree, head, [...v.values()], [...outputs.values()], total, rows);
    return { outputs, total };
  }

  /** The stream with the kept writes added. */
  private write(stream: Stream, writes: Columns): Stream {
    let key = "";
    for (const [c, delta] of writes) key += `${c}:${this.pool.idOf(delta)},`;
    return child(stream.next, key, () => {
      const rows = this.rowsAfterAttention(stream.at >> 1);
      const columns = new Map(stream.columns);
      for (const [c, delta] of writes) {
        const before = columns.get(c);
        columns.set(c, before ? this.sum(stream, c, before, delta, rows) : delta);
      }
      return streamOf(stream.at + 1, columns);
    });
  }

  private sum(stream: Stream, c: number, a: Column, b: Column, rows: Int32Array): Column {
    return child(stream.columnsOf, `sum:${c}:${this.pool.idOf(b)}`, () => {
      const sum = this.pool.take();
      for (let i = 0; i < rows.length; i++) sum[rows[i]!] = a[rows[i]!]! + b[rows[i]!]!;
      return sum;
    });
  }
}

/** Calls `visit` with each kept input of output o and its weight. */
function forEachTerm(
  { rows, first }: Folded,
  o: number,
  inputs: Columns,
  removed: RemovedEdges | undefined,
  visit: (x: Column, weight: number) => void,
): void {
  if (inputs.size === 0) return;
  for (let z = rows.start[o]!; z < rows.start[o + 1]!; z++) {
    const x = inputs.get(rows.column[z]!);
    if (x && !removed?.has(first + z)) visit(x, rows.value[z]!);
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
