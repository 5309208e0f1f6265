/**
 * The reference engine: plain TypeScript on Float32Arrays with sums in float64. It is the oracle that other engines
 * are held to, and what runs where none of them is built. The kernels stand beside their ops in engine/ops; here they
 * are put together with memory and parameters.
 */
import { assert } from "../util/errors.ts";
import type {
  Activation,
  AdamStep,
  DenseParam,
  Engine,
  EngineInfo,
  KeptSet,
  Param,
  ParamField,
  Protect,
  SparseParam,
  TokenShape,
} from "./engine.ts";
import { absTopKBackwardKernel, absTopKKernel } from "./ops/abs-topk.ts";
import { addRowKernel, addRowsBackwardKernel, addRowsKernel } from "./ops/add-rows.ts";
import { attentionBackwardKernel, attentionKernel } from "./ops/attention.ts";
import { copyKernel, sumKernel } from "./ops/copy.ts";
import { embedBackwardKeptKernel, embedBackwardKernel, embedKernel } from "./ops/embed.ts";
import { gatherTokensBackwardKernel, gatherTokensKernel } from "./ops/gather-tokens.ts";
import {
  biasBackwardKernel,
  linearBackwardInputKernel,
  linearBackwardWeightKeptKernel,
  linearBackwardWeightKernel,
  linearKernel,
} from "./ops/linear.ts";
import { maskBackwardKernel, maskKernel } from "./ops/mask.ts";
import { nonlinearityBackwardKernel, nonlinearityKernel, nonlinearityTopKKernel } from "./ops/nonlinearity.ts";
import { normBackwardKernel, normKernel } from "./ops/norm.ts";
import { pairLossKernel } from "./ops/pair-loss.ts";
import { patchBackwardKernel, patchKernel } from "./ops/patch.ts";
import { positionsBackwardKernel, positionsKernel } from "./ops/positions.ts";
import { unembedLossKernel } from "./ops/unembed.ts";
import { adamKernel } from "./reference/adam.ts";
import { Memory } from "./reference/memory.ts";
import { bitsOf, matrix, StoredDense, StoredSparse, stored } from "./reference/storage.ts";

export interface ReferenceOptions {
  /** Hand out memory filled with NaN, so that reading before writing shows. For tests. */
  readonly poison?: boolean;
}

export class ReferenceEngine implements Engine {
  readonly info: EngineInfo = { name: "reference", isa: "javascript", threads: 1 };
  private readonly memory: Memory;
  private readonly params = new Set<StoredDense | StoredSparse>();

  constructor(options: ReferenceOptions = {}) {
    this.memory = new Memory(options.poison ?? false);
  }

  // ---- memory

  activation(tokens: TokenShape, width: number): Activation {
    return this.memory.activation(tokens, width);
  }

  keptSet(tokens: TokenShape, width: number): KeptSet {
    return this.memory.keptSet(tokens, width);
  }

  slice(x: Activation, start: number, width: number): Activation {
    return this.memory.slice(x, start, width);
  }

  release(handle: Activation | KeptSet): void {
    this.memory.release(handle);
  }

  memoryBytes(): number {
    let bytes = this.memory.size();
    for (const p of this.params) bytes += p.bytes();
    return bytes;
  }

  write(x: Activation, values: Float32Array): void {
    const m = matrix(x);
    assert(
      values.length === m.rows * m.width,
      `expected ${m.rows * m.width} values to write but received ${values.length}`,
    );
    for (let n = 0; n < m.rows; n++) {
      m.data.set(values.subarray(n * m.width, (n + 1) * m.width), m.offset + n * m.stride);
    }
  }

  read(x: Activation): Float32Array {
    const m = matrix(x);
    const values = new Float32Array(m.rows * m.width);
    for (let n = 0; n < m.rows; n++) {
      const from = m.offset + n * m.stride;
      values.set(m.data.subarray(from, from + m.width), n * m.width);
    }
    return values;
  }

  readKept(x: KeptSet): Uint8Array {
    return bitsOf(x, x.tokens.batch * x.tokens.length, x.width).data.slice();
  }

  fill(x: Activation, value: number): void {
    const m = matrix(x);
    for (let n = 0; n < m.rows; n++) {
      const from = m.offset + n * m.stride;
      m.data.fill(value, from, from + m.width);
    }
  }

  dispose(): void {
    this.memory.clear();
    this.params.clear();
  }

  // ---- parameters

  dense(name: string, shape: readonly number[]): DenseParam {
    const p = new StoredDense(name, shape);
    this.params.add(p);
    return p;
  }

  sparse(name: string, shape: readonly [number, number], protect: Protect): SparseParam {
    const p = new StoredSparse(name, shape, protect);
    this.params.add(p);
    return p;
  }

  readParam(p: Param, field: ParamField): Float32Array {
    return stored(p).field(field).slice();
  }

  writeParam(p: Param, field: ParamField, values: Float32Array): void {
    const s = stored(p);
    assert(values.length === s.size, `expected ${s.size} values for ${s.name} but received ${values.length}`);
    (field === "grad" ? s.gradToAdd() : s.field(field)).set(values);
    if (field === "value") s.changed();
  }

  nonzeros(p: Param): number {
    let count = 0;
    for (const value of stored(p).value) if (value !== 0) count++;
    return count;
  }

  clearGrads(params: readonly Param[]): void {
    for (const p of params) stored(p).clearGrad();
  }

  gradSumSquares(params: readonly Param[]): number {
    let sum = 0;
    for (const p of params) {
      const s = stored(p);
      if (!s.hasGrad()) continue;
      const grad = s.field("grad");
      for (let i = 0; i < grad.length; i++) sum += grad[i]! * grad[i]!;
    }
    return sum;
  }

  keptGradSumSquares(p: SparseParam): number {
    const s = stored(p);
    const grad = s.field("grad");
    let sum = 0;
    for (let i = 0; i < grad.length; i++) if (s.value[i] !== 0) sum += grad[i]! * grad[i]!;
    return sum;
  }

  adam(p: Param, step: AdamStep): void {
    adamKernel(stored(p), step);
  }

  // ---- ops: each kernel is documented where it stands

  readonly embed = embedKernel;
  readonly embedBackward = embedBackwardKernel;
  readonly embedBackwardKept = embedBackwardKeptKernel;
  readonly positions = positionsKernel;
  readonly positionsBackward = positionsBackwardKernel;
  readonly norm = normKernel;
  readonly normBackward = normBackwardKernel;
  readonly copy = copyKernel;
  readonly sum = sumKernel;
  readonly linear = linearKernel;
  readonly linearBackwardInput = linearBackwardInputKernel;
  readonly linearBackwardWeight = linearBackwardWeightKernel;
  readonly linearBackwardWeightKept = linearBackwardWeightKeptKernel;
  readonly biasBackward = biasBackwardKernel;
  readonly nonlinearity = nonlinearityKernel;
  readonly nonlinearityBackward = nonlinearityBackwardKernel;
  readonly absTopK = absTopKKernel;
  readonly nonlinearityTopK = nonlinearityTopKKernel;
  readonly absTopKBackward = absTopKBackwardKernel;
  readonly mask = maskKernel;
  readonly maskBackward = maskBackwardKernel;
  readonly patch = patchKernel;
  readonly patchBackward = patchBackwardKernel;
  readonly attention = attentionKernel;
  readonly attentionBackward = attentionBackwardKernel;
  readonly addRows = addRowsKernel;
  readonly addRow = addRowKernel;
  readonly addRowsBackward = addRowsBackwardKernel;
  readonly gatherTokens = gatherTokensKernel;
  readonly gatherTokensBackward = gatherTokensBackwardKernel;
  readonly unembedLoss = unembedLossKernel;
  readonly pairLoss = pairLossKernel;
}
