/** Compressed rows of a matrix: the nonzero entries in row-major order. Linear maps skip the zeros through it. */

export interface Csr {
  /** Row r holds entries start[r] to start[r + 1]. */
  readonly start: Int32Array;
  column: Int32Array;
  value: Float32Array;
}

export function emptyCsr(rows: number): Csr {
  return { start: new Int32Array(rows + 1), column: new Int32Array(0), value: new Float32Array(0) };
}

/** Refills the rows from dense values. Arrays only grow, with room to spare, so that a run soon settles. */
export function fillCsr(csr: Csr, values: Float32Array, width: number): void {
  let count = 0;
  for (let i = 0; i < values.length; i++) if (values[i]! !== 0) count++;
  if (count > csr.column.length) {
    const room = Math.min(values.length, Math.ceil(count * 1.25));
    csr.column = new Int32Array(room);
    csr.value = new Float32Array(room);
  }
  const { start, column, value } = csr;
  let z = 0;
  for (let r = 0; r < start.length - 1; r++) {
    start[r] = z;
    const base = r * width;
    for (let c = 0; c < width; c++) {
      const w = values[base + c]!;
      if (w !== 0) {
        column[z] = c;
        value[z] = w;
        z++;
      }
    }
  }
  start[start.length - 1] = z;
}
