/**
 * The parameters of a model: names and shapes as in the state dicts of Gao et al.'s release, in one fixed order, with
 * the rules of sparse training for each, and their initial values. Matrices are (out, in).
 */
import { Rng } from "../util/rng.ts";
import { attentionWidth, type ModelConfig, readWidth } from "./config.ts";

export interface ParamSpec {
  readonly name: string;
  readonly shape: readonly number[];
  /** sparse: a matrix of a linear map or embedding; dense: everything else. */
  readonly kind: "sparse" | "dense";
  /** Along which the projection keeps the largest entries of each neuron or channel first. */
  readonly protect: "row" | "col" | null;
  /** matrix: projected to the density; bias: projected if biases are chosen to be sparse; never: stays dense. */
  readonly sparsified: "matrix" | "bias" | "never";
  /** Decoupled weight decay applies. */
  readonly decays: boolean;
  readonly trained: boolean;
}

export const WTE = "transformer.wte.weight";
export const WPE = "transformer.wpe.weight";
export const LM_HEAD = "lm_head.weight";
export const BIGRAM = "bigram_table";
export const LOGITS_BIAS = "final_logits_bias";

/** All stored tensors. A tied unembedding is not listed: it is the same tensor as the embedding. */
export function paramSpecs(config: ModelConfig): ParamSpec[] {
  const { vocabSize, contextLength, width, neurons, heads, positions, positionChannels } = config;
  const specs: ParamSpec[] = [];
  const matrix = (name: string, out: number, input: number, protect: ParamSpec["protect"]): void => {
    specs.push({
      name,
      shape: [out, input],
      kind: "sparse",
      protect,
      sparsified: "matrix",
      decays: true,
      trained: true,
    });
  };
  const dense = (name: string, shape: readonly number[], rules: Partial<ParamSpec> = {}): void => {
    specs.push({
      name,
      shape,
      kind: "dense",
      protect: null,
      sparsified: "never",
      decays: false,
      trained: true,
      ...rules,
    });
  };
  const norm = (name: string, channels: number): void => {
    dense(`${name}.weight`, [channels]);
    if (config.norm === "layer" && config.normBias) dense(`${name}.bias`, [channels]);
  };
  const linear = (name: string, out: number, input: number, protect: ParamSpec["protect"]): void => {
    matrix(`${name}.weight`, out, input, protect);
    if (config.bias) dense(`${name}.bias`, [out], { sparsified: "bias" });
  };

  if (config.bigram !== "none") dense(BIGRAM, [vocabSize, vocabSize], { trained: config.bigram === "trained" });
  dense(LOGITS_BIAS, [vocabSize], { trained: false });
  matrix(WTE, vocabSize, width, null);
  if (positions !== "none") {
    const trained = positions !== "sinusoid-channels";
    dense(WPE, [contextLength, positions === "added" ? width : positionChannels], { trained, decays: trained });
  }
  const read = readWidth(config);
  const attention = attentionWidth(config);
  for (let layer = 0; layer < config.layers; layer++) {
    const block = `transformer.h.${layer}`;
    norm(`${block}.ln_1`, width);
    linear(`${block}.attn.c_attn`, 3 * attention, read, "row");
    linear(`${block}.attn.c_proj`, width, attention, "col");
    if (config.sink) dense(`${block}.attn.attn_imp.sink_logit`, [heads]);
    norm(`${block}.ln_2`, width);
    linear(`${block}.mlp.c_fc`, neurons, read, "row");
    linear(`${block}.mlp.c_proj`, width, neurons, "col");
    if (positionChannels > 0) {
      norm(`${block}.ln_p1`, positionChannels);
      norm(`${block}.ln_p2`, positionChannels);
    }
  }
  norm("transformer.ln_f", width);
  if (!config.tiedUnembed) matrix(LM_HEAD, vocabSize, width, null);
  return specs;
}

/** How many entries a shape has. */
export function shapeSize(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}

/**
 * Fixed position channels: sine then cosine of 2 pi t / period, periods log-spaced from 4 to `length` (both included);
 * (length, channels), row-major. Rounded to float32 at every step, as the table is when made with float32 tensors.
 */
export function sinusoidTable(length: number, channels: number): Float32Array {
  const f = Math.fround;
  const half = Math.max(1, Math.floor(channels / 2));
  const low = f(Math.log10(4));
  const high = f(Math.log10(Math.max(4, length)));
  const step = half === 1 ? 0 : f((high - low) / (half - 1));
  const table = new Float32Array(length * channels);
  for (let j = 0; j < half; j++) {
    // The upper half counts down from the end, so that both ends are exact.
    const exponent = j < half / 2 ? f(low + f(step * j)) : f(high - f(step * (half - 1 - j)));
    const period = half === 1 ? 4 : f(10 ** exponent);
    const frequency = f(f(2 * Math.PI) / period);
    for (let t = 0; t < length; t++) {
      const angle = f(t * frequency);
      table[t * channels + j] = Math.sin(angle);
      if (half + j < channels) table[t * channels + half + j] = Math.cos(angle);
    }
  }
  return table;
}

/** Standard deviation of initial matrices. */
const INIT_SCALE = 0.02;

/**
 * Initial values by name: matrices and trained positions normal(0, 0.02), output projections normal(0, 0.02 /
 * sqrt(2 L)), bigram table uniform(0, 0.02), norm weights 1, the rest 0. Each tensor has its own random stream.
 */
export function initParams(config: ModelConfig, seed: number): Map<string, Float32Array> {
  const params = new Map<string, Float32Array>();
  for (const { name, shape, kind } of paramSpecs(config)) {
    const rng = Rng.of(seed, "init", name);
    const values = new Float32Array(shapeSize(shape));
    if (name === BIGRAM) {
      for (let i = 0; i < values.length; i++) values[i] = INIT_SCALE * rng.float();
    } else if (name === WPE && config.positions === "sinusoid-channels") {
      values.set(sinusoidTable(shape[0]!, shape[1]!));
    } else if (kind === "sparse" || name === WPE) {
      const scale = name.endsWith("c_proj.weight") ? INIT_SCALE / Math.sqrt(2 * config.layers) : INIT_SCALE;
      for (let i = 0; i < values.length; i++) values[i] = scale * rng.normal();
    } else if (/\.ln_\w+\.weight$/.test(name)) {
      values.fill(1);
    }
    params.set(name, values);
  }
  return params;
}
