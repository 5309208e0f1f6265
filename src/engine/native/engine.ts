/**
 * The native engine: the engine interface on the compiled kernels (native/). Storage is blocked and feature-major
 * (native/layout.h); this file owns handles, their pool, and the checks that the addon leaves out.
 */
import { availableParallelism } from "node:os";
import { assert, inputError } from "../../util/errors.ts";
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
import { checkActivation, checkEntries, checkMatrix, checkThreads, outOfMemory, WIDEST_HEAD } from "../limits.ts";
import {
  type ActivationRef,
  type Addon,
  type ContextRef,
  type DenseRef,
  type KeptRef,
  loadAddon,
  type SparseRef,
} from "./addon.ts";

/** Instruction sets from slowest to fastest; the position is the addon's code. */
export const ISAS = ["plain", "avx2", "avx512"] as const;
export type Isa = (typeof ISAS)[number];

interface NativeActivation extends Activation {
  readonly ref: ActivationRef;
  /** Views made of this handle, kept so that a repeated step makes none. */
  readonly slices: Map<number, NativeActivation>;
  readonly isView: boolean;
}
interface NativeKept extends KeptSet {
  readonly ref: KeptRef;
}
interface NativeDense extends DenseParam {
  readonly ref: DenseRef;
}
interface NativeSparse extends SparseParam {
  readonly ref: SparseRef;
  readonly protect: Protect;
}

const FIELD: Record<ParamField, number> = { value: 0, grad: 1, m: 2, v: 3 };
const NORM: Record<NormKind, number> = { rms: 0, layer: 1 };
const NONLINEARITY: Record<Nonlinearity, number> = { gelu: 0, relu: 1 };
/** Largest j that the kernels' selection supports. */
const MOST_PROTECTED = 64;

const act = (x: Activation): ActivationRef => (x as NativeActivation).ref;
const kept = (x: KeptSet): KeptRef => (x as NativeKept).ref;
const den = (p: DenseParam): DenseRef => (p as NativeDense).ref;
const denOrNull = (p: DenseParam | null): DenseRef | null => p && (p as NativeDense).ref;
const spa = (p: SparseParam): SparseRef => (p as NativeSparse).ref;
const entries = (tokens: TokenShape, width: number): number => tokens.batch * tokens.length * width;
/** One number for a shape; sizes below 2^16 tokens a side and 2^20 channels. */
const shapeKey = (tokens: TokenShape, width: number): number =>
  (tokens.batch * 65536 + tokens.length) * 1048576 + width;

function enough(ok: boolean): void {
  if (!ok) throw outOfMemory();
}

/** Gradients of an embedding are written by rows of tokens, so it must be stored by them. */
function checkTable(table: SparseParam): void {
  assert((table as NativeSparse).protect !== "col", `${table.name}: an embedding made for protect col`);
}

/** A new handle. The addon throws when there is no memory for it. */
function taken<Ref>(take: () => Ref): Ref {
  try {
    return take();
  } catch (error) {
    throw outOfMemory(error);
  }
}

class Pool<T extends { readonly tokens: TokenShape; readonly width: number }> {
  private readonly free = new Map<number, T[]>();
  take(tokens: TokenShape, width: number): T | undefined {
    return this.free.get(shapeKey(tokens, width))?.pop();
  }
  give(x: T): void {
    const key = shapeKey(x.tokens, x.width);
    const list = this.free.get(key);
    if (list) list.push(x);
    else this.free.set(key, [x]);
  }
  clear(): void {
    this.free.clear();
  }
}

class NativeEngine implements Engine {
  readonly info: EngineInfo;
  private readonly addon: Addon;
  private readonly context: ContextRef;
  private readonly activations = new Pool<NativeActivation>();
  private readonly keptSets = new Pool<NativeKept>();

  constructor(addon: Addon, isa: Isa, threads: number) {
    this.addon = addon;
    this.context = addon.engine(ISAS.indexOf(isa), threads);
    this.info = { name: "native", isa, threads };
  }

  mayWait(allowed: boolean): void {
    this.addon.mayWait(this.context, allowed);
  }

  activation(tokens: TokenShape, width: number): Activation {
    const pooled = this.activations.take(tokens, width);
    if (pooled) return pooled;
    const { batch, length } = tokens;
    checkActivation(tokens, width);
    const ref = taken(() => this.addon.activation(batch, length, width));
    return { tokens, width, ref, slices: new Map(), isView: false } as NativeActivation;
  }

  keptSet(tokens: TokenShape, width: number): KeptSet {
    const pooled = this.keptSets.take(tokens, width);
    if (pooled) return pooled;
    const ref = taken(() => this.addon.keptSet(tokens.batch, tokens.length, width));
    return { tokens, width, ref } as NativeKept;
  }

  slice(x: Activation, start: number, width: number): Activation {
    const whole = x as NativeActivation;
    assert(start >= 0 && start + width <= x.width, `slice [${start}, ${start + width}) of ${x.width} channels`);
    const key = start * 1048576 + width;
    let view = whole.slices.get(key);
    if (!view) {
      const ref = this.addon.slice(whole.ref, start, width);
      view = { tokens: x.tokens, width, ref, slices: new Map(), isView: true };
      whole.slices.set(key, view);
    }
    return view;
  }

  release(handle: Activation | KeptSet): void {
    if ("slices" in handle) {
      if (!(handle as NativeActivation).isView) this.activations.give(handle as NativeActivation);
    } else {
      this.keptSets.give(handle as NativeKept);
    }
  }

  memoryBytes(): number {
    return this.addon.memoryBytes();
  }

  write(x: Activation, values: Float32Array): void {
    assert(values.length === entries(x.tokens, x.width), `write: ${values.length} values`);
    this.addon.write(act(x), values);
  }

  read(x: Activation): Float32Array {
    const out = new Float32Array(entries(x.tokens, x.width));
    this.addon.read(act(x), out);
    return out;
  }

  readKept(x: KeptSet): Uint8Array {
    const out = new Uint8Array(entries(x.tokens, x.width));
    this.addon.readKept(kept(x), out);
    return out;
  }

  fill(x: Activation, value: number): void {
    this.addon.fill(act(x), value);
  }

  /** Pooled handles are freed by the garbage collector, like all others. */
  dispose(): void {
    this.activations.clear();
    this.keptSets.clear();
  }

  dense(name: string, shape: readonly number[]): DenseParam {
    const cols = shape[shape.length - 1] ?? 1;
    const rows = shape.slice(0, -1).reduce((a, b) => a * b, 1);
    checkEntries(name, shape);
    const ref = taken(() => this.addon.dense(rows, cols));
    return { kind: "dense", name, shape, ref } as NativeDense;
  }

  sparse(name: string, shape: readonly [number, number], protect: Protect): SparseParam {
    checkMatrix(name, shape);
    const ref = taken(() => this.addon.sparse(shape[0], shape[1], protect === "row" ? 1 : protect === "col" ? 2 : 0));
    return { kind: "sparse", name, shape, protect, ref } as NativeSparse;
  }

  readParam(p: Param, field: ParamField): Float32Array {
    const out = new Float32Array(p.shape.reduce((a, b) => a * b, 1));
    if (p.kind === "dense") this.addon.readDense(den(p), FIELD[field], out);
    else this.addon.readSparse(spa(p), FIELD[field], out);
    return out;
  }

  writeParam(p: Param, field: ParamField, values: Float32Array): void {
    const size = p.shape.reduce((a, b) => a * b, 1);
    assert(values.length === size, `${p.name}: ${values.length} values for ${size} entries`);
    if (p.kind === "dense") this.addon.writeDense(den(p), FIELD[field], values);
    else enough(this.addon.writeSparse(spa(p), FIELD[field], values));
  }

  nonzeros(p: Param): number {
    return p.kind === "dense" ? this.addon.nonzerosDense(den(p)) : this.addon.nonzerosSparse(spa(p));
  }

  clearGrads(params: readonly Param[]): void {
    for (const p of params) {
      if (p.kind === "dense") this.addon.clearDense(den(p));
      else this.addon.clearSparse(spa(p));
    }
  }

  gradSumSquares(params: readonly Param[]): number {
    let total = 0;
    for (const p of params) {
      const sum =
        p.kind === "dense"
          ? this.addon.squaresDense(this.context, den(p))
          : this.addon.squaresSparse(this.context, spa(p));
      enough(!(sum < 0));
      total += sum;
    }
    return total;
  }

  keptGradSumSquares(p: SparseParam): number {
    const sum = this.addon.squaresKept(this.context, spa(p));
    enough(!(sum < 0));
    return sum;
  }

  adam(p: Param, s: AdamStep): void {
    const decay = s.weightDecay * s.lr;
    const keep = s.keep ?? -1;
    if (p.kind === "dense") {
      enough(
        this.addon.adamDense(
          this.context,
          den(p),
          s.gradScale,
          s.lr,
          s.beta1,
          s.beta2,
          s.eps,
          s.correction1,
          s.correction2,
          decay,
          keep,
        ),
      );
      return;
    }
    const minPerNeuron = s.minPerNeuron ?? 0;
    assert(minPerNeuron <= MOST_PROTECTED, `minPerNeuron ${minPerNeuron} is over ${MOST_PROTECTED}`);
    const protect = s.protect ?? null;
    const gap = s.gap ?? 1;
    assert(
      keep < 0 || minPerNeuron === 0 || protect === (p as NativeSparse).protect,
      `${p.name}: made for protect ${(p as NativeSparse).protect}, stepped with ${protect}`,
    );
    enough(
      this.addon.adamSparse(
        this.context,
        spa(p),
        s.gradScale,
        s.lr,
        s.beta1,
        s.beta2,
        s.eps,
        s.correction1,
        s.correction2,
        decay,
        keep,
        minPerNeuron,
        s.beta1 ** gap,
        s.beta2 ** gap,
        s.keptOnly !== undefined,
        s.keptOnly?.droppedM ?? 1,
        s.keptOnly?.droppedV ?? 1,
      ),
    );
  }

  embed(table: SparseParam, ids: Int32Array, out: Activation): void {
    checkTable(table);
    this.addon.embed(this.context, spa(table), ids, act(out));
  }

  embedBackward(dout: Activation, ids: Int32Array, table: SparseParam): void {
    checkTable(table);
    enough(this.addon.embedBackward(this.context, act(dout), ids, spa(table)));
  }

  embedBackwardKept(dout: Activation, ids: Int32Array, table: SparseParam): void {
    checkTable(table);
    enough(this.addon.embedBackwardKept(this.context, act(dout), ids, spa(table)));
  }

  positions(table: DenseParam, out: Activation): void {
    this.addon.positions(this.context, den(table), act(out));
  }

  positionsBackward(dout: Activation, table: DenseParam): void {
    this.addon.positionsBackward(this.context, act(dout), den(table));
  }

  norm(
    kind: NormKind,
    x: Activation,
    weight: DenseParam,
    bias: DenseParam | null,
    out: Activation,
    stats: Activation,
  ): void {
    this.addon.norm(this.context, NORM[kind], act(x), den(weight), denOrNull(bias), act(out), act(stats));
  }

  normBackward(
    kind: NormKind,
    x: Activation,
    weight: DenseParam,
    bias: DenseParam | null,
    stats: Activation,
    dout: Activation,
    dx: Activation,
    add: boolean,
    weights: boolean,
  ): void {
    enough(
      this.addon.normBackward(
        this.context,
        NORM[kind],
        act(x),
        den(weight),
        denOrNull(bias),
        act(stats),
        act(dout),
        act(dx),
        add,
        weights,
      ),
    );
  }

  copy(x: Activation, out: Activation, add: boolean): void {
    this.addon.copy(this.context, act(x), act(out), add);
  }

  sum(a: Activation, b: Activation, out: Activation): void {
    this.addon.sum(this.context, act(a), act(b), act(out));
  }

  linear(x: Activation, w: SparseParam, bias: DenseParam | null, out: Activation): void {
    enough(this.addon.linear(this.context, act(x), spa(w), denOrNull(bias), act(out)));
  }

  linearBackwardInput(dout: Activation, w: SparseParam, dx: Activation, add: boolean): void {
    enough(this.addon.linearBackwardInput(this.context, act(dout), spa(w), act(dx), add));
  }

  linearBackwardWeight(x: Activation, dout: Activation, w: SparseParam): void {
    enough(this.addon.linearBackwardWeight(this.context, act(x), act(dout), spa(w)));
  }

  linearBackwardWeightKept(x: Activation, dout: Activation, w: SparseParam): void {
    enough(this.addon.linearBackwardWeightKept(this.context, act(x), act(dout), spa(w)));
  }

  biasBackward(dout: Activation, bias: DenseParam): void {
    enough(this.addon.biasBackward(this.context, act(dout), den(bias)));
  }

  nonlinearity(kind: Nonlinearity, x: Activation, out: Activation): void {
    this.addon.nonlinearity(this.context, NONLINEARITY[kind], act(x), act(out));
  }

  nonlinearityBackward(
    kind: Nonlinearity,
    x: Activation,
    dout: Activation,
    keptSet: KeptSet | null,
    dx: Activation,
    add: boolean,
  ): void {
    const only = keptSet && kept(keptSet);
    this.addon.nonlinearityBackward(this.context, NONLINEARITY[kind], act(x), act(dout), only, act(dx), add);
  }

  absTopK(x: Activation, k: number, out: Activation, keptSet: KeptSet): void {
    this.addon.absTopK(this.context, act(x), Math.min(k, x.width), act(out), kept(keptSet));
  }

  nonlinearityTopK(kind: Nonlinearity, x: Activation, k: number, out: Activation, keptSet: KeptSet): void {
    const most = Math.min(k, x.width);
    this.addon.nonlinearityTopK(this.context, NONLINEARITY[kind], act(x), most, act(out), kept(keptSet));
  }

  absTopKBackward(dout: Activation, keptSet: KeptSet, dx: Activation, add: boolean): void {
    this.addon.absTopKBackward(this.context, act(dout), kept(keptSet), act(dx), add);
  }

  mask(x: Activation, mask: DenseParam, mean: DenseParam, out: Activation): void {
    this.addon.mask(this.context, act(x), den(mask), den(mean), act(out));
  }

  maskBackward(
    x: Activation,
    mask: DenseParam,
    mean: DenseParam,
    dout: Activation,
    dx: Activation,
    add: boolean,
  ): void {
    enough(this.addon.maskBackward(this.context, act(x), den(mask), den(mean), act(dout), act(dx), add));
  }

  patch(x: Activation, values: Activation, where: Activation, out: Activation): void {
    this.addon.patch(this.context, act(x), act(values), act(where), act(out));
  }

  patchBackward(dout: Activation, where: Activation, dx: Activation, add: boolean): void {
    this.addon.patchBackward(this.context, act(dout), act(where), act(dx), add);
  }

  attention(
    q: Activation,
    k: Activation,
    v: Activation,
    sink: DenseParam | null,
    heads: number,
    out: Activation,
    lse: Activation,
  ): void {
    assert(q.width / heads <= WIDEST_HEAD, `head width ${q.width / heads} is over ${WIDEST_HEAD}`);
    this.addon.attention(this.context, act(q), act(k), act(v), denOrNull(sink), heads, act(out), act(lse));
  }

  attentionBackward(
    q: Activation,
    k: Activation,
    v: Activation,
    sink: DenseParam | null,
    heads: number,
    out: Activation,
    lse: Activation,
    dout: Activation,
    dq: Activation,
    dk: Activation,
    dv: Activation,
    weights: boolean,
  ): void {
    enough(
      this.addon.attentionBackward(
        this.context,
        act(q),
        act(k),
        act(v),
        denOrNull(sink),
        heads,
        act(out),
        act(lse),
        act(dout),
        act(dq),
        act(dk),
        act(dv),
        weights,
      ),
    );
  }

  addRows(x: Activation, table: DenseParam, ids: Int32Array): void {
    this.addon.addRows(this.context, act(x), den(table), ids);
  }

  addRow(x: Activation, row: DenseParam): void {
    this.addon.addRow(this.context, act(x), den(row));
  }

  addRowsBackward(dx: Activation, ids: Int32Array, table: DenseParam): void {
    enough(this.addon.addRowsBackward(this.context, act(dx), ids, den(table)));
  }

  gatherTokens(x: Activation, index: Int32Array, out: Activation): void {
    this.addon.gatherTokens(act(x), index, act(out));
  }

  gatherTokensBackward(dout: Activation, index: Int32Array, dx: Activation): void {
    this.addon.gatherTokensBackward(act(dout), index, act(dx));
  }

  unembedLoss(a: UnembedLoss): number {
    const loss = this.addon.unembedLoss(
      this.context,
      act(a.x),
      spa(a.unembed),
      denOrNull(a.logitsBias),
      denOrNull(a.bigram),
      a.tokens,
      a.targets,
      a.dlogits && act(a.dlogits),
    );
    enough(!(loss < 0));
    return loss;
  }

  pairLoss(logits: Activation, right: Int32Array, wrong: Int32Array, dlogits: Activation | null): Float32Array {
    const losses = new Float32Array(right.length);
    this.addon.pairLoss(act(logits), right, wrong, dlogits && act(dlogits), losses);
    return losses;
  }
}

export interface NativeOptions {
  /** Default: all cores. */
  readonly threads?: number | undefined;
  /** Default: the fastest set the machine has, or the environment variable SPARSE_ISA. */
  readonly isa?: string | undefined;
}

/** Which instruction sets this machine runs, slowest first. Throws when the addon is missing. */
export function nativeIsas(): Isa[] {
  const addon = loadAddon();
  return ISAS.filter((_, code) => addon.supports(code));
}

/**
 * Throws an Error saying why the native engine is not available, and an input error for an instruction set or a number
 * of threads that there cannot be.
 */
export function loadNativeEngine(options: NativeOptions = {}): Engine {
  const addon = loadAddon();
  const available = ISAS.filter((_, code) => addon.supports(code));
  const wanted = options.isa ?? (process.env.SPARSE_ISA || undefined); // empty is unset, as for most programs
  const threads = options.threads ?? availableParallelism();
  checkThreads(threads);
  const isa = wanted === undefined ? available[available.length - 1]! : available.find((name) => name === wanted);
  if (!isa) {
    const known = ISAS.some((name) => name === wanted);
    throw inputError(
      "isa",
      known
        ? `This machine does not run the instruction set "${wanted}"`
        : `There is no instruction set "${wanted}"; SPARSE_ISA is one of ${ISAS.join(", ")}`,
      `Unset SPARSE_ISA, or choose one that this machine runs: ${available.join(", ")}.`,
    );
  }
  return new NativeEngine(addon, isa, threads);
}
