/**
 * Vega-Lite specifications as SVG. The one plotting library of the tool, drawn with in Node alone: no browser, DOM, canvas
 * or native module. Contract: the same specification gives the same bytes on every machine.
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

const INK = "#1a1a1a";
export const SIDE = "#5c5c5c";
const GRID = "#e4e4e4";

/** Okabe and Ito's colours, told apart by colour-blind readers. */
const COLORS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
const FONT = "DejaVu Sans, Verdana, Helvetica, Arial, sans-serif";

const THEME: Config = {
  font: FONT,
  aria: false,
  background: "white",
  padding: 10,
  concat: { spacing: 24 },
  view: { stroke: SIDE },
  range: { category: COLORS, symbol: ["circle", "square", "diamond", "triangle-up", "cross", "triangle-down"] },
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

/** Advance of a character in ems, a little more than the fonts have it on average; no font is at hand to ask. */
const CHARACTER_EM = 0.62;

/** @throws when the specification is wrong: a defect of whoever wrote it. */
export async function renderSvg(spec: TopLevelSpec): Promise<string> {
  const [vega, { compile }] = await Promise.all([import("vega"), import("vega-lite")]);
  measureAlike(vega);
  const compiled = compile(guarded(spec), { config: THEME });
  const view: View = new vega.View(vega.parse(compiled.spec), { renderer: "none" });
  view.logger().level(vega.Error);
  try {
    return `${rounded(unguarded(await view.toSVG()))}\n`;
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

function unguarded(svg: string): string {
  return svg.replace(new RegExp(`(\\w+)${GUARD}`, "g"), (text, name: string) =>
    name in Object.prototype ? name : text,
  );
}

/** Places to a hundredth of a pixel. */
function rounded(svg: string): string {
  return svg.replace(/ (?:transform|d|[xy]2)="[^"]*"/g, (attribute) =>
    attribute.replace(/-?\d+\.\d{3,}/g, (number) => String(Math.round(100 * Number(number)) / 100 || 0)),
  );
}

interface TextMetrics {
  width(item: { readonly fontSize?: number }, text: unknown): number;
}

/** Vega measures with node-canvas where that happens to be installed: never here, or bytes would differ. */
function measureAlike(vega: object): void {
  const { textMetrics } = vega as { textMetrics: TextMetrics };
  textMetrics.width = ({ fontSize = 11 }, text) => Math.round(CHARACTER_EM * fontSize * String(text ?? "").length);
}
