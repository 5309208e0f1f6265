/**
 * Random sparse weights around a planted circuit.
 *
 * Noise-free, nothing but the circuit reaches the answers: distractors read anything, planted channels too, but write only
 * to residual channels that neither the circuit nor the unembedding of an answer reads, and no query of theirs meets a key
 * in a head of the circuit. (The norm they do reach, by about 0.01%: plant.ts.) What makes it noisy is in noise.ts.
 */
import { LM_HEAD, WTE } from "../../src/model/names.ts";
import type { Site } from "../../src/model/sites.ts";
import { Rng } from "../../src/util/rng.ts";
import type { Plant } from "./plant.ts";

export interface Hiding {
  readonly seed: number;
  /** Share of the distractors' weights that are not zero. */
  readonly density: number;
}

/** Of the distractors' entries in embedding and unembedding. */
const TOKEN_DENSITY = 1 / 4;
/** Standard deviation of what a distractor computes, roughly, if what it reads has that of 1. */
const SCALE = 1;

export function hide(plant: Plant, { seed, density }: Hiding): void {
  const { width, neurons, layers } = plant.config;
  const rng = Rng.of(seed, "distractors");
  const isFree = (channel: number): boolean => !plant.reserved.has(channel);

  for (const name of [WTE, LM_HEAD]) {
    const values = plant.values(name);
    const allowed = (token: number, channel: number): boolean =>
      name === WTE ? isFree(channel) : !plant.answers.has(token);
    for (let i = 0; i < values.length; i++) {
      if (allowed(Math.floor(i / width), i % width) && rng.bool(TOKEN_DENSITY)) values[i] = rng.normal();
    }
  }

  for (let layer = 0; layer < layers; layer++) {
    const block = `transformer.h.${layer}`;
    const patterns = freePatterns(plant, layer, rng);
    const fill = (matrix: string, first: number, site: Site, rows: number, columns: number): void => {
      const values = plant.values(`${block}.${matrix}.weight`);
      const deviation = SCALE / Math.sqrt(Math.max(1, density * columns));
      for (let row = 0; row < rows; row++) {
        if (site.endsWith("resid_delta") ? !isFree(row) : plant.isPlanted(layer, site, row)) continue;
        if ((site === "attn.q" || site === "attn.k") && !patterns[site].has(row)) continue;
        for (let column = 0; column < columns; column++) {
          if (rng.bool(density)) values[(first + row) * columns + column] = deviation * rng.normal();
        }
      }
    };
    fill("attn.c_attn", 0, "attn.q", width, width);
    fill("attn.c_attn", width, "attn.k", width, width);
    fill("attn.c_attn", 2 * width, "attn.v", width, width);
    fill("attn.c_proj", 0, "attn.resid_delta", width, width);
    fill("mlp.c_fc", 0, "mlp.post_act", neurons, width);
    fill("mlp.c_proj", 0, "mlp.resid_delta", width, neurons);
  }
}

/** Query and key channels that distractors may have: all of a free head, and one of the two in a head of the circuit. */
function freePatterns(plant: Plant, layer: number, rng: Rng): Record<"attn.q" | "attn.k", Set<number>> {
  const { width, headWidth } = plant.config;
  const free = { "attn.q": new Set<number>(), "attn.k": new Set<number>() };
  for (let c = 0; c < width; c++) {
    const inCircuit = plant.heads[layer]!.has(Math.floor(c / headWidth));
    if (inCircuit && plant.isPlanted(layer, "attn.q", c)) continue;
    const only = rng.bool() ? "attn.q" : "attn.k";
    if (!inCircuit || only === "attn.q") free["attn.q"].add(c);
    if (!inCircuit || only === "attn.k") free["attn.k"].add(c);
  }
  return free;
}
