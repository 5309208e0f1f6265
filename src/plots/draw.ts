/**
 * Plots as drawings, which are written as SVG, PDF, PNG and TikZ with outlined text: Vega draws on a canvas that only
 * remembers. No picture is made and no font is needed on the machine.
 */
import type { TopLevelSpec } from "vega-lite";
import type { Drawing, Fill, Item, Stroke } from "../drawing/drawing.ts";
import { Canvas } from "./canvas.ts";
import { unguarded, withView } from "./view.ts";

/** @throws when the specification is wrong: a defect of whoever wrote it. */
export function drawPlot(spec: TopLevelSpec, title: string): Promise<Drawing> {
  return withView(spec, async (view) => {
    const canvas = new Canvas(unguarded);
    // Its type wants a browser's context; Vega calls what Canvas has.
    await view.toCanvas(1, { externalContext: canvas } as object);
    const {
      items,
      size: [width, height],
    } = canvas;
    return { width, height, title, colors: colorsOf(items), groups: [{ name: "plot", items }] };
  });
}

/** By name, which is the colour itself: no two plots have the same. */
function colorsOf(items: readonly Item[]): Record<string, string> {
  const hexes = items.flatMap(({ marks }) =>
    marks.flatMap((mark): string[] => {
      if (mark.type === "text") return [mark.color];
      const { fill, stroke } = mark as { fill?: Fill; stroke?: Stroke };
      return [fill?.color, stroke?.color].filter((color) => color !== undefined);
    }),
  );
  return Object.fromEntries([...new Set(hexes)].sort().map((hex) => [hex.slice(1), hex]));
}
