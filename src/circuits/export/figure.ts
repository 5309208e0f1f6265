/** The figure of a circuit in a layout and a palette: the drawing that every picture format writes. */
import type { Circuit } from "../schema.ts";
import type { Trace } from "../trace.ts";
import type { Drawing } from "./drawing.ts";
import { forceView } from "./force-view.ts";
import { PALETTES, type PaletteName } from "./palette.ts";
import { structureView } from "./structure-view.ts";
import { summaryView, whyNotDrawn } from "./summary-view.ts";
import { unrolledView } from "./unrolled-view.ts";

/** layers: the structure view, computed positions; force: free-form, by ForceAtlas2. */
export const LAYOUTS = ["layers", "force"] as const;
export type Layout = (typeof LAYOUTS)[number];

export interface FigureOptions {
  /** Default: layers. */
  readonly layout?: Layout;
  readonly palette?: PaletteName;
  /** The circuit on a prompt, to be shown unrolled. */
  readonly trace?: Trace;
}

export function drawFigure(
  circuit: Circuit,
  { layout = "layers", palette = "default", trace }: FigureOptions = {},
): Drawing {
  if (trace !== undefined && !whyNotDrawn(circuit)) return unrolledView(circuit, trace, PALETTES[palette]);
  const view = whyNotDrawn(circuit) ? summaryView : layout === "force" ? forceView : structureView;
  return view(circuit, PALETTES[palette]);
}
