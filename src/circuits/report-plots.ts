/** Plots of a report as figures of its page: each an inline SVG with its caption. What an axis cannot show is said. */
import { lineSpec, type Point, type Series } from "../plots/lines.ts";
import { renderSvg } from "../plots/svg.ts";
import { html, Markup } from "./export/markup.ts";
import { oneLine } from "./layout/text.ts";
import type { Plot } from "./verification.ts";

/** Pixels; two beside each other on a page of paper. */
const SIZE = [240, 175] as const;

export function plotFigures(plots: readonly Plot[]): Promise<Markup[]> {
  return Promise.all(plots.map(plotFigure));
}

async function plotFigure(plot: Plot): Promise<Markup> {
  const { title, x, y, level } = plot;
  const series = plot.series.map((s) => drawable(s, plot)).filter(({ points }) => points.length > 0);
  const caption = html`<figcaption>${title}<span>${notes(plot, series).join(" ")}</span></figcaption>`;
  if (series.length === 0) return html`<figure>${caption}</figure>\n`;
  const heights = [...series.flatMap(({ points }) => points.flatMap(ends)), ...(level === undefined ? [] : [level])];
  const panel = {
    title: "",
    x: { label: oneLine(x.label), log: x.log ?? false },
    y: {
      label: oneLine(y.label),
      log: y.log ?? false,
      ...(y.domain && { domain: [Math.min(y.domain[0], ...heights), Math.max(y.domain[1], ...heights)] as const }),
    },
    series,
    ...(level === undefined ? {} : { level }),
    size: SIZE,
  };
  const svg = await renderSvg(lineSpec({ title: "", caption: [], panels: [panel] }));
  return html`<figure>${new Markup(svg.trimEnd())}${caption}</figure>\n`;
}

const ends = ({ y, low = y, high = y }: Point): number[] => [low, y, high];

/** The points that have a place on the axes; on a logarithmic one a band ends at the lowest value. */
function drawable(
  { name, points }: Plot["series"][number],
  { x: { log: logX }, y: { log: logY }, series }: Plot,
): Series {
  const placed = points.filter(({ x, y }) => (!logX || x > 0) && (!logY || y > 0));
  const least = logY
    ? Math.min(...series.flatMap((s) => s.points.map(({ y }) => y)).filter((height) => height > 0))
    : Number.NEGATIVE_INFINITY;
  return {
    name: oneLine(name),
    points: placed.map(({ x, y, low, high }) => ({
      ...{ x, y },
      ...(low !== undefined && high !== undefined && { low: low > 0 ? low : Math.max(low, least), high }),
    })),
  };
}

function notes({ level, series: all }: Plot, series: readonly Series[]): string[] {
  const points = series.flatMap((s) => s.points);
  const left = all.flatMap((s) => s.points).length - points.length;
  return [
    ...(points.length === 0 ? ["Nothing to draw."] : []),
    ...(level === undefined ? [] : [`Dashed: ${Number(level.toPrecision(4))}.`]),
    ...(left > 0 ? [`Not drawn, at or below 0 on a logarithmic axis: n = ${left}.`] : []),
  ];
}
