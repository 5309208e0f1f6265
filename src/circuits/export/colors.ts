/** Colours of figures: red positive, blue negative as in the paper; told apart in grey print by the sign of the label. */
import type { Site } from "../../model/sites.ts";
import type { CircuitLink } from "../schema.ts";

export const COLORS = {
  positive: "#c0342b",
  negative: "#2456a6",
  residual: "#b9b9b9",
  attention: "#5d5d5d",
  boundary: "#cfcfcf",
  ink: "#222222",
  faint: "#8a8a8a",
  side: "#5a5a5a",
  neuron: "#fdf3dc",
  attentionFill: "#e8eefc",
  token: "#f1f1f1",
  answer: "#dff0e0",
} as const;

/** Fills strong enough for nodes without an outline. */
export const SITE_COLORS: Record<Site, string> = {
  "attn.act_in": "#9aa0a6",
  "attn.q": "#4f7fd9",
  "attn.k": "#7b61c9",
  "attn.v": "#2a9d8f",
  "attn.resid_delta": "#5f6368",
  "mlp.act_in": "#9aa0a6",
  "mlp.post_act": "#e0a526",
  "mlp.resid_delta": "#5f6368",
};

export const LINK_COLORS: Record<CircuitLink["kind"], string> = {
  residual: COLORS.residual,
  "query-key": COLORS.attention,
  value: COLORS.attention,
};

export function signColor(weight: number): string {
  return weight < 0 ? COLORS.negative : COLORS.positive;
}
