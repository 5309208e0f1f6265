/**
 * Node sites: the places in a block where a node lives, one node per channel. Names follow the release's hooks
 * (`3.mlp.post_act`); a node id adds the channel (`3.mlp.post_act:1042`). Parsing and printing happen here only.
 */
import { inputError } from "../util/errors.ts";
import { nearest } from "../util/nearest.ts";
import { attentionWidth, type CutLocation, type ModelConfig, readWidth } from "./config.ts";

/** In the flat order of nodes within a layer. */
export const SITES = [
  "attn.act_in",
  "attn.q",
  "attn.k",
  "attn.v",
  "attn.resid_delta",
  "mlp.act_in",
  "mlp.post_act",
  "mlp.resid_delta",
] as const;
export type Site = (typeof SITES)[number];

/** Places that are recorded but hold no nodes; the last is not part of a layer. */
export const RECORDED = ["resid_in", "attn.y", "resid_mid"] as const;
type Recorded = (typeof RECORDED)[number];

export const SITE_LOCATION: Record<Site, CutLocation> = {
  "attn.act_in": "attn_in",
  "attn.q": "attn_q",
  "attn.k": "attn_k",
  "attn.v": "attn_v",
  "attn.resid_delta": "attn_out",
  "mlp.act_in": "mlp_in",
  "mlp.post_act": "mlp_neuron",
  "mlp.resid_delta": "mlp_out",
};

/** `3.mlp.post_act` */
export type SiteName = `${number}.${Site}`;
/** Everything a forward pass can record. */
export type HookName = SiteName | `${number}.${Recorded}` | "final_resid";

export interface SiteSpec {
  readonly name: SiteName;
  readonly layer: number;
  readonly site: Site;
  readonly width: number;
  /** Index of the site's channel 0 in the flat order of all nodes. */
  readonly offset: number;
}

export function siteName(layer: number, site: Site): SiteName {
  return `${layer}.${site}`;
}

function siteWidth(config: ModelConfig, site: Site): number {
  switch (site) {
    case "attn.act_in":
    case "mlp.act_in":
      return readWidth(config);
    case "attn.q":
    case "attn.k":
    case "attn.v":
      return attentionWidth(config);
    case "attn.resid_delta":
    case "mlp.resid_delta":
      return config.width;
    case "mlp.post_act":
      return config.neurons;
  }
}

/** All sites of a model in flat order: layer 0 first. */
export function siteSpecs(config: ModelConfig): SiteSpec[] {
  const specs: SiteSpec[] = [];
  let offset = 0;
  for (let layer = 0; layer < config.layers; layer++) {
    for (const site of SITES) {
      const width = siteWidth(config, site);
      specs.push({ name: siteName(layer, site), layer, site, width, offset });
      offset += width;
    }
  }
  return specs;
}

/** How many nodes a model has. */
export function nodeCount(config: ModelConfig): number {
  return siteSpecs(config).reduce((sum, s) => sum + s.width, 0);
}

export interface NodeRef {
  readonly layer: number;
  readonly site: Site;
  readonly channel: number;
}

export type NodeId = `${SiteName}:${number}`;

export function nodeId(node: NodeRef): NodeId {
  return `${siteName(node.layer, node.site)}:${node.channel}`;
}

/** Flat indices of a model's nodes by id; undefined for a node that it does not have. */
export function nodeIndexOf(config: ModelConfig): (id: string) => number | undefined {
  const specs = new Map<string, SiteSpec>(siteSpecs(config).map((spec) => [spec.name, spec]));
  return (id) => {
    const { layer, site, channel } = parseNodeId(id);
    const spec = specs.get(siteName(layer, site));
    return spec && channel < spec.width ? spec.offset + channel : undefined;
  };
}

const NODE_ID = /^(\d+)\.([a-z_.]+):(\d+)$/;

/** The inverse of `nodeId`; throws an input error on anything else. */
export function parseNodeId(text: string): NodeRef {
  const match = NODE_ID.exec(text);
  const site = match?.[2] as Site | undefined;
  if (!match || site === undefined || !SITES.includes(site)) {
    const near = match?.[2] === undefined ? undefined : nearest(match[2], SITES);
    throw inputError(
      "node-id",
      `"${text}" is not a node`,
      `A node looks like 3.mlp.post_act:1042${near === undefined ? "" : ` (nearest site: ${near})`}.`,
    );
  }
  return { layer: Number(match[1]), site, channel: Number(match[3]) };
}
