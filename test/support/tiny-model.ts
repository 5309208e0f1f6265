/**
 * A small transformer made of the ops directly, for tests of the engines as a whole: every op of a training step in
 * its place, gradients, optimizer and projection. Not the model of src/model, so that a fault there cannot hide one here.
 */
import type { Activation, AdamStep, DenseParam, Engine, Param, Protect, SparseParam } from "../../src/engine/engine.ts";
import * as ops from "../../src/engine/ops/index.ts";
import { Tape } from "../../src/engine/tape.ts";
import { Rng } from "../../src/util/rng.ts";

export interface TinyShape {
  batch: number;
  length: number;
  width: number;
  heads: number;
  headWidth: number;
  neurons: number;
  vocabulary: number;
  layers: number;
  /** Fraction of nonzero weights at the start. */
  density: number;
}

interface Layer {
  norm1: DenseParam;
  qkv: SparseParam;
  qkvBias: DenseParam;
  sink: DenseParam;
  out: SparseParam;
  outBias: DenseParam;
  norm2: DenseParam;
  up: SparseParam;
  upBias: DenseParam;
  down: SparseParam;
  downBias: DenseParam;
}

export class TinyModel {
  readonly engine: Engine;
  readonly shape: TinyShape;
  readonly params: Param[] = [];
  private readonly rng: Rng;
  private readonly wte: SparseParam;
  private readonly head: SparseParam;
  private readonly bigram: DenseParam;
  private readonly normFinal: DenseParam;
  private readonly layers: Layer[] = [];
  private step = 0;

  constructor(engine: Engine, shape: TinyShape, seed = "tiny") {
    this.engine = engine;
    this.shape = shape;
    this.rng = Rng.of(seed);
    const { width, heads, headWidth, neurons, vocabulary } = shape;
    const inner = heads * headWidth;
    this.wte = this.sparse("wte", [vocabulary, width], null);
    for (let l = 0; l < shape.layers; l++) {
      this.layers.push({
        norm1: this.dense(`${l}.norm1`, [width], 1),
        qkv: this.sparse(`${l}.qkv`, [3 * inner, width], "row"),
        qkvBias: this.dense(`${l}.qkvBias`, [3 * inner], 0),
        sink: this.dense(`${l}.sink`, [heads], 0),
        out: this.sparse(`${l}.out`, [width, inner], "col"),
        outBias: this.dense(`${l}.outBias`, [width], 0),
        norm2: this.dense(`${l}.norm2`, [width], 1),
        up: this.sparse(`${l}.up`, [neurons, width], "row"),
        upBias: this.dense(`${l}.upBias`, [neurons], 0),
        down: this.sparse(`${l}.down`, [width, neurons], "col"),
        downBias: this.dense(`${l}.downBias`, [width], 0),
      });
    }
    this.normFinal = this.dense("normFinal", [width], 1);
    this.head = this.sparse("head", [vocabulary, width], null);
    this.bigram = this.dense("bigram", [vocabulary, vocabulary], 0);
  }

  /** Loss on a batch of tokens [N]; gradients are left in the parameters. */
  gradients(tokens: Int32Array): number {
    const { batch, length, headWidth, heads, width, neurons } = this.shape;
    const tape = new Tape(this.engine, "weights");
    const quarter = (n: number) => Math.max(1, Math.floor(n / 4));
    const inner = heads * headWidth;
    const cut = (x: Activation, n: number) => ops.absTopK(tape, x, quarter(n), { inPlace: true });
    this.engine.clearGrads(this.params);
    let x = ops.embed(tape, this.wte, tokens, { batch, length });
    for (const layer of this.layers) {
      const read = cut(ops.norm(tape, "rms", x, layer.norm1, null), width);
      const whole = ops.linear(tape, read, layer.qkv, layer.qkvBias);
      const [q, k, v] = ops.views(tape, whole, [inner, inner, inner]).map((part) => cut(part, inner));
      const y = ops.attention(tape, q!, k!, v!, layer.sink, heads);
      x = ops.residualAdd(tape, x, cut(ops.linear(tape, y, layer.out, layer.outBias), width));
      const read2 = cut(ops.norm(tape, "rms", x, layer.norm2, null), width);
      const act = ops.nonlinearity(tape, "gelu", ops.linear(tape, read2, layer.up, layer.upBias));
      x = ops.residualAdd(tape, x, cut(ops.linear(tape, cut(act, neurons), layer.down, layer.downBias), width));
    }
    const targets = new Int32Array(tokens.length);
    for (let n = 0; n < tokens.length; n++) targets[n] = n % length === length - 1 ? -1 : tokens[n + 1]!;
    const loss = ops.unembedLoss(tape, {
      x: ops.norm(tape, "rms", x, this.normFinal, null),
      unembed: this.head,
      logitsBias: null,
      bigram: this.bigram,
      tokens,
      targets,
    });
    tape.backward();
    tape.free();
    return loss;
  }

  /** One training step that keeps `density` of every weight matrix. */
  train(tokens: Int32Array, density: number, lr = 0.01): number {
    const loss = this.gradients(tokens);
    this.step++;
    let entries = 0;
    for (const p of this.params) entries += p.shape.reduce((a, b) => a * b, 1);
    const rms = Math.sqrt(this.engine.gradSumSquares(this.params) / entries);
    for (const p of this.params) {
      const step: AdamStep = {
        gradScale: 1 / (rms + 1e-5),
        lr,
        beta1: 0.9,
        beta2: 0.95,
        eps: 0.1,
        correction1: 1 - 0.9 ** this.step,
        correction2: 1 - 0.95 ** this.step,
        weightDecay: p.kind === "sparse" ? 0.1 : 0,
        keep: p.kind === "sparse" ? Math.floor(density * p.shape[0] * p.shape[1]) : undefined,
        protect: this.protectOf(p),
        minPerNeuron: p.kind === "sparse" ? 4 : 0,
      };
      this.engine.adam(p, step);
    }
    return loss;
  }

  /** Tokens of a learnable sort: each is its predecessor plus one, with noise. */
  batch(seed: string | number): Int32Array {
    const rng = Rng.of("batch", seed);
    const { batch, length, vocabulary } = this.shape;
    const tokens = new Int32Array(batch * length);
    for (let n = 0; n < tokens.length; n++) {
      tokens[n] = n % length > 0 && rng.bool(0.8) ? (tokens[n - 1]! + 1) % vocabulary : rng.int(0, vocabulary - 1);
    }
    return tokens;
  }

  private protectOf(p: Param): Protect {
    if (/qkv$|up$/.test(p.name)) return "row";
    return /out$|down$/.test(p.name) ? "col" : null;
  }

  private dense(name: string, shape: number[], value: number): DenseParam {
    const p = this.engine.dense(name, shape);
    const size = shape.reduce((a, b) => a * b, 1);
    this.engine.writeParam(
      p,
      "value",
      Float32Array.from({ length: size }, () => value + 0.02 * this.rng.normal()),
    );
    this.params.push(p);
    return p;
  }

  private sparse(name: string, shape: readonly [number, number], protect: Protect): SparseParam {
    const p = this.engine.sparse(name, shape, protect);
    const values = Float32Array.from({ length: shape[0] * shape[1] }, () =>
      this.rng.bool(this.shape.density) ? 0.1 * this.rng.normal() : 0,
    );
    this.engine.writeParam(p, "value", values);
    this.params.push(p);
    return p;
  }
}
