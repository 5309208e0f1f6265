/** What is reported of a trained model besides its losses: sparsity of weights and activations, dead neurons. */

import type { CorpusBatch } from "../data/corpus.ts";
import type { Activation } from "../engine/engine.ts";
import { Tape } from "../engine/tape.ts";
import { finalHidden } from "../model/forward.ts";
import type { Model } from "../model/model.ts";
import { paramSpecs, shapeSize } from "../model/names.ts";
import { siteSpecs } from "../model/sites.ts";
import { pieces } from "./evaluate.ts";

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

/** Activations of every node site over a sample of text, `batch` sequences at a time. */
export function activationStatistics(model: Model, text: CorpusBatch, batch: number): SiteStatistics[] {
  const widths = new Map(siteSpecs(model.config).map(({ name, width }) => [name as string, width]));
  const sites = new Map<string, SiteSums>();
  for (const { ids, tokens, rows } of pieces(text, batch)) {
    const tape = new Tape(model.engine, "nothing");
    const record = (name: string, x: Activation): void => {
      const width = widths.get(name);
      if (width === undefined) return;
      const site = sites.get(name) ?? new SiteSums(name, width);
      sites.set(name, site);
      site.add(model.engine.read(x).subarray(0, rows * tokens.length * width));
    };
    finalHidden(tape, model, ids, tokens, { record });
    tape.free();
  }
  return [...sites.values()].map((site) => site.statistics());
}

class SiteSums {
  readonly width: number;
  private readonly site: string;
  private count = 0;
  private nonzeros = 0;
  /** Of powers 1 to 4 of the differences to the first value: what is constant has a variance of exactly 0. */
  private readonly powers: [number, number, number, number] = [0, 0, 0, 0];
  /** Values of the first token. */
  private first: Float32Array = new Float32Array(0);
  private readonly varies: Uint8Array;

  constructor(site: string, width: number) {
    this.site = site;
    this.width = width;
    this.varies = new Uint8Array(width);
  }

  /** Values [tokens, width]. */
  add(values: Float32Array): void {
    const { width, powers, varies } = this;
    if (this.count === 0) this.first = values.slice(0, width);
    const { first } = this;
    const origin = first[0]!;
    this.count += values.length;
    for (let i = 0; i < values.length; i++) {
      const x = values[i]!;
      if (x !== 0) this.nonzeros++;
      if (x !== first[i % width]) varies[i % width] = 1;
      const d = x - origin;
      const square = d * d;
      powers[0] += d;
      powers[1] += square;
      powers[2] += square * d;
      powers[3] += square * square;
    }
  }

  statistics(): SiteStatistics {
    const { site, width, count, nonzeros } = this;
    const [m1, m2, m3, m4] = this.powers.map((sum) => sum / count) as [number, number, number, number];
    const variance = m2 - m1 ** 2;
    const fourth = m4 - 4 * m1 * m3 + 6 * m1 ** 2 * m2 - 3 * m1 ** 4;
    return {
      site,
      width,
      l0: nonzeros / (count / width),
      kurtosis: variance > 0 ? fourth / variance ** 2 : 0,
      constant: this.varies.reduce((n, varies) => n + 1 - varies, 0),
    };
  }
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
