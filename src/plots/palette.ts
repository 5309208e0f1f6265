/** Colours of series, in the order in which they are given; told apart by marker and dash as well. */

/** Okabe and Ito's colours, told apart by colour-blind readers. */
const OKABE_ITO = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

export const PLOT_COLORS = {
  default: OKABE_ITO,
  colorblind: OKABE_ITO,
  /** Greys that survive a copier. */
  print: ["#000000", "#7a7a7a", "#3d3d3d", "#a8a8a8", "#1f1f1f", "#5c5c5c"],
} as const satisfies Record<string, readonly string[]>;

export type PlotPalette = keyof typeof PLOT_COLORS;
export const PLOT_PALETTES = Object.keys(PLOT_COLORS) as PlotPalette[];
