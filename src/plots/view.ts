/**
 * Vega-Lite specifications as Vega's views, which svg.ts and draw.ts write. The one plotting library of the tool, run in
 * Node alone: no browser, DOM, canvas or native module. Contract: the same specification gives the same bytes on every
 * machine.
 *
 * Why Vega-Lite (tried beside it with the same two panels, mean and band, log and linear axes):
 * - Vega-Lite 6.4 on Vega 6: 25 MB with 75 packages of one family, SVG in 0.1 s; logarithmic axes, bands, shared legends
 *   and panels are words of its language, and a specification can be kept and redrawn elsewhere. (6.5 needs Node 22.)
 * - ECharts 6: 67 MB; a band is two stacked areas, which then stand in the legend; one title and legend for all panels is
 *   set by hand in pixels.
 * - Observable Plot with linkedom: 16 MB; title and legend are HTML around the SVG, so a figure is not one file.
 *
 * Loaded when something is drawn: no other command pays for it.
 */
import type { View } from "vega";
import type { Config, TopLevelSpec } from "vega-lite";
import { ADVANCE, drawable, UNITS_PER_EM } from "../drawing/font.ts";

export const INK = "#1a1a1a";
export const SIDE = "#5c5c5c";
const GRID = "#e4e4e4";
/** On a page, where the reader's machine has the fonts; files have outlines of DejaVu Sans Mono. */
const FONT = "DejaVu Sans, Verdana, Helvetica, Arial, sans-serif";

const THEME: Config = {
  font: FONT,
  aria: false,
  background: "#ffffff",
  padding: 10,
  concat: { spacing: 24 },
  view: { stroke: SIDE },
  range: {
    symbol: ["circle", "square", "diamond", "triangle-up", "cross", "triangle-down"],
  },
  axis: {
    gridColor: GRID,
    domainColor: SIDE,
    tickColor: SIDE,
    labelColor: INK,
    titleColor: INK,
    titleFontWeight: "normal",
    labelFontSize: 11,
    titleFontSize: 11,
    titlePadding: 8,
  },
  legend: { labelFontSize: 11, labelLimit: 400, titleFontSize: 11, titleFontWeight: "normal", symbolOpacity: 1 },
  title: { anchor: "start", fontSize: 14, subtitleFontSize: 11, subtitleColor: SIDE, color: INK, offset: 12 },
};

/**
 * What `use` makes of the view of a specification.
 * @throws when the specification is wrong: a defect of whoever wrote it
 */
export async function withView<T>(spec: TopLevelSpec, use: (view: View) => Promise<T>): Promise<T> {
  const [vega, { compile }] = await Promise.all([import("vega"), import("vega-lite")]);
  measureAlike(vega);
  const compiled = compile(guarded(spec), { config: THEME });
  const view: View = new vega.View(vega.parse(compiled.spec), { renderer: "none" });
  view.logger().level(vega.Error);
  try {
    return await use(view);
  } finally {
    view.finalize();
  }
}

/** After a text: no width, and taken away again. */
const GUARD = "\u200b";

/** Vega looks texts up as keys of plain objects: those that every object has, such as "constructor", would break a figure. */
function guarded(spec: TopLevelSpec): TopLevelSpec {
  return JSON.parse(JSON.stringify(spec), (_, value: unknown) =>
    typeof value === "string" && value in Object.prototype ? value + GUARD : value,
  );
}

/** The text of a view, or markup with such texts in it, as it was in the specification. */
export function unguarded(text: string): string {
  return text.replace(new RegExp(`(\\w+)${GUARD}`, "g"), (guarded, name: string) =>
    name in Object.prototype ? name : guarded,
  );
}

interface TextMetrics {
  width(item: { readonly fontSize?: number }, text: unknown): number;
}

/**
 * Widths are those of the figures' font; a page's fonts are narrower. Vega would measure with node-canvas where that
 * happens to be installed, and bytes would differ.
 */
function measureAlike(vega: object): void {
  const { textMetrics } = vega as { textMetrics: TextMetrics };
  textMetrics.width = ({ fontSize = 11 }, text) =>
    (ADVANCE / UNITS_PER_EM) * fontSize * [...drawable(String(text ?? ""))].length;
}
