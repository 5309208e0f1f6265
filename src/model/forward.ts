/**
 * The forward pass, top to bottom (Gao et al. 2025, 2.1 and A.1). Every node site and recorded place can be read,
 * masked and patched through `Hooks`; the reverse is the tape's.
 *
 * Shapes: ids are [B * T], row-major; activations [B, T, width].
 */
import type { Activation, DenseParam, TokenShape } from "../engine/engine.ts";
import {
  absTopK,
  addRow,
  addRows,
  attention,
  concat,
  embed,
  gatherTokens,
  linear,
  mask,
  nonlinearity,
  norm,
  patch,
  positions,
  residualAdd,
  unembedLoss,
  views,
} from "../engine/ops/index.ts";
import { Tape } from "../engine/tape.ts";
import { inputError } from "../util/errors.ts";
import { attentionWidth, type CutLocation, cutCount } from "./config.ts";
import type { Model } from "./model.ts";
import { BIGRAM, LOGITS_BIAS, WPE, WTE } from "./names.ts";
import { type HookName, SITE_LOCATION, type Site, type SiteName, siteName } from "./sites.ts";

/** Kept or ablated, one entry a channel: value m * x + (1 - m) * mean. */
export interface SiteMask {
  readonly mask: DenseParam;
  readonly mean: DenseParam;
}

export interface SitePatch {
  readonly values: Activation;
  /** 1 where `values` replace what was computed, else 0. */
  readonly where: Activation;
}

export interface Hooks {
  /** Called with the value that the rest of the model sees; the handle is valid until the tape is freed. */
  readonly record?: (name: HookName, x: Activation) => void;
  readonly masks?: ReadonlyMap<SiteName, SiteMask>;
  /** Patches of what is masked then; of the last layer at the wanted tokens alone. */
  readonly given?: ReadonlyMap<SiteName, SitePatch>;
  /** Called with what is about to be masked. */
  readonly unmasked?: (name: SiteName, x: Activation) => void;
  readonly patches?: ReadonlyMap<HookName, SitePatch>;
}

class Pass {
  private readonly tape: Tape;
  private readonly model: Model;
  private readonly hooks: Hooks;
  private readonly at: Int32Array | null;

  /** `at`: the tokens whose result is wanted, as indices into the B*T tokens; null for all. */
  constructor(tape: Tape, model: Model, hooks: Hooks, at: Int32Array | null = null) {
    this.tape = tape;
    this.model = model;
    this.hooks = hooks;
    this.at = at;
  }

  /** The wanted tokens of x, once no token reads another any more: after the attention of the last layer. */
  private wanted(layer: number, x: Activation): Activation {
    const isLast = layer === this.model.config.layers - 1;
    return this.at !== null && isLast ? gatherTokens(this.tape, x, this.at) : x;
  }

  /** AbsTopK at a location, in place: x must be a fresh result that no earlier reverse needs. */
  private cut(x: Activation, location: CutLocation): Activation {
    const k = cutCount(this.model.config, location, x.width);
    return k === undefined ? x : absTopK(this.tape, x, k, { inPlace: true });
  }

  /** Patches and records a place. */
  private tap(name: HookName, x: Activation): Activation {
    const replaced = this.hooks.patches?.get(name);
    const value = replaced ? patch(this.tape, x, replaced.values, replaced.where) : x;
    this.hooks.record?.(name, this.tape.keep(value));
    return value;
  }

  /** A node site: AbsTopK, then the mask, then a patch. */
  private site(layer: number, site: Site, x: Activation): Activation {
    return this.ablate(siteName(layer, site), this.cut(x, SITE_LOCATION[site]));
  }

  /** What a node site does after AbsTopK. */
  private ablate(name: SiteName, x: Activation): Activation {
    let value = x;
    const masked = this.hooks.masks?.get(name);
    if (masked) {
      const given = this.hooks.given?.get(name);
      if (given) value = patch(this.tape, x, given.values, given.where);
      this.hooks.unmasked?.(name, value);
      value = mask(this.tape, value, masked.mask, masked.mean);
    }
    return this.tap(name, value);
  }

  private normed(x: Activation, name: string): Activation {
    const { model } = this;
    return norm(this.tape, model.config.norm, x, model.dense(`${name}.weight`), model.denseOrNull(`${name}.bias`));
  }

  private linear(x: Activation, name: string): Activation {
    return linear(this.tape, x, this.model.sparse(`${name}.weight`), this.model.denseOrNull(`${name}.bias`));
  }

  /** What a sublayer reads: the normalised residual stream, and the normalised position channels beside it. */
  private reads(x: Activation, position: Activation | null, normName: string, positionNorm: string): Activation {
    const h = this.normed(x, normName);
    return position ? concat(this.tape, h, this.normed(position, positionNorm)) : h;
  }

  /** The residual stream after a sublayer wrote delta. */
  private write(x: Activation, delta: Activation, location: CutLocation): Activation {
    const y = residualAdd(this.tape, x, delta);
    const active = this.model.config.residualActivation === "relu" ? nonlinearity(this.tape, "relu", y) : y;
    return this.cut(active, location);
  }

  private attentionBlock(layer: number, x: Activation, position: Activation | null): Activation {
    const { tape, model } = this;
    const { config } = model;
    const block = `transformer.h.${layer}`;
    const a = this.site(layer, "attn.act_in", this.reads(x, position, `${block}.ln_1`, `${block}.ln_p1`));
    const width = attentionWidth(config);
    const [q0, k0, v0] = views(tape, this.linear(a, `${block}.attn.c_attn`), [width, width, width]) as [
      Activation,
      Activation,
      Activation,
    ];
    const k = this.site(layer, "attn.k", k0);
    const q = this.site(layer, "attn.q", q0);
    const v = this.site(layer, "attn.v", v0);
    const sink = model.denseOrNull(`${block}.attn.attn_imp.sink_logit`);
    const y = this.tap(`${layer}.attn.y`, this.wanted(layer, attention(tape, q, k, v, sink, config.heads)));
    const delta = this.site(layer, "attn.resid_delta", this.linear(y, `${block}.attn.c_proj`));
    return this.write(this.wanted(layer, x), delta, "resid_post_attn");
  }

  private mlpBlock(layer: number, x: Activation, position: Activation | null): Activation {
    const block = `transformer.h.${layer}`;
    const a = this.site(layer, "mlp.act_in", this.reads(x, position, `${block}.ln_2`, `${block}.ln_p2`));
    const h = this.linear(a, `${block}.mlp.c_fc`);
    const { config } = this.model;
    const k = cutCount(config, SITE_LOCATION["mlp.post_act"], h.width);
    const neurons = this.ablate(siteName(layer, "mlp.post_act"), nonlinearity(this.tape, config.activation, h, k));
    const delta = this.site(layer, "mlp.resid_delta", this.linear(neurons, `${block}.mlp.c_proj`));
    return this.write(x, delta, "resid_post_mlp");
  }

  /** Embedding to the final norm's output, of the wanted tokens. */
  run(ids: Int32Array, tokens: TokenShape): Activation {
    const { tape, model } = this;
    const { config } = model;
    let x = embed(tape, model.sparse(WTE), ids, tokens);
    let position: Activation | null = null;
    if (config.positions !== "none") {
      const table = positions(tape, model.dense(WPE), tokens);
      if (config.positions === "added") x = residualAdd(tape, x, table);
      else position = table;
    }
    for (let layer = 0; layer < config.layers; layer++) {
      x = this.tap(`${layer}.resid_in`, x);
      x = this.attentionBlock(layer, x, position);
      x = this.tap(`${layer}.resid_mid`, x);
      x = this.mlpBlock(layer, x, position && this.wanted(layer, position));
    }
    return this.normed(this.tap("final_resid", x), "transformer.ln_f");
  }
}

/** Refuses ids that the model cannot read and prompts longer than its context. */
export function checkTokens(model: Model, ids: Int32Array, tokens: TokenShape): void {
  const { vocabSize, contextLength } = model.config;
  if (tokens.length > contextLength) {
    throw inputError(
      "context-length",
      `a prompt of ${tokens.length} tokens is longer than the model's context of ${contextLength}`,
      `Shorten it to ${contextLength} tokens or fewer.`,
    );
  }
  const bad = ids.findIndex((id) => id < 0 || id >= vocabSize);
  if (bad >= 0) {
    const where = `sequence ${Math.floor(bad / tokens.length)}, position ${bad % tokens.length}`;
    throw inputError(
      "token-id",
      `token id ${ids[bad]} at ${where} is out of range`,
      `The model's ids are 0 to ${vocabSize - 1}.`,
    );
  }
}

/** [B, T, D]: the final norm's output. */
export function finalHidden(
  tape: Tape,
  model: Model,
  ids: Int32Array,
  tokens: TokenShape,
  hooks: Hooks = {},
): Activation {
  return new Pass(tape, model, hooks).run(ids, tokens);
}

/** Logits of hidden states: unembedding, logits bias, and the bigram row of each token in `ids`. */
export function logitsOf(tape: Tape, model: Model, hidden: Activation, ids: Int32Array): Activation {
  const logits = linear(tape, hidden, model.unembedding(), null);
  addRow(tape, logits, model.dense(LOGITS_BIAS));
  const bigram = model.denseOrNull(BIGRAM);
  if (bigram) addRows(tape, logits, bigram, ids);
  return logits;
}

/** Logits (1, P, V) at the positions `at`, indices into the B*T tokens. Hooks that see places see all tokens of them. */
export function logitsAt(
  tape: Tape,
  model: Model,
  ids: Int32Array,
  tokens: TokenShape,
  at: Int32Array,
  hooks: Hooks = {},
): Activation {
  const seen = hooks.record !== undefined || hooks.patches !== undefined;
  const pass = new Pass(tape, model, hooks, seen ? null : at);
  const hidden = pass.run(ids, tokens);
  if (seen) return logitsOfPlaces(tape, model, hidden, ids, at);
  return logitsOf(
    tape,
    model,
    hidden,
    at.map((n) => ids[n]!),
  );
}

/** Logits (1, P, V) at the positions `at` of hidden states [B, T, D]. */
export function logitsOfPlaces(
  tape: Tape,
  model: Model,
  hidden: Activation,
  ids: Int32Array,
  at: Int32Array,
): Activation {
  return logitsOf(
    tape,
    model,
    gatherTokens(tape, hidden, at),
    at.map((n) => ids[n]!),
  );
}

/** Mean next-token cross entropy; targets [B * T], -1 not counted. Starts the backward pass. */
export function nextTokenLoss(
  tape: Tape,
  model: Model,
  ids: Int32Array,
  targets: Int32Array,
  tokens: TokenShape,
  hooks: Hooks = {},
): number {
  return lossOf(tape, model, finalHidden(tape, model, ids, tokens, hooks), ids, targets);
}

/** The same from hidden states that are there already. */
export function lossOf(tape: Tape, model: Model, hidden: Activation, ids: Int32Array, targets: Int32Array): number {
  return unembedLoss(tape, {
    x: hidden,
    unembed: model.unembedding(),
    logitsBias: model.dense(LOGITS_BIAS),
    bigram: model.denseOrNull(BIGRAM),
    tokens: ids,
    targets,
  });
}

/** Row-major logits [B, T, V] of whole prompts, with nothing recorded for a reverse pass. */
export function forwardLogits(model: Model, ids: Int32Array, tokens: TokenShape, hooks: Hooks = {}): Float32Array {
  checkTokens(model, ids, tokens);
  const tape = new Tape(model.engine, "nothing");
  const logits = logitsOf(tape, model, finalHidden(tape, model, ids, tokens, hooks), ids);
  const values = model.engine.read(logits);
  tape.free();
  return values;
}
