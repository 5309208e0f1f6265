/**
 * Colours and line styles of figures. In the default palette red is positive and blue negative, as in the paper; the
 * numbers on the lines have their sign in every palette.
 */
import type { Stroke } from "../../drawing/drawing.ts";
import type { Site } from "../../model/sites.ts";
import type { CircuitLink } from "../schema.ts";

interface Colors {
  readonly positive: string;
  readonly negative: string;
  readonly residual: string;
  readonly attention: string;
  readonly boundary: string;
  readonly ink: string;
  readonly faint: string;
  readonly side: string;
  readonly neuron: string;
  readonly attentionFill: string;
  /** Of the most active nodes of a prompt. */
  readonly neuronActive: string;
  readonly attentionActive: string;
  readonly token: string;
  readonly answer: string;
  readonly paper: string;
}

export interface Palette {
  readonly colors: Colors;
  /** Dashes of negative weights, where colour alone does not tell them. */
  readonly negativeDash?: readonly number[];
  /** Fills strong enough for nodes without an outline. */
  readonly sites: Readonly<Record<Site, string>>;
}

export const COLORS: Colors = {
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
  neuronActive: "#f7cf74",
  attentionActive: "#b0c8f7",
  token: "#f1f1f1",
  answer: "#dff0e0",
  paper: "#ffffff",
};

export const SITE_COLORS: Readonly<Record<Site, string>> = {
  "attn.act_in": "#9aa0a6",
  "attn.q": "#4f7fd9",
  "attn.k": "#7b61c9",
  "attn.v": "#2a9d8f",
  "attn.resid_delta": "#5f6368",
  "mlp.act_in": "#9aa0a6",
  "mlp.post_act": "#e0a526",
  "mlp.resid_delta": "#5f6368",
};

export const PALETTES = {
  default: { colors: COLORS, sites: SITE_COLORS },
  /** Black on white: negative weights are dashed, fills are shades that survive a copier. */
  print: {
    colors: {
      ...COLORS,
      positive: "#000000",
      negative: "#000000",
      residual: "#a6a6a6",
      neuron: "#ffffff",
      attentionFill: "#ededed",
      neuronActive: "#c4c4c4",
      attentionActive: "#c4c4c4",
      token: "#ffffff",
      answer: "#d6d6d6",
      ink: "#000000",
      side: "#404040",
      faint: "#707070",
    },
    negativeDash: [6, 3],
    sites: {
      "attn.act_in": "#c8c8c8",
      "attn.q": "#ffffff",
      "attn.k": "#e4e4e4",
      "attn.v": "#969696",
      "attn.resid_delta": "#5a5a5a",
      "mlp.act_in": "#c8c8c8",
      "mlp.post_act": "#000000",
      "mlp.resid_delta": "#5a5a5a",
    },
  },
  /** Okabe and Ito's colours, which colour-blind readers tell apart. */
  colorblind: {
    colors: {
      ...COLORS,
      positive: "#d55e00",
      negative: "#0072b2",
      neuron: "#fbf0c4",
      attentionFill: "#dcedf8",
      neuronActive: "#f0e070",
      attentionActive: "#a5d4f0",
      answer: "#d3efe6",
    },
    sites: {
      "attn.act_in": "#999999",
      "attn.q": "#56b4e9",
      "attn.k": "#cc79a7",
      "attn.v": "#009e73",
      "attn.resid_delta": "#555555",
      "mlp.act_in": "#999999",
      "mlp.post_act": "#e69f00",
      "mlp.resid_delta": "#555555",
    },
  },
} as const satisfies Record<string, Palette>;

export type PaletteName = keyof typeof PALETTES;
export const PALETTE_NAMES = Object.keys(PALETTES) as PaletteName[];

export const LINK_COLORS: Record<CircuitLink["kind"], string> = {
  residual: COLORS.residual,
  "query-key": COLORS.attention,
  value: COLORS.attention,
};

export function signColor(weight: number, { colors }: Palette = PALETTES.default): string {
  return weight < 0 ? colors.negative : colors.positive;
}

/** The line of a weight. */
export function weightStroke(weight: number, width: number, palette: Palette, opacity = 1): Stroke {
  const dash = weight < 0 && palette.negativeDash ? { dash: palette.negativeDash } : {};
  return { color: signColor(weight, palette), width, ...dash, ...(opacity === 1 ? {} : { opacity }) };
}

/** The dotted line of attention. */
export function attentionStroke({ colors }: Palette): Stroke {
  return { color: colors.attention, width: 1.2, dash: [1.5, 2.5] };
}
