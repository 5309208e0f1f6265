/** A dense matrix as compressed rows: entries of row o are [start[o], start[o + 1]). */

export interface Rows {
  readonly start: Int32Array;
  readonly column: Int32Array;
  readonly value: Float32Array;
}

/** weights: row-major (out, input). */
export function compressRows(weights: Float32Array, out: number, input: number): Rows {
  let count = 0;
  for (const w of weights) if (w !== 0) count++;
  const start = new Int32Array(out + 1);
  const column = new Int32Array(count);
  const value = new Float32Array(count);
  let z = 0;
  for (let o = 0; o < out; o++) {
    for (let i = 0; i < input; i++) {
      const w = weights[o * input + i]!;
      if (w === 0) continue;
      column[z] = i;
      value[z++] = w;
    }
    start[o + 1] = z;
  }
  return { start, column, value };
}
