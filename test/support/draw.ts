/** Draws the inputs and parameters of op cases from a seed: sizes, values with or without ties, sparse weights, ids. */
import type { Protect, TokenShape } from "../../src/engine/engine.ts";
import { Rng } from "../../src/util/rng.ts";
import type { InputSpec, ParamSpec } from "./evaluate.ts";

export interface Dims {
  readonly seed: number;
  readonly batch: number;
  readonly length: number;
  readonly width: number;
  /** Output features, rows of tables, neurons: whatever else the op has. */
  readonly other: number;
  readonly heads: number;
  readonly headWidth: number;
  /** 0 to 1; ops make of it a k, or a density of weights. */
  readonly fraction: number;
}

/** How inputs are drawn: smooth, spaced so that no small step crosses a kink, or with many ties and zeros. */
export type Style = "normal" | "spaced" | "ties";

/** Draws the parts of an instance. */
export class Maker {
  readonly dims: Dims;
  readonly style: Style;
  readonly rng: Rng;
  readonly tokens: TokenShape;

  constructor(dims: Dims, style: Style) {
    this.dims = dims;
    this.style = style;
    this.rng = Rng.of("op", dims.seed);
    this.tokens = { batch: dims.batch, length: dims.length };
  }

  get count(): number {
    return this.tokens.batch * this.tokens.length;
  }

  values(size: number, style: Style = this.style): Float32Array {
    const { rng } = this;
    if (style === "normal") return Float32Array.from({ length: size }, () => rng.normal());
    if (style === "ties") return Float32Array.from({ length: size }, () => rng.int(-2, 2) / 2);
    const steps = rng.shuffle(Array.from({ length: size }, (_, i) => (i + 1) / 8));
    return Float32Array.from(steps, (value) => (rng.bool() ? value : -value));
  }

  input(
    width: number,
    options: { differentiable?: boolean; values?: Float32Array; tokens?: TokenShape } = {},
  ): InputSpec {
    const tokens = options.tokens ?? this.tokens;
    const values = options.values ?? this.values(tokens.batch * tokens.length * width);
    return { tokens, width, values, differentiable: options.differentiable ?? true };
  }

  dense(name: string, shape: number[], options: Partial<ParamSpec> = {}): ParamSpec {
    const values = this.values(
      shape.reduce((a, b) => a * b, 1),
      "normal",
    );
    return { name, kind: "dense", shape, values, differentiable: true, ...options };
  }

  /** A matrix with some rows and columns empty and the rest of the given density. */
  sparse(name: string, shape: [number, number], protect: Protect = null): ParamSpec {
    const { rng } = this;
    const [rows, cols] = shape;
    const emptyRows = Array.from({ length: rows }, () => rng.bool(0.2));
    const emptyCols = Array.from({ length: cols }, () => rng.bool(0.2));
    const values = this.values(rows * cols, "normal");
    for (let i = 0; i < values.length; i++) {
      const empty = emptyRows[Math.floor(i / cols)]! || emptyCols[i % cols]!;
      if (empty || !rng.bool(this.dims.fraction)) values[i] = 0;
    }
    return { name, kind: "sparse", shape, protect, values, differentiable: true };
  }

  ids(count: number, limit: number): Int32Array {
    return Int32Array.from({ length: count }, () => this.rng.int(0, limit - 1));
  }
}
