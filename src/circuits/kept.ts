/**
 * The set of kept nodes of a model, in the forms that edges and paths need: a mask over the flat order of nodes, and
 * the kept channels of each site. No weights here.
 */
import type { ModelConfig } from "../model/config.ts";
import { type NodeRef, nodeCount, type Site, type SiteSpec, siteSpecs } from "../model/sites.ts";
import { assert } from "../util/errors.ts";

/** Flat indices of kept nodes, or one byte for each node of the model, nonzero = kept. */
export type KeptNodes = ReadonlySet<number> | Uint8Array;

export interface KeptSites {
  /** Kept channels of a site, ascending. */
  channels(layer: number, site: Site): readonly number[];
  /** Flat index of a channel of a site. */
  flat(layer: number, site: Site, channel: number): number;
  /** All kept nodes in flat order. */
  readonly nodes: readonly NodeRef[];
}

/** One byte for each node: 1 = kept. Always a copy. */
export function keptMask(config: ModelConfig, kept: KeptNodes): Uint8Array {
  const total = nodeCount(config);
  const mask = new Uint8Array(total);
  if (kept instanceof Uint8Array) {
    assert(kept.length === total, `expected a mask of ${total} nodes but received ${kept.length}`);
    for (let i = 0; i < total; i++) mask[i] = kept[i] === 0 ? 0 : 1;
  } else {
    for (const i of kept) {
      assert(Number.isInteger(i) && i >= 0 && i < total, `node index ${i} is not in 0..${total - 1}`);
      mask[i] = 1;
    }
  }
  return mask;
}

export function keptSites(config: ModelConfig, kept: KeptNodes): KeptSites {
  const mask = keptMask(config, kept);
  const specs = new Map<string, SiteSpec>();
  const channels = new Map<string, number[]>();
  const nodes: NodeRef[] = [];
  for (const spec of siteSpecs(config)) {
    const list: number[] = [];
    for (let c = 0; c < spec.width; c++) {
      if (mask[spec.offset + c] === 0) continue;
      list.push(c);
      nodes.push({ layer: spec.layer, site: spec.site, channel: c });
    }
    specs.set(spec.name, spec);
    channels.set(spec.name, list);
  }
  return {
    channels: (layer, site) => channels.get(`${layer}.${site}`)!,
    flat: (layer, site, channel) => specs.get(`${layer}.${site}`)!.offset + channel,
    nodes,
  };
}
