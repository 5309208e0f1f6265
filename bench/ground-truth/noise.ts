/**
 * What makes a planted circuit noisy: in every sublayer distractors write into the planted channels too. The weights are
 * scaled so that the noise never exceeds its level over text and prompts, and biases take away its mean over text. A
 * standard deviation would not do: a rare token, such as the one that asks, can stand many of them off.
 * The reference engine measures: the same bytes on every machine.
 */
import type { Activation } from "../../src/engine/engine.ts";
import { ReferenceEngine } from "../../src/engine/reference.ts";
import { Tape } from "../../src/engine/tape.ts";
import { finalHidden } from "../../src/model/forward.ts";
import { Model } from "../../src/model/model.ts";
import type { TokenBatch } from "../../src/prune/means.ts";
import { Rng } from "../../src/util/rng.ts";
import type { Plant } from "./plant.ts";

interface NoiseOptions {
  readonly seed: number;
  readonly density: number;
  readonly noise: number;
}

/** What writes to the residual stream: the place that is recorded, the site of its nodes, and the matrix. */
const WRITERS = [
  { place: "attn.y", site: "attn.v", linear: "attn.c_proj" },
  { place: "mlp.post_act", site: "mlp.post_act", linear: "mlp.c_proj" },
] as const;

/** To be called last: text and prompts pass through the model without noise. */
export function addNoise(
  plant: Plant,
  { seed, density, noise }: NoiseOptions,
  { text, prompts }: { readonly text: TokenBatch; readonly prompts: TokenBatch },
): void {
  const rng = Rng.of(seed, "noise");
  const [ofText, ofPrompts] = [recorded(plant, text), recorded(plant, prompts)];
  for (let layer = 0; layer < plant.config.layers; layer++) {
    for (const { place, site, linear } of WRITERS) {
      const name = `${layer}.${place}`;
      const columns = ofText.get(name)!.length / text.ids.length;
      const weights = plant.values(`transformer.h.${layer}.${linear}.weight`);
      const bias = plant.values(`transformer.h.${layer}.${linear}.bias`);
      for (const row of plant.reserved) {
        if (row === plant.anchor) continue;
        const drawn = new Float64Array(columns);
        for (let c = 0; c < columns; c++) {
          if (!plant.isPlanted(layer, site, c) && rng.bool(density)) drawn[c] = rng.normal();
        }
        const written = projected(ofText.get(name)!, drawn);
        const mean = written.reduce((sum, x) => sum + x, 0) / written.length;
        const all = [...written, ...projected(ofPrompts.get(name)!, drawn)];
        const most = all.reduce((max, x) => Math.max(max, Math.abs(x - mean)), 0);
        const scale = most > 0 ? noise / most : 0;
        for (let c = 0; c < columns; c++) if (drawn[c] !== 0) weights[row * columns + c] = scale * drawn[c]!;
        bias[row] = -scale * mean;
      }
    }
  }
}

/** Values of every place, row-major (tokens, width), by name. */
function recorded({ config, params }: Plant, { ids, tokens }: TokenBatch): ReadonlyMap<string, Float32Array> {
  const model = new Model(new ReferenceEngine(), { config, params });
  const tape = new Tape(model.engine, "nothing");
  const places = new Map<string, Float32Array>();
  const record = (name: string, x: Activation): void => void places.set(name, model.engine.read(x));
  finalHidden(tape, model, ids, tokens, { record });
  tape.free();
  return places;
}

/** Row-major values (tokens, width) times one row of weights. */
function projected(values: Float32Array, weights: Float64Array): Float64Array {
  const width = weights.length;
  const out = new Float64Array(values.length / width);
  for (let i = 0; i < values.length; i++) out[Math.floor(i / width)]! += weights[i % width]! * values[i]!;
  return out;
}
