/**
 * Loads the compiled addon and types its functions. Handles are opaque externals; arguments are not checked there, so
 * only `NativeEngine` calls them.
 */
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

declare const external: unique symbol;
/** A pointer owned by the addon. */
type External<Kind extends string> = { readonly [external]: Kind };
export type ContextRef = External<"context">;
export type ActivationRef = External<"activation">;
export type KeptRef = External<"kept">;
export type DenseRef = External<"dense">;
export type SparseRef = External<"sparse">;

type C = ContextRef;
type A = ActivationRef;
type D = DenseRef;
type S = SparseRef;

export interface Addon {
  engine(isa: number, threads: number): C;
  supports(isa: number): boolean;
  memoryBytes(): number;
  mayWait(c: C, allowed: boolean): void;
  activation(batch: number, length: number, width: number): A;
  slice(x: A, start: number, width: number): A;
  keptSet(batch: number, length: number, width: number): KeptRef;
  write(x: A, values: Float32Array): void;
  read(x: A, out: Float32Array): void;
  readKept(x: KeptRef, out: Uint8Array): void;
  fill(x: A, value: number): void;
  dense(rows: number, cols: number): D;
  sparse(rows: number, cols: number, protect: number): S;
  readDense(p: D, field: number, out: Float32Array): void;
  writeDense(p: D, field: number, values: Float32Array): void;
  readSparse(p: S, field: number, out: Float32Array): void;
  writeSparse(p: S, field: number, values: Float32Array): boolean;
  nonzerosDense(p: D): number;
  nonzerosSparse(p: S): number;
  clearDense(p: D): void;
  clearSparse(p: S): void;
  /** Negative when memory ran out, like the next two. */
  squaresDense(c: C, p: D): number;
  squaresSparse(c: C, p: S): number;
  squaresKept(c: C, p: S): number;
  adamDense(
    c: C,
    p: D,
    gradScale: number,
    lr: number,
    beta1: number,
    beta2: number,
    eps: number,
    correction1: number,
    correction2: number,
    decay: number,
    keep: number,
  ): boolean;
  adamSparse(
    c: C,
    p: S,
    gradScale: number,
    lr: number,
    beta1: number,
    beta2: number,
    eps: number,
    correction1: number,
    correction2: number,
    decay: number,
    keep: number,
    protect: number,
    gap1: number,
    gap2: number,
    keptOnly: boolean,
    droppedM: number,
    droppedV: number,
  ): boolean;
  embed(c: C, table: S, ids: Int32Array, out: A): void;
  embedBackward(c: C, dout: A, ids: Int32Array, table: S): boolean;
  embedBackwardKept(c: C, dout: A, ids: Int32Array, table: S): boolean;
  positions(c: C, table: D, out: A): void;
  positionsBackward(c: C, dout: A, table: D): void;
  norm(c: C, kind: number, x: A, weight: D, bias: D | null, out: A, stats: A): void;
  normBackward(
    c: C,
    kind: number,
    x: A,
    weight: D,
    bias: D | null,
    stats: A,
    dout: A,
    dx: A,
    add: boolean,
    weights: boolean,
  ): boolean;
  copy(c: C, x: A, out: A, add: boolean): void;
  sum(c: C, a: A, b: A, out: A): void;
  linear(c: C, x: A, w: S, bias: D | null, out: A): boolean;
  linearBackwardInput(c: C, dout: A, w: S, dx: A, add: boolean): boolean;
  linearBackwardWeight(c: C, x: A, dout: A, w: S): boolean;
  linearBackwardWeightKept(c: C, x: A, dout: A, w: S): boolean;
  biasBackward(c: C, dout: A, bias: D): boolean;
  nonlinearity(c: C, kind: number, x: A, out: A): void;
  nonlinearityBackward(c: C, kind: number, x: A, dout: A, kept: KeptRef | null, dx: A, add: boolean): void;
  absTopK(c: C, x: A, k: number, out: A, kept: KeptRef): void;
  nonlinearityTopK(c: C, kind: number, x: A, k: number, out: A, kept: KeptRef): void;
  absTopKBackward(c: C, dout: A, kept: KeptRef, dx: A, add: boolean): void;
  mask(c: C, x: A, mask: D, mean: D, out: A): void;
  maskBackward(c: C, x: A, mask: D, mean: D, dout: A, dx: A, add: boolean): boolean;
  patch(c: C, x: A, values: A, where: A, out: A): void;
  patchBackward(c: C, dout: A, where: A, dx: A, add: boolean): void;
  attention(c: C, q: A, k: A, v: A, sink: D | null, heads: number, out: A, lse: A): void;
  attentionBackward(
    c: C,
    q: A,
    k: A,
    v: A,
    sink: D | null,
    heads: number,
    out: A,
    lse: A,
    dout: A,
    dq: A,
    dk: A,
    dv: A,
    weights: boolean,
  ): boolean;
  addRows(c: C, x: A, table: D, ids: Int32Array): void;
  addRow(c: C, x: A, row: D): void;
  addRowsBackward(c: C, dx: A, ids: Int32Array, table: D): boolean;
  gatherTokens(x: A, index: Int32Array, out: A): void;
  gatherTokensBackward(dout: A, index: Int32Array, dx: A): void;
  pairLoss(logits: A, right: Int32Array, wrong: Int32Array, dlogits: A | null, losses: Float32Array): void;
  /** Negative when memory ran out. */
  unembedLoss(
    c: C,
    x: A,
    unembed: S,
    bias: D | null,
    bigram: D | null,
    tokens: Int32Array,
    targets: Int32Array,
    dlogits: A | null,
  ): number;
  /** Multiply-adds on registers, on all threads; returns the floating point operations that were done. */
  peakFma(c: C, rounds: number): number;
  /** Reads the array once, in parts, on all threads. */
  peakRead(c: C, x: Float32Array): void;
}

/** The package's folder: the nearest one above this file that holds binding.gyp. */
function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "binding.gyp")) && dirname(folder) !== folder) folder = dirname(folder);
  return folder;
}

/** Throws an Error whose message says why there is no addon. */
export function loadAddon(): Addon {
  const build = join(packageRoot(), "build");
  const path = join(build, "Release", "sparse_native.node");
  if (!existsSync(path)) {
    const failure = join(build, "native-error.txt");
    const reason = existsSync(failure) ? readFileSync(failure, "utf8").split("\n")[0] : "it was never built";
    throw new Error(`the native engine is missing: ${reason}`);
  }
  try {
    return createRequire(import.meta.url)(path) as Addon;
  } catch (cause) {
    throw new Error(`the native engine cannot be loaded: ${(cause as Error).message.split("\n")[0]}`, { cause });
  }
}
