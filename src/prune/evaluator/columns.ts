/** Columns of activations, one value a token, and the lazily computed columns of a site. */

export type Column = Float32Array;

/** Columns kept by channel. */
export type Columns = ReadonlyMap<number, Column>;

/** Hands out columns that all become free at once. */
export class ColumnPool {
  private readonly size: number;
  private readonly columns: Column[] = [];
  private used = 0;

  /** `size`: tokens of a column. */
  constructor(size: number) {
    this.size = size;
  }

  /** A column with any content. */
  take(): Column {
    if (this.used === this.columns.length) this.columns.push(new Float32Array(this.size));
    return this.columns[this.used++]!;
  }

  /** Bytes of the columns in use. */
  get bytes(): number {
    return 4 * this.size * this.used;
  }

  /** Frees all columns. */
  clear(): void {
    this.used = 0;
  }
}

export interface SiteOptions {
  readonly width: number;
  /** AbsTopK's k; undefined where nothing is cut. */
  readonly cut: number | undefined;
  /** Tokens that are computed; the others hold anything. */
  readonly rows: Int32Array;
  /** A channel before AbsTopK, in a column of its own. */
  readonly compute: (channel: number) => Column;
  /** Ablation values, subtracted when given. */
  readonly fill: Float32Array | undefined;
}

/** The channels of a site, each computed when it is first asked for; with AbsTopK all at once, as each depends on all. */
export class SiteColumns {
  private readonly options: SiteOptions;
  private readonly known: (Column | undefined)[];

  constructor(options: SiteOptions) {
    this.options = options;
    this.known = new Array(options.width);
  }

  get(channel: number): Column {
    const known = this.known[channel];
    if (known) return known;
    const { width, cut, rows, compute } = this.options;
    if (cut === undefined) return this.finish(channel, compute(channel));
    const columns = Array.from({ length: width }, (_, c) => compute(c));
    cutTokens(columns, cut, rows);
    columns.forEach((column, c) => {
      this.finish(c, column);
    });
    return columns[channel]!;
  }

  /** The columns of some channels. */
  pick(channels: readonly number[]): Columns {
    return new Map(channels.map((c) => [c, this.get(c)]));
  }

  private finish(channel: number, column: Column): Column {
    const { fill, rows } = this.options;
    const f = fill?.[channel];
    if (f) for (let i = 0; i < rows.length; i++) column[rows[i]!]! -= f;
    this.known[channel] = column;
    return column;
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
