/**
 * Storage of the reference engine: row-major matrices of tokens by channels, views by offset and stride, and dense
 * parameters. Kernels (engine/ops) work on these; nothing here computes.
 */
import { assert } from "../../util/errors.ts";
import type {
  Activation,
  DenseParam,
  KeptSet,
  Param,
  ParamField,
  Protect,
  SparseParam,
  TokenShape,
} from "../engine.ts";
import { type Csr, emptyCsr, fillCsr } from "./csr.ts";

/** [rows, width]: entry (n, c) is data[offset + n * stride + c]. */
export class Matrix implements Activation {
  readonly tokens: TokenShape;
  readonly width: number;
  readonly rows: number;
  readonly data: Float32Array;
  readonly offset: number;
  readonly stride: number;
  /** The matrix that this one is a view of, or null: then it owns its data. */
  readonly whole: Matrix | null;
  /** False once released. */
  live = true;

  constructor(tokens: TokenShape, width: number, data: Float32Array, whole: Matrix | null, start: number) {
    this.tokens = { batch: tokens.batch, length: tokens.length };
    this.width = width;
    this.rows = tokens.batch * tokens.length;
    this.data = data;
    this.offset = whole ? whole.offset + start : 0;
    this.stride = whole ? whole.stride : width;
    this.whole = whole;
  }
}

export class Bits implements KeptSet {
  readonly tokens: TokenShape;
  readonly width: number;
  readonly rows: number;
  /** One byte an entry, row-major. */
  readonly data: Uint8Array;
  live = true;

  constructor(tokens: TokenShape, width: number, data: Uint8Array) {
    this.tokens = { batch: tokens.batch, length: tokens.length };
    this.width = width;
    this.rows = tokens.batch * tokens.length;
    this.data = data;
  }
}

/** What both kinds of parameter hold. Moments and gradients are made when they are first needed. */
abstract class Stored {
  readonly name: string;
  readonly size: number;
  readonly value: Float32Array;
  private readonly fields: Record<Exclude<ParamField, "value">, Float32Array | null> = { grad: null, m: null, v: null };
  /** True once a gradient was written after the last clear: later ones add. */
  private gradWritten = false;

  constructor(name: string, shape: readonly number[]) {
    assert(shape.length > 0 && shape.every((n) => Number.isInteger(n) && n > 0), `bad shape [${shape}] of ${name}`);
    this.name = name;
    this.size = shape.reduce((a, b) => a * b, 1);
    this.value = new Float32Array(this.size);
  }

  /** The field's array, made if need be. A gradient from before the last clear reads as zeros. */
  field(field: ParamField): Float32Array {
    if (field === "value") return this.value;
    const array = this.fields[field];
    if (!array) {
      const made = new Float32Array(this.size);
      this.fields[field] = made;
      return made;
    }
    if (field === "grad" && !this.gradWritten) array.fill(0);
    return array;
  }

  /** The gradient to add to: zeros if nothing was written since the last clear. */
  gradToAdd(): Float32Array {
    const grad = this.field("grad");
    this.gradWritten = true;
    return grad;
  }

  clearGrad(): void {
    this.gradWritten = false;
  }

  hasGrad(): boolean {
    return this.gradWritten;
  }

  /** To be called after every change of `value`. */
  changed(): void {}

  bytes(): number {
    let bytes = this.value.byteLength;
    for (const array of Object.values(this.fields)) bytes += array?.byteLength ?? 0;
    return bytes;
  }
}

export class StoredDense extends Stored implements DenseParam {
  readonly kind = "dense";
  readonly shape: readonly number[];

  constructor(name: string, shape: readonly number[]) {
    super(name, shape);
    this.shape = [...shape];
  }
}

export class StoredSparse extends Stored implements SparseParam {
  readonly kind = "sparse";
  readonly shape: readonly [number, number];
  readonly protect: Protect;
  private readonly rows: Csr;
  private stale = true;

  constructor(name: string, shape: readonly [number, number], protect: Protect) {
    super(name, shape);
    this.shape = [shape[0], shape[1]];
    this.protect = protect;
    this.rows = emptyCsr(shape[0]);
  }

  /** Nonzero entries by row, rebuilt after the values changed. */
  csr(): Csr {
    if (this.stale) fillCsr(this.rows, this.value, this.shape[1]);
    this.stale = false;
    return this.rows;
  }

  /** Zeroes the gradient where the value is zero. */
  clearUnkeptGrad(): void {
    const grad = this.gradToAdd();
    for (let i = 0; i < grad.length; i++) if (this.value[i] === 0) grad[i] = 0;
  }

  override changed(): void {
    this.stale = true;
  }

  override bytes(): number {
    return super.bytes() + this.rows.start.byteLength + this.rows.column.byteLength + this.rows.value.byteLength;
  }
}

/** The storage behind a handle; a handle of another engine or one already released is a defect. */
export function matrix(x: Activation): Matrix {
  assert(x instanceof Matrix, "activation of another engine");
  assert(x.live && (x.whole === null || x.whole.live), "activation used after its release");
  return x;
}

/** As `matrix`, with its shape checked. */
export function matrixOf(x: Activation, rows: number, width: number, what: string): Matrix {
  const m = matrix(x);
  assert(
    m.rows === rows && m.width === width,
    `expected ${what} of shape [${rows}, ${width}] but received [${m.rows}, ${m.width}]`,
  );
  return m;
}

export function bitsOf(x: KeptSet, rows: number, width: number): Bits {
  assert(x instanceof Bits, "kept set of another engine");
  assert(x.live, "kept set used after its release");
  assert(
    x.rows === rows && x.width === width,
    `expected kept set of shape [${rows}, ${width}] but received [${x.rows}, ${x.width}]`,
  );
  return x;
}

export function dense(p: DenseParam, size: number): StoredDense {
  assert(p instanceof StoredDense, `parameter ${p.name} of another engine`);
  assert(p.size === size, `expected ${p.name} to have ${size} entries but it has ${p.size}`);
  return p;
}

/** A table (rows, width) kept as a dense parameter. */
export function denseTable(p: DenseParam, width: number): StoredDense {
  assert(p instanceof StoredDense, `parameter ${p.name} of another engine`);
  assert(
    p.shape.length === 2 && p.shape[1] === width,
    `expected ${p.name} of shape [*, ${width}] but it is [${p.shape}]`,
  );
  return p;
}

/** `inputs` and `outputs` are checked where given. */
export function sparse(p: SparseParam, outputs: number | null, inputs: number | null): StoredSparse {
  assert(p instanceof StoredSparse, `parameter ${p.name} of another engine`);
  const [o, i] = p.shape;
  assert(
    (outputs === null || o === outputs) && (inputs === null || i === inputs),
    `expected ${p.name} of shape [${outputs ?? "*"}, ${inputs ?? "*"}] but it is [${o}, ${i}]`,
  );
  return p;
}

export function stored(p: Param): StoredDense | StoredSparse {
  assert(p instanceof StoredDense || p instanceof StoredSparse, `parameter ${p.name} of another engine`);
  return p;
}

/** Checks ids against the table that they index. */
export function checkIds(ids: Int32Array, count: number, limit: number, what: string): void {
  assert(ids.length === count, `expected ${count} ${what} but received ${ids.length}`);
  for (let n = 0; n < ids.length; n++) {
    const id = ids[n]!;
    if (id < 0 || id >= limit) assert(false, `${what}[${n}] is ${id}, outside 0..${limit - 1}`);
  }
}
