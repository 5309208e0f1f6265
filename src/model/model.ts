/** A model on an engine: its config and its parameters as the engine's handles. */
import type { DenseParam, Engine, Param, SparseParam } from "../engine/engine.ts";
import { assert } from "../util/errors.ts";
import type { ModelConfig } from "./config.ts";
import { LM_HEAD, paramSpecs, WTE } from "./names.ts";
import type { Params, StoredModel } from "./params.ts";

export class Model {
  readonly config: ModelConfig;
  readonly engine: Engine;
  /** In the order of `paramSpecs`. */
  readonly params: ReadonlyMap<string, Param>;

  /** Puts the values on the engine. */
  constructor(engine: Engine, stored: StoredModel) {
    this.config = stored.config;
    this.engine = engine;
    const params = new Map<string, Param>();
    for (const spec of paramSpecs(stored.config)) {
      const values = stored.params.get(spec.name);
      assert(values, `parameter ${spec.name} has no values`);
      const param =
        spec.kind === "sparse"
          ? engine.sparse(spec.name, [spec.shape[0]!, spec.shape[1]!], spec.protect)
          : engine.dense(spec.name, spec.shape);
      engine.writeParam(param, "value", values);
      params.set(spec.name, param);
    }
    this.params = params;
  }

  sparse(name: string): SparseParam {
    const p = this.params.get(name);
    assert(p?.kind === "sparse", `${name} is not a sparse parameter of this model`);
    return p;
  }

  dense(name: string): DenseParam {
    const p = this.params.get(name);
    assert(p?.kind === "dense", `${name} is not a dense parameter of this model`);
    return p;
  }

  /** The parameter, or null where the config leaves it out. */
  denseOrNull(name: string): DenseParam | null {
    const p = this.params.get(name);
    return p?.kind === "dense" ? p : null;
  }

  /** (V, D): the embedding itself when tied. */
  unembedding(): SparseParam {
    return this.sparse(this.config.tiedUnembed ? WTE : LM_HEAD);
  }

  /** Copies the values off the engine. */
  store(): StoredModel {
    const params: Params = new Map();
    for (const [name, p] of this.params) params.set(name, this.engine.readParam(p, "value"));
    return { config: this.config, params };
  }
}
