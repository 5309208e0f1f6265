/** Pruning at some sites only: the nodes of the others stay, as long as they have a path from input to output. */
import type { SiteSpec } from "../model/sites.ts";
import { SITES, type Site } from "../model/sites.ts";
import type { MaskGradient } from "./masked-model.ts";

/** One byte a node, 1 where it is at none of the sites; undefined when all sites are pruned. */
export function standing(specs: readonly SiteSpec[], pruned: readonly Site[]): Uint8Array | undefined {
  if (SITES.every((site) => pruned.includes(site))) return undefined;
  return Uint8Array.from(specs.flatMap(({ site, width }) => Array<number>(width).fill(pruned.includes(site) ? 0 : 1)));
}

/** The model with some nodes kept whatever a mask says of them. */
export function heldOpen(model: MaskGradient, stays: Uint8Array): MaskGradient {
  return {
    nodes: model.nodes,
    specs: model.specs,
    gradient: (batch, mask) => {
      const { gradient, ...losses } = model.gradient(
        batch,
        mask.map((m, n) => (stays[n] ? 1 : m)),
      );
      return { ...losses, gradient: gradient.map((g, n) => (stays[n] ? 0 : g)) };
    },
  };
}

/** A set of kept nodes with those that stay. */
export function joined(kept: Uint8Array, stays: Uint8Array | undefined): Uint8Array {
  return stays ? kept.map((k, n) => (k || stays[n] ? 1 : 0)) : kept;
}
