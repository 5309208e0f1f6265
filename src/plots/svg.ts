/** Plots as SVG for a page: text remains text, which a reader can select and search. Files are written from draw.ts. */
import type { TopLevelSpec } from "vega-lite";
import { unguarded, withView } from "./view.ts";

/** @throws when the specification is wrong: a defect of whoever wrote it. */
export function renderSvg(spec: TopLevelSpec): Promise<string> {
  return withView(spec, async (view) => `${rounded(unguarded(await view.toSVG()))}\n`);
}

/** Places to a hundredth of a pixel. */
function rounded(svg: string): string {
  return svg.replace(/ (?:transform|d|[xy]2)="[^"]*"/g, (attribute) =>
    attribute.replace(/-?\d+\.\d{3,}/g, (number) => String(Math.round(100 * Number(number)) / 100 || 0)),
  );
}
