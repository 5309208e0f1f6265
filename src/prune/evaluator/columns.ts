/** Columns of activations, one value a token. */

export type Column = Float32Array;

/** Columns kept by channel. */
export type Columns = ReadonlyMap<number, Column>;

/** Hands out columns that all become free at once. */
export class ColumnPool {
  private readonly size: number;
  private readonly columns: Column[] = [];
  private readonly ids = new Map<Column, number>();
  private used = 0;

  /** `size`: tokens of a column. */
  constructor(size: number) {
    this.size = size;
  }

  /** A column with any content. */
  take(): Column {
    if (this.used === this.columns.length) {
      const column = new Float32Array(this.size);
      this.ids.set(column, this.columns.length);
      this.columns.push(column);
    }
    return this.columns[this.used++]!;
  }

  /** Tells columns in use apart. */
  idOf(column: Column): number {
    return this.ids.get(column)!;
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

/** AbsTopK of each token over all columns of a site, in place; ties: lowest index. */
export function cutTokens(columns: readonly Column[], k: number, rows: Int32Array): void {
  const width = columns.length;
  const order = Array.from({ length: width }, (_, c) => c);
  for (let i = 0; i < rows.length; i++) {
    const n = rows[i]!;
    order.sort((a, b) => Math.abs(columns[b]![n]!) - Math.abs(columns[a]![n]!) || a - b);
    for (let j = k; j < width; j++) columns[order[j]!]![n] = 0;
  }
}
