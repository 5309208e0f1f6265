/**
 * Storage of the TensorFlow.js engine. Tensors cannot be written to, so a handle holds the tensor that was written last.
 * Activations are [B*T, width]. A view is a range of channels of its whole; the whole keeps what was written through
 * views apart, and joins it when it is read in another way.
 */
import * as tf from "@tensorflow/tfjs";
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

interface Part {
  readonly start: number;
  readonly end: number;
  readonly tensor: tf.Tensor2D;
}

/** [rows, width] of which ranges of channels are written one by one. */
class Channels {
  readonly rows: number;
  readonly width: number;
  /** Apart from each other, in order. */
  private parts: Part[] = [];
  private live = true;

  constructor(rows: number, width: number) {
    this.rows = rows;
    this.width = width;
  }

  write(start: number, tensor: tf.Tensor2D): void {
    this.check();
    const end = start + tensor.shape[1];
    const next: Part[] = [{ start, end, tensor }];
    for (const part of this.parts) {
      const [left, right] = [part.start < start, part.end > end];
      if (part.end <= start || part.start >= end) {
        next.push(part);
        continue;
      }
      if (left) next.push(keep(cutPart(part, part.start, start)));
      if (right) next.push(keep(cutPart(part, end, part.end)));
      part.tensor.dispose();
    }
    this.parts = next.sort((a, b) => a.start - b.start);
  }

  /** Not to be disposed of. */
  read(start: number, end: number): tf.Tensor2D {
    this.check();
    const holder = this.parts.find((part) => part.start <= start && part.end >= end);
    assert(holder || this.parts.length > 0, "activation read before it was written");
    if (holder)
      return holder.start === start && holder.end === end ? holder.tensor : cutPart(holder, start, end).tensor;
    return cutPart(this.join(), start, end).tensor;
  }

  /** All parts as one; what was never written is zero. */
  private join(): Part {
    const pieces: tf.Tensor2D[] = [];
    let at = 0;
    const gap = (until: number): void => {
      if (until > at) pieces.push(tf.zeros([this.rows, until - at]));
    };
    const tensor = tf.tidy(() => {
      for (const part of this.parts) {
        gap(part.start);
        pieces.push(part.tensor);
        at = part.end;
      }
      gap(this.width);
      return tf.keep(tf.concat(pieces, 1));
    });
    for (const part of this.parts) part.tensor.dispose();
    const whole = { start: 0, end: this.width, tensor };
    this.parts = [whole];
    return whole;
  }

  private check(): void {
    assert(this.live, "activation used after its release");
  }

  free(): void {
    this.check();
    for (const part of this.parts) part.tensor.dispose();
    this.parts = [];
    this.live = false;
  }
}

function keep(part: Part): Part {
  tf.keep(part.tensor);
  return part;
}

/** A part of a part, as a tensor that the tidy around the kernel disposes of unless it is kept. */
function cutPart({ start: from, end: to, tensor }: Part, start: number, end: number): Part {
  if (from === start && to === end) return { start, end, tensor };
  return { start, end, tensor: tf.slice(tensor, [0, start - from], [-1, end - start]) };
}

export class TfActivation implements Activation {
  readonly tokens: TokenShape;
  readonly width: number;
  readonly start: number;
  readonly isView: boolean;
  private readonly channels: Channels;

  constructor(tokens: TokenShape, width: number, view?: { readonly of: TfActivation; readonly start: number }) {
    this.tokens = { batch: tokens.batch, length: tokens.length };
    this.width = width;
    this.isView = view !== undefined;
    this.start = view ? view.of.start + view.start : 0;
    this.channels = view ? view.of.channels : new Channels(tokens.batch * tokens.length, width);
  }

  get rows(): number {
    return this.channels.rows;
  }

  /** [B*T, width]; belongs to the handle. */
  get tensor(): tf.Tensor2D {
    return this.channels.read(this.start, this.start + this.width);
  }

  /** Takes the tensor over. */
  set tensor(value: tf.Tensor2D) {
    assert(
      value.shape[0] === this.rows && value.shape[1] === this.width,
      `expected shape [${this.rows}, ${this.width}] but received [${value.shape}]`,
    );
    this.channels.write(this.start, tf.keep(value));
  }

  free(): void {
    assert(!this.isView, "released a view");
    this.channels.free();
  }
}

export class TfKept implements KeptSet {
  readonly tokens: TokenShape;
  readonly width: number;
  private bits: tf.Tensor2D | null = null;

  constructor(tokens: TokenShape, width: number) {
    this.tokens = { batch: tokens.batch, length: tokens.length };
    this.width = width;
  }

  /** [B*T, width] of booleans; belongs to the handle. */
  get tensor(): tf.Tensor2D {
    assert(this.bits, "kept set read before it was written, or after its release");
    return this.bits;
  }

  set tensor(value: tf.Tensor2D) {
    this.free();
    this.bits = tf.keep(value);
  }

  free(): void {
    this.bits?.dispose();
    this.bits = null;
  }
}

/** A parameter; `protect` is null for dense ones. */
class Stored {
  readonly name: string;
  readonly size: number;
  readonly protect: Protect;
  private readonly dims: readonly number[];
  private readonly fields: Partial<Record<ParamField, tf.Tensor>> = {};

  constructor(name: string, shape: readonly number[], protect: Protect) {
    this.name = name;
    this.dims = [...shape];
    this.protect = protect;
    this.size = shape.reduce((a, b) => a * b, 1);
  }

  has(field: ParamField): boolean {
    return this.fields[field] !== undefined;
  }

  /** Zeros if it was never written, or cleared; belongs to the parameter. */
  get(field: ParamField): tf.Tensor {
    this.fields[field] ??= tf.keep(tf.zeros([...this.dims]));
    return this.fields[field];
  }

  /** Takes the tensor over. */
  set(field: ParamField, value: tf.Tensor): void {
    const before = this.fields[field];
    this.fields[field] = tf.keep(value);
    before?.dispose();
  }

  clearGrad(): void {
    this.fields.grad?.dispose();
    delete this.fields.grad;
  }

  free(): void {
    for (const tensor of Object.values(this.fields)) tensor.dispose();
  }
}

export class TfDense extends Stored implements DenseParam {
  readonly kind = "dense";
  readonly shape: readonly number[];

  constructor(name: string, shape: readonly number[]) {
    super(name, shape, null);
    this.shape = [...shape];
  }
}

export class TfSparse extends Stored implements SparseParam {
  readonly kind = "sparse";
  readonly shape: readonly [number, number];

  constructor(name: string, shape: readonly [number, number], protect: Protect) {
    super(name, shape, protect);
    this.shape = [...shape];
  }
}

export function activationOf(x: Activation): TfActivation {
  assert(x instanceof TfActivation, "activation of another engine");
  return x;
}

export function keptOf(x: KeptSet): TfKept {
  assert(x instanceof TfKept, "kept set of another engine");
  return x;
}

export function storedOf(p: Param): TfDense | TfSparse {
  assert(p instanceof TfDense || p instanceof TfSparse, `parameter ${p.name} of another engine`);
  return p;
}
