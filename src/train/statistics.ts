/** What is reported of a trained model besides its losses: sparsity of weights and activations, dead neurons. */

import type { CorpusBatch } from "../data/corpus.ts";
import type { Activation } from "../engine/engine.ts";
import { Tape } from "../engine/tape.ts";
import { finalHidden } from "../model/forward.ts";
import type { Model } from "../model/model.ts";
import { paramSpecs, shapeSize } from "../model/names.ts";
import { siteSpecs } from "../model/sites.ts";
import { inputsAndTargets } from "./evaluate.ts";

interface MatrixSparsity {
  readonly name: string;
  /** L0: nonzero entries. */
  readonly nonzeros: number;
  readonly entries: number;
}

export interface WeightSparsity {
  readonly matrices: readonly MatrixSparsity[];
  /** Over all projected matrices; biases not counted. */
  readonly nonzeros: number;
  readonly entries: number;
  /** nonzeros / entries */
  readonly density: number;
}

export function weightSparsity(model: Model): WeightSparsity {
  const matrices = paramSpecs(model.config)
    .filter((spec) => spec.sparsified === "matrix")
    .map(({ name, shape }) => ({
      name,
      nonzeros: model.engine.nonzeros(model.params.get(name)!),
      entries: shapeSize(shape),
    }));
  const nonzeros = matrices.reduce((sum, m) => sum + m.nonzeros, 0);
  const entries = matrices.reduce((sum, m) => sum + m.entries, 0);
  return { matrices, nonzeros, entries, density: nonzeros / entries };
}

export interface SiteStatistics {
  readonly site: string;
  readonly width: number;
  /** Mean number of nonzero entries of a token. */
  readonly l0: number;
  /** Fourth standardised moment over all entries; 3 for a normal distribution. */
  readonly kurtosis: number;
  /** Channels that are constant over the sample: they carry nothing. */
  readonly constant: number;
}

/** Activations of every node site over a sample of text. */
export function activationStatistics(model: Model, batch: CorpusBatch): SiteStatistics[] {
  const { ids } = inputsAndTargets(batch);
  const sites = new Map(siteSpecs(model.config).map((s) => [s.name as string, s]));
  const out: SiteStatistics[] = [];
  const tape = new Tape(model.engine, "nothing");
  const record = (name: string, x: Activation): void => {
    const site = sites.get(name);
    if (site) out.push(siteStatistics(name, site.width, model.engine.read(x)));
  };
  finalHidden(tape, model, ids, { batch: batch.rows, length: batch.contextLength }, { record });
  tape.free();
  return out;
}

function siteStatistics(site: string, width: number, values: Float32Array): SiteStatistics {
  const n = values.length;
  let nonzero = 0;
  let sum = 0;
  for (const x of values) {
    if (x !== 0) nonzero++;
    sum += x;
  }
  const mean = sum / n;
  let second = 0;
  let fourth = 0;
  for (const x of values) {
    const d = (x - mean) ** 2;
    second += d;
    fourth += d * d;
  }
  let constant = 0;
  for (let c = 0; c < width; c++) {
    let same = true;
    for (let i = c; i < n && same; i += width) same = values[i] === values[c];
    if (same) constant++;
  }
  const variance = second / n;
  return {
    site,
    width,
    l0: nonzero / (n / width),
    kurtosis: variance > 0 ? fourth / n / variance ** 2 : 0,
    constant,
  };
}

/** Neurons that read nothing or write nothing, by layer: no nonzero weight in, or none out. */
export function deadNeurons(model: Model): number[] {
  const { layers, neurons, width } = model.config;
  return Array.from({ length: layers }, (_, layer) => {
    const block = `transformer.h.${layer}.mlp`;
    const fc = model.engine.readParam(model.sparse(`${block}.c_fc.weight`), "value");
    const proj = model.engine.readParam(model.sparse(`${block}.c_proj.weight`), "value");
    const read = fc.length / neurons;
    let dead = 0;
    for (let n = 0; n < neurons; n++) {
      const reads = fc.subarray(n * read, (n + 1) * read).some((w) => w !== 0);
      let writes = false;
      for (let c = 0; c < width && !writes; c++) writes = proj[c * neurons + n] !== 0;
      if (!reads || !writes) dead++;
    }
    return dead;
  });
}
