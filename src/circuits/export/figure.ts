/** The figure of a circuit in a layout and a palette: the drawing that every picture format writes. */
import type { Drawing } from "../../drawing/drawing.ts";
import { inputError } from "../../util/errors.ts";
import { unrolledLayout } from "../layout/unrolled.ts";
import type { Circuit } from "../schema.ts";
import type { Trace } from "../trace.ts";
import { codeView } from "./code-view.ts";
import { forceView } from "./force-view.ts";
import { PALETTES, type PaletteName } from "./palette.ts";
import { structureView } from "./structure-view.ts";
import { summaryView, whyNotDrawn } from "./summary-view.ts";
import { unrolledView } from "./unrolled-view.ts";

/** layers: the structure view, computed positions; force: free-form, by ForceAtlas2; code: over a prompt's text. */
export const LAYOUTS = ["layers", "force", "code"] as const;
export type Layout = (typeof LAYOUTS)[number];

export interface FigureOptions {
  /** Default: layers. */
  readonly layout?: Layout;
  readonly palette?: PaletteName;
  /** The circuit on a prompt, to be shown unrolled. */
  readonly trace?: Trace;
}

/** What to do about a figure or format that needs a prompt. */
export const PROMPT_HINT = 'Add --pair 0, or --prompt "...".';

/** @throws input error `export-prompt` for the code view without a prompt */
export function drawFigure(
  circuit: Circuit,
  { layout = "layers", palette = "default", trace }: FigureOptions = {},
): Drawing {
  if (trace !== undefined && !whyNotDrawn(circuit)) {
    const view = layout === "code" ? codeView : unrolledView;
    return view(circuit, trace, PALETTES[palette]);
  }
  if (layout === "code" && trace === undefined) {
    throw inputError("export-prompt", "the code view is of a circuit on a prompt", PROMPT_HINT);
  }
  const view = whyNotDrawn(circuit) ? summaryView : layout === "force" ? forceView : structureView;
  return view(circuit, PALETTES[palette]);
}

/** How many nodes the unrolled view leaves out, and why; undefined where all are drawn, and of other figures. */
export function whyAbsent(circuit: Circuit, { layout, trace }: FigureOptions): string | undefined {
  if (trace === undefined || layout === "code" || whyNotDrawn(circuit)) return undefined;
  return unrolledLayout(circuit, trace).absent;
}
