/**
 * The engine interface: everything that computes. The model, training and pruning are written once against it.
 *
 * Contract
 * - Handles (`Activation`, `KeptSet`, `DenseParam`, `SparseParam`) are opaque: shape plus the engine's own storage and
 *   layout. A handle belongs to the engine that made it.
 * - Kernels write into handles that the caller allocated. `add` says whether a gradient is added to what the
 *   destination holds (true) or replaces it (false).
 * - Weight gradients accumulate: the first write after `clearGrads` replaces, later ones add.
 * - Everything is float32 with a fixed order of summation: the same inputs give the same bytes at any thread count.
 * - `activation` takes memory from a pool and `release` returns it: a step that repeats allocates nothing.
 *
 * Dimensions: B batch, T position, N = B*T tokens, D residual channels, H heads, K head width, F neurons,
 * V vocabulary, L layers, O/I out/in features, Z stored nonzeros. A gradient of x is dx.
 */

export type EngineName = "reference" | "native" | "tensorflow";

export interface EngineInfo {
  readonly name: EngineName;
  /** Instruction set that runs: `avx512`, `avx2`, `plain` or `javascript`; or the backend of TensorFlow.js. */
  readonly isa: string;
  readonly threads: number;
}

/** The token axis of an activation: `batch` sequences of `length` positions. */
export interface TokenShape {
  readonly batch: number;
  readonly length: number;
}

/** Values of one site or layer for every token: [B, T, width]. */
export interface Activation {
  readonly tokens: TokenShape;
  readonly width: number;
}

/** One bit for each entry of an activation: kept by AbsTopK or not. */
export interface KeptSet {
  readonly tokens: TokenShape;
  readonly width: number;
}

/** A parameter stored dense with dense moments: norm weights, biases, sinks, bigram table, positions. */
export interface DenseParam {
  readonly kind: "dense";
  readonly name: string;
  readonly shape: readonly number[];
}

/** A weight matrix (O, I), y = x W^T, of which most entries are zero. Gradient and moments are dense. */
export interface SparseParam {
  readonly kind: "sparse";
  readonly name: string;
  readonly shape: readonly [number, number];
}

export type Param = DenseParam | SparseParam;

/** What a parameter holds: the value, its gradient, and Adam's first and second moments. */
export type ParamField = "value" | "grad" | "m" | "v";

/** Which entries of each neuron or channel the projection keeps first: along rows, columns, or none. */
export type Protect = "row" | "col" | null;

/** One optimizer step of one parameter: Adam, then projection onto the k largest magnitudes, then decay. */
export interface AdamStep {
  /** Multiplies the gradient (the normalisation by its RMS). */
  readonly gradScale: number;
  readonly lr: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  /** 1 - beta1^t and 1 - beta2^t with t counted from 1. */
  readonly correction1: number;
  readonly correction2: number;
  /** Decoupled: p -= weightDecay * lr * p after the projection. 0 for parameters that do not decay. */
  readonly weightDecay: number;
  /** Entries to keep; undefined keeps all. */
  readonly keep?: number | undefined;
  readonly protect?: Protect | undefined;
  /** j: how many entries of each protected row or column are kept first, within `keep`. */
  readonly minPerNeuron?: number | undefined;
  /**
   * How many steps the gradient of an entry that is zero stands for: m = beta1^gap m + (1 - beta1^gap) g, and v alike.
   * Default 1. Sparse parameters only, as the next.
   */
  readonly gap?: number | undefined;
  /**
   * A step of the nonzero entries alone: the others keep their moments and stay zero. The moments of an entry that
   * becomes zero are multiplied by these factors.
   */
  readonly keptOnly?: { readonly droppedM: number; readonly droppedV: number } | undefined;
}

export type NormKind = "rms" | "layer";
export type Nonlinearity = "gelu" | "relu";

/** Next-token loss of a batch and the gradient of its logits. */
export interface UnembedLoss {
  readonly x: Activation;
  readonly unembed: SparseParam;
  readonly logitsBias: DenseParam | null;
  readonly bigram: DenseParam | null;
  /** Current token of each position, [N]. */
  readonly tokens: Int32Array;
  /** Next token of each position, [N]; -1 is not counted. */
  readonly targets: Int32Array;
  /** Receives d(mean loss)/d(logits), [B, T, V]; null to skip. */
  readonly dlogits: Activation | null;
}

export interface Engine {
  readonly info: EngineInfo;
  /**
   * Kernels may wait for their neighbours and run with them, in the order of the calls; nobody can tell but for the time.
   * False: each runs when it is called, so that it can be timed. Absent where nothing waits.
   */
  mayWait?(allowed: boolean): void;

  // ---- memory
  /** A handle with undefined contents, from the pool. */
  activation(tokens: TokenShape, width: number): Activation;
  keptSet(tokens: TokenShape, width: number): KeptSet;
  /** A view of channels [start, start + width) of x; shares storage; is not released itself. */
  slice(x: Activation, start: number, width: number): Activation;
  release(handle: Activation | KeptSet): void;
  /** Bytes held for activations (used and pooled) and parameters. */
  memoryBytes(): number;
  /** values: row-major [B, T, width]. */
  write(x: Activation, values: Float32Array): void;
  /** Row-major [B, T, width]. */
  read(x: Activation): Float32Array;
  /** 1 where kept, row-major [B, T, width]. */
  readKept(x: KeptSet): Uint8Array;
  fill(x: Activation, value: number): void;
  /** Frees everything that the engine holds. */
  dispose(): void;

  // ---- parameters
  dense(name: string, shape: readonly number[]): DenseParam;
  sparse(name: string, shape: readonly [number, number], protect: Protect): SparseParam;
  /** Row-major values. Gradients and moments that were never written are zero. */
  readParam(p: Param, field: ParamField): Float32Array;
  writeParam(p: Param, field: ParamField, values: Float32Array): void;
  /** Number of entries that are not zero. */
  nonzeros(p: Param): number;
  /** Forgets the gradients of these parameters. */
  clearGrads(params: readonly Param[]): void;
  /** Sum of squares of all gradient entries, in float64. */
  gradSumSquares(params: readonly Param[]): number;
  /** The same at the nonzero entries alone, of a gradient of all entries. */
  keptGradSumSquares(p: SparseParam): number;
  adam(p: Param, step: AdamStep): void;

  // ---- ops: forward and backward
  /** out[n] = table[ids[n]] */
  embed(table: SparseParam, ids: Int32Array, out: Activation): void;
  embedBackward(dout: Activation, ids: Int32Array, table: SparseParam): void;
  /** The same at the nonzero entries alone; the gradient of the others is zero. Not both kinds between two clears. */
  embedBackwardKept(dout: Activation, ids: Int32Array, table: SparseParam): void;
  /** out[b, t] = table[t]; the table is (block, P) */
  positions(table: DenseParam, out: Activation): void;
  positionsBackward(dout: Activation, table: DenseParam): void;
  /**
   * rms: x / sqrt(mean(x^2) + eps) * weight; layer: (x - mean) / sqrt(var + eps) * weight + bias.
   * stats has width 2 and holds what `normBackward` may want to know of each token: an engine's own business.
   */
  norm(
    kind: NormKind,
    x: Activation,
    weight: DenseParam,
    bias: DenseParam | null,
    out: Activation,
    stats: Activation,
  ): void;
  /** dweight and dbias are written when `weights` is true. */
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
  ): void;
  /** out (+)= x */
  copy(x: Activation, out: Activation, add: boolean): void;
  /** out = a + b */
  sum(a: Activation, b: Activation, out: Activation): void;
  /** out = x W^T + bias */
  linear(x: Activation, w: SparseParam, bias: DenseParam | null, out: Activation): void;
  linearBackwardInput(dout: Activation, w: SparseParam, dx: Activation, add: boolean): void;
  /** dW (+)= dout^T x, all entries */
  linearBackwardWeight(x: Activation, dout: Activation, w: SparseParam): void;
  /** The same at the nonzero entries alone; the gradient of the others is zero. Not both kinds between two clears. */
  linearBackwardWeightKept(x: Activation, dout: Activation, w: SparseParam): void;
  /** dbias (+)= sum over tokens of dout */
  biasBackward(dout: Activation, bias: DenseParam): void;
  nonlinearity(kind: Nonlinearity, x: Activation, out: Activation): void;
  /** dx (+)= dout * slope at x where `kept`, else (+)= 0; null: everywhere. */
  nonlinearityBackward(
    kind: Nonlinearity,
    x: Activation,
    dout: Activation,
    kept: KeptSet | null,
    dx: Activation,
    add: boolean,
  ): void;
  /** Keeps the k entries of largest magnitude of each token, zeroes the rest; ties: lowest index. out may be x. */
  absTopK(x: Activation, k: number, out: Activation, kept: KeptSet): void;
  /** `nonlinearity`, then `absTopK` of its result, block by block. out must not be x. */
  nonlinearityTopK(kind: Nonlinearity, x: Activation, k: number, out: Activation, kept: KeptSet): void;
  /** dx (+)= dout where kept, else (+)= 0. dx may be dout. */
  absTopKBackward(dout: Activation, kept: KeptSet, dx: Activation, add: boolean): void;
  /** out = mask * x + (1 - mask) * mean; mask and mean have one entry per channel. out must not be x. */
  mask(x: Activation, mask: DenseParam, mean: DenseParam, out: Activation): void;
  /** dx (+)= mask * dout; the gradient of mask (+)= sum over tokens of dout * (x - mean) */
  maskBackward(x: Activation, mask: DenseParam, mean: DenseParam, dout: Activation, dx: Activation, add: boolean): void;
  /** out = where ? values : x, entry by entry; `where` and `values` have x's shape, `where` holds 0 or 1. */
  patch(x: Activation, values: Activation, where: Activation, out: Activation): void;
  /** dx (+)= where ? 0 : dout */
  patchBackward(dout: Activation, where: Activation, dx: Activation, add: boolean): void;
  /**
   * Causal attention of `heads` heads; scale 1/sqrt(head width); `sink` (H) is a logit that joins each softmax's
   * denominator only. lse has width H and holds what `attentionBackward` may want to know: an engine's own business.
   */
  attention(
    q: Activation,
    k: Activation,
    v: Activation,
    sink: DenseParam | null,
    heads: number,
    out: Activation,
    lse: Activation,
  ): void;
  /** Replaces dq, dk, dv; the gradient of sink is written when `weights` is true. */
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
  ): void;
  /** x[n] += table[ids[n]], in place */
  addRows(x: Activation, table: DenseParam, ids: Int32Array): void;
  /** x[n] += row for every token, in place */
  addRow(x: Activation, row: DenseParam): void;
  /** dtable[ids[n]] (+)= dx[n]. The last row gets none (a quirk of the release's lookup). */
  addRowsBackward(dx: Activation, ids: Int32Array, table: DenseParam): void;
  /** out[0, p] = x[index[p]], index into the B*T tokens; out is (1, P) */
  gatherTokens(x: Activation, index: Int32Array, out: Activation): void;
  /** dx[index[p]] += dout[p] */
  gatherTokensBackward(dout: Activation, index: Int32Array, dx: Activation): void;
  /** Mean cross entropy over the counted positions of targets, without keeping N x V logits twice. */
  unembedLoss(args: UnembedLoss): number;
  /**
   * Two-way cross entropy softplus(z[wrong] - z[right]) of each row of logits (1, P, V). Returns the P losses;
   * dlogits, when given, receives the gradient of their mean.
   */
  pairLoss(logits: Activation, right: Int32Array, wrong: Int32Array, dlogits: Activation | null): Float32Array;
}
