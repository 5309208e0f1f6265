/**
 * The TensorFlow.js engine: the engine interface on whatever backend TensorFlow.js has, a GPU first (backends.ts). Ops
 * are written forward (forward.ts) and differentiated by TensorFlow.js, which makes this engine an independent judge of
 * the others' gradients. Weights are dense tensors with zeros.
 *
 * Contract beyond the interface: everything stays on the device but ids, what is read, and a scalar or two of a loss or
 * norm; sums are float32 in the backend's order, so results differ from those of the other engines by rounding, and from
 * themselves where a backend's order is not fixed. `stats` and `lse` stay unwritten: gradients need no help here.
 */
import * as tf from "@tensorflow/tfjs";
import { assert } from "../../util/errors.ts";
import type {
  Activation,
  AdamStep,
  DenseParam,
  Engine,
  EngineInfo,
  KeptSet,
  Nonlinearity,
  NormKind,
  Param,
  ParamField,
  Protect,
  SparseParam,
  TokenShape,
  UnembedLoss,
} from "../engine.ts";
import { adam } from "./adam.ts";
import { type Backend, deviceError, startBackend } from "./backends.ts";
import * as forward from "./forward.ts";
import { absTopKMask } from "./largest.ts";
import type { TensorflowBackend } from "./names.ts";
import { activationOf, keptOf, storedOf, TfActivation, TfDense, TfKept, TfSparse } from "./storage.ts";

const t = (x: Activation): tf.Tensor2D => activationOf(x).tensor;
const value = <T extends tf.Tensor>(p: Param): T => storedOf(p).get("value") as T;
const valueOrNull = (p: DenseParam | null): tf.Tensor1D | null => p && value(p);
const ids = (values: Int32Array): tf.Tensor1D => tf.tensor1d(values.slice(), "int32");

/** Gradients of f at `at` for the gradient `dy` of its result. */
function gradients<T extends tf.Tensor>(f: (...args: T[]) => tf.Tensor, at: T[], dy: tf.Tensor): T[] {
  return tf.grads(f as (...args: tf.Tensor[]) => tf.Tensor)(at, dy) as T[];
}

/** The gradient of a linear f, which is the same at any place. */
function transpose(f: (x: tf.Tensor2D) => tf.Tensor, shape: readonly number[], dy: tf.Tensor): tf.Tensor2D {
  return gradients(f, [tf.zeros<tf.Rank.R2>([...shape] as [number, number])], dy)[0]!;
}

/** As `startBackend`. */
export async function startTensorflow(name?: TensorflowBackend): Promise<Engine> {
  return new TensorflowEngine(await startBackend(name));
}

export class TensorflowEngine implements Engine {
  readonly info: EngineInfo;
  private readonly backend: Backend;
  private readonly handles = new Set<TfActivation | TfKept>();
  private readonly params = new Set<TfDense | TfSparse>();

  /** Of a backend that is ready (`startBackend`). */
  constructor(backend: Backend) {
    this.backend = backend;
    this.info = { name: "tensorflow", isa: backend.name, threads: backend.threads };
  }

  /** Runs a kernel on this engine's backend; what it makes and does not keep is freed. */
  private run(kernel: () => void): void {
    try {
      this.backend.use();
      tf.tidy(kernel);
    } catch (error) {
      throw deviceError(error, this.backend);
    }
  }

  private read_(get: () => tf.Tensor): Float32Array | Int32Array | Uint8Array {
    let data: Float32Array | Int32Array | Uint8Array | undefined;
    this.run(() => {
      // The cpu backend hands out the tensor's own memory.
      data = get().dataSync().slice();
    });
    return data!;
  }

  private readScalar(get: () => tf.Tensor): number {
    return this.read_(get)[0]!;
  }

  private put(out: Activation, result: tf.Tensor2D, add = false): void {
    const handle = activationOf(out);
    handle.tensor = add ? tf.add(handle.tensor, result) : result;
  }

  private addGrad(p: Param, grad: tf.Tensor): void {
    const s = storedOf(p);
    const shaped = tf.reshape(grad, [...s.shape]);
    s.set("grad", s.has("grad") ? tf.add(s.get("grad"), shaped) : shaped);
  }

  // ---- memory

  activation(tokens: TokenShape, width: number): Activation {
    const x = new TfActivation(tokens, width);
    this.handles.add(x);
    return x;
  }

  keptSet(tokens: TokenShape, width: number): KeptSet {
    const x = new TfKept(tokens, width);
    this.handles.add(x);
    return x;
  }

  slice(x: Activation, start: number, width: number): Activation {
    return new TfActivation(x.tokens, width, { of: activationOf(x), start });
  }

  release(handle: Activation | KeptSet): void {
    const x = handle as TfActivation | TfKept;
    assert(this.handles.delete(x), "released twice, or a handle of another engine");
    x.free();
  }

  memoryBytes(): number {
    return tf.memory().numBytes;
  }

  write(x: Activation, values: Float32Array): void {
    // A copy: the cpu backend would keep the caller's array.
    this.run(() => this.put(x, tf.tensor2d(values.slice(), [activationOf(x).rows, x.width])));
  }

  read(x: Activation): Float32Array {
    return this.read_(() => t(x)) as Float32Array;
  }

  readKept(x: KeptSet): Uint8Array {
    return this.read_(() => keptOf(x).tensor) as Uint8Array;
  }

  fill(x: Activation, number: number): void {
    this.run(() => this.put(x, tf.fill([activationOf(x).rows, x.width], number)));
  }

  dispose(): void {
    for (const x of this.handles) x.free();
    for (const p of this.params) p.free();
    this.handles.clear();
    this.params.clear();
  }

  // ---- parameters

  dense(name: string, shape: readonly number[]): DenseParam {
    const p = new TfDense(name, shape);
    this.params.add(p);
    return p;
  }

  sparse(name: string, shape: readonly [number, number], protect: Protect): SparseParam {
    const p = new TfSparse(name, shape, protect);
    this.params.add(p);
    return p;
  }

  readParam(p: Param, field: ParamField): Float32Array {
    return this.read_(() => storedOf(p).get(field)) as Float32Array;
  }

  writeParam(p: Param, field: ParamField, values: Float32Array): void {
    const s = storedOf(p);
    assert(values.length === s.size, `expected ${s.size} values for ${s.name} but received ${values.length}`);
    this.run(() => s.set(field, tf.tensor(values.slice(), [...s.shape], "float32")));
  }

  nonzeros(p: Param): number {
    return this.readScalar(() => tf.sum(tf.cast(tf.notEqual(value(p), 0), "int32")));
  }

  clearGrads(params: readonly Param[]): void {
    for (const p of params) storedOf(p).clearGrad();
  }

  /** Summed in float32 within a parameter. */
  gradSumSquares(params: readonly Param[]): number {
    const written = params.map(storedOf).filter((p) => p.has("grad"));
    if (written.length === 0) return 0;
    const sums = this.read_(() => tf.stack(written.map((p) => tf.sum(tf.square(p.get("grad"))))));
    return Array.from(sums).reduce((a, b) => a + b, 0);
  }

  keptGradSumSquares(p: SparseParam): number {
    return this.readScalar(() => tf.sum(tf.square(atNonzeros(p, storedOf(p).get("grad")))));
  }

  adam(p: Param, step: AdamStep): void {
    this.run(() => adam(storedOf(p), step, this.backend.selection));
  }

  // ---- ops

  embed(table: SparseParam, index: Int32Array, out: Activation): void {
    this.run(() => this.put(out, this.backend.products.rows(value(table), ids(index))));
  }

  embedBackward(dout: Activation, index: Int32Array, table: SparseParam): void {
    this.run(() => this.addGrad(table, this.rowsGradient(dout, index, table)));
  }

  embedBackwardKept(dout: Activation, index: Int32Array, table: SparseParam): void {
    this.run(() => this.addGrad(table, atNonzeros(table, this.rowsGradient(dout, index, table))));
  }

  private rowsGradient(dout: Activation, index: Int32Array, table: SparseParam): tf.Tensor {
    return transpose((w) => this.backend.products.rows(w, ids(index)), table.shape, t(dout));
  }

  positions(table: DenseParam, out: Activation): void {
    this.run(() => this.put(out, forward.positions(value(table), out.tokens)));
  }

  positionsBackward(dout: Activation, table: DenseParam): void {
    this.run(() =>
      this.addGrad(
        table,
        transpose((w) => forward.positions(w, dout.tokens), table.shape, t(dout)),
      ),
    );
  }

  norm(kind: NormKind, x: Activation, weight: DenseParam, bias: DenseParam | null, out: Activation): void {
    this.run(() => this.put(out, forward.norm(kind, t(x), value(weight), valueOrNull(bias))));
  }

  normBackward(
    kind: NormKind,
    x: Activation,
    weight: DenseParam,
    bias: DenseParam | null,
    _stats: Activation,
    dout: Activation,
    dx: Activation,
    add: boolean,
    weights: boolean,
  ): void {
    this.run(() => {
      const f = (a: tf.Tensor, w: tf.Tensor, b?: tf.Tensor): tf.Tensor =>
        forward.norm(kind, a as tf.Tensor2D, w as tf.Tensor1D, (b as tf.Tensor1D) ?? null);
      const at: tf.Tensor[] = [t(x), value(weight), ...(bias ? [value(bias)] : [])];
      const [da, dw, db] = gradients(f as (...args: tf.Tensor[]) => tf.Tensor, at, t(dout));
      this.put(dx, da as tf.Tensor2D, add);
      if (!weights) return;
      this.addGrad(weight, dw!);
      if (bias) this.addGrad(bias, db!);
    });
  }

  copy(x: Activation, out: Activation, add: boolean): void {
    this.run(() => this.put(out, tf.clone(t(x)), add));
  }

  sum(a: Activation, b: Activation, out: Activation): void {
    this.run(() => this.put(out, tf.add(t(a), t(b))));
  }

  linear(x: Activation, w: SparseParam, bias: DenseParam | null, out: Activation): void {
    this.run(() => this.put(out, forward.linear(this.backend.products, t(x), value(w), valueOrNull(bias))));
  }

  linearBackwardInput(dout: Activation, w: SparseParam, dx: Activation, add: boolean): void {
    this.run(() => {
      const f = (x: tf.Tensor2D): tf.Tensor => forward.linear(this.backend.products, x, value(w), null);
      this.put(dx, transpose(f, [activationOf(dx).rows, dx.width], t(dout)), add);
    });
  }

  linearBackwardWeight(x: Activation, dout: Activation, w: SparseParam): void {
    this.run(() => this.addGrad(w, this.weightGradient(x, dout, w)));
  }

  linearBackwardWeightKept(x: Activation, dout: Activation, w: SparseParam): void {
    this.run(() => this.addGrad(w, atNonzeros(w, this.weightGradient(x, dout, w))));
  }

  private weightGradient(x: Activation, dout: Activation, w: SparseParam): tf.Tensor {
    return transpose((at) => forward.linear(this.backend.products, t(x), at, null), w.shape, t(dout));
  }

  biasBackward(dout: Activation, bias: DenseParam): void {
    this.run(() => this.addGrad(bias, tf.sum(t(dout), 0)));
  }

  nonlinearity(kind: Nonlinearity, x: Activation, out: Activation): void {
    this.run(() => this.put(out, forward.nonlinearity(kind, t(x))));
  }

  nonlinearityBackward(
    kind: Nonlinearity,
    x: Activation,
    dout: Activation,
    kept: KeptSet | null,
    dx: Activation,
    add: boolean,
  ): void {
    this.run(() => {
      const f = (a: tf.Tensor2D): tf.Tensor2D => {
        const y = forward.nonlinearity(kind, a);
        return kept ? forward.cut(y, keptOf(kept).tensor) : y;
      };
      this.put(dx, gradients(f, [t(x)], t(dout))[0]!, add);
    });
  }

  absTopK(x: Activation, k: number, out: Activation, kept: KeptSet): void {
    this.run(() => this.cutTo(k, t(x), out, kept));
  }

  nonlinearityTopK(kind: Nonlinearity, x: Activation, k: number, out: Activation, kept: KeptSet): void {
    this.run(() => this.cutTo(k, forward.nonlinearity(kind, t(x)), out, kept));
  }

  private cutTo(k: number, x: tf.Tensor2D, out: Activation, kept: KeptSet): void {
    const bits = absTopKMask(x, k, this.backend.selection);
    this.put(out, forward.cut(x, bits));
    keptOf(kept).tensor = bits;
  }

  absTopKBackward(dout: Activation, kept: KeptSet, dx: Activation, add: boolean): void {
    this.run(() => {
      const dy = t(dout);
      this.put(
        dx,
        transpose((x) => forward.cut(x, keptOf(kept).tensor), dy.shape, dy),
        add,
      );
    });
  }

  mask(x: Activation, mask: DenseParam, mean: DenseParam, out: Activation): void {
    this.run(() => this.put(out, forward.mask(t(x), value(mask), value(mean))));
  }

  maskBackward(
    x: Activation,
    mask: DenseParam,
    mean: DenseParam,
    dout: Activation,
    dx: Activation,
    add: boolean,
  ): void {
    this.run(() => {
      const f = (a: tf.Tensor, m: tf.Tensor): tf.Tensor =>
        forward.mask(a as tf.Tensor2D, m as tf.Tensor1D, value(mean));
      const [da, dm] = gradients(f as (...args: tf.Tensor[]) => tf.Tensor, [t(x), value(mask)], t(dout));
      this.put(dx, da as tf.Tensor2D, add);
      this.addGrad(mask, dm!);
    });
  }

  patch(x: Activation, values: Activation, where: Activation, out: Activation): void {
    this.run(() => this.put(out, forward.patch(t(x), t(values), t(where))));
  }

  patchBackward(dout: Activation, where: Activation, dx: Activation, add: boolean): void {
    this.run(() => {
      const dy = t(dout);
      this.put(
        dx,
        transpose((x) => forward.patch(x, tf.zerosLike(x), t(where)), dy.shape, dy),
        add,
      );
    });
  }

  attention(
    q: Activation,
    k: Activation,
    v: Activation,
    sink: DenseParam | null,
    heads: number,
    out: Activation,
  ): void {
    this.run(() => {
      const s = valueOrNull(sink);
      this.put(out, forward.attention(this.backend.products, t(q), t(k), t(v), s, heads, q.tokens));
    });
  }

  attentionBackward(
    q: Activation,
    k: Activation,
    v: Activation,
    sink: DenseParam | null,
    heads: number,
    _out: Activation,
    _lse: Activation,
    dout: Activation,
    dq: Activation,
    dk: Activation,
    dv: Activation,
    weights: boolean,
  ): void {
    this.run(() => {
      const f = (a: tf.Tensor2D, b: tf.Tensor2D, c: tf.Tensor2D, s?: tf.Tensor1D): tf.Tensor =>
        forward.attention(this.backend.products, a, b, c, s ?? null, heads, q.tokens);
      const at: tf.Tensor[] = [t(q), t(k), t(v), ...(sink ? [value(sink)] : [])];
      const [da, db, dc, ds] = gradients(f as (...args: tf.Tensor[]) => tf.Tensor, at, t(dout));
      this.put(dq, da as tf.Tensor2D);
      this.put(dk, db as tf.Tensor2D);
      this.put(dv, dc as tf.Tensor2D);
      if (sink && weights) this.addGrad(sink, ds!);
    });
  }

  addRows(x: Activation, table: DenseParam, index: Int32Array): void {
    this.run(() => this.put(x, this.backend.products.rows(value(table), ids(index)), true));
  }

  addRow(x: Activation, row: DenseParam): void {
    this.run(() => this.put(x, tf.add(t(x), value(row))));
  }

  addRowsBackward(dx: Activation, index: Int32Array, table: DenseParam): void {
    this.run(() => {
      const f = (w: tf.Tensor2D): tf.Tensor => forward.rowsButLast(this.backend.products, w, ids(index));
      this.addGrad(table, transpose(f, table.shape, t(dx)));
    });
  }

  gatherTokens(x: Activation, index: Int32Array, out: Activation): void {
    this.run(() => this.put(out, this.backend.products.rows(t(x), ids(index))));
  }

  gatherTokensBackward(dout: Activation, index: Int32Array, dx: Activation): void {
    this.run(() => {
      const f = (x: tf.Tensor2D): tf.Tensor => this.backend.products.rows(x, ids(index));
      this.put(dx, transpose(f, [activationOf(dx).rows, dx.width], t(dout)), true);
    });
  }

  unembedLoss({ x, unembed, logitsBias, bigram, tokens, targets, dlogits }: UnembedLoss): number {
    const { products } = this.backend;
    const counted = targets.reduce((n, target) => n + (target >= 0 ? 1 : 0), 0);
    return this.readScalar(() => {
      let logits = forward.linear(products, t(x), value(unembed), valueOrNull(logitsBias));
      if (bigram) logits = tf.add(logits, products.rows(value(bigram), ids(tokens)));
      const known = ids(targets.map((target) => Math.max(target, 0)));
      const weights = tf.tensor1d(Float32Array.from(targets, (target) => (target >= 0 ? 1 / counted : 0)));
      const loss = (z: tf.Tensor): tf.Scalar => forward.crossEntropy(z as tf.Tensor2D, known, weights);
      if (!dlogits) return loss(logits);
      const both = tf.valueAndGrad(loss)(logits);
      this.put(dlogits, both.grad as tf.Tensor2D);
      return both.value;
    });
  }

  pairLoss(logits: Activation, right: Int32Array, wrong: Int32Array, dlogits: Activation | null): Float32Array {
    return this.read_(() => {
      const losses = (z: tf.Tensor): tf.Tensor1D => forward.pairLosses(z as tf.Tensor2D, ids(right), ids(wrong));
      if (dlogits) this.put(dlogits, tf.grad((z) => tf.mean(losses(z)))(t(logits)) as tf.Tensor2D);
      return losses(t(logits));
    }) as Float32Array;
  }
}

/** Zero where the parameter is. */
function atNonzeros(p: Param, grad: tf.Tensor): tf.Tensor {
  return tf.where(tf.notEqual(value(p), 0), grad, tf.zerosLike(grad));
}
