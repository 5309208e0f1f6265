/** Plots of a report as figures of its page: each an inline SVG with its caption. What an axis cannot show is said. */
import { lineSpec, type Panel, type Point, type Series } from "../plots/lines.ts";
import { renderSvg } from "../plots/svg.ts";
import { html, Markup } from "./export/markup.ts";
import { oneLine } from "./layout/text.ts";
import type { Plot } from "./verification.ts";

/** Pixels; two beside each other on a page of paper. */
const SIZE = [240, 175] as const;

/** `target`: task loss that the circuit was to meet. */
export function plotFigures(plots: readonly Plot[], target: number): Promise<Markup[]> {
  return Promise.all(plots.map((plot) => plotFigure(plot, target)));
}

async function plotFigure(plot: Plot, target: number): Promise<Markup> {
  const { title, x, y, level } = plot;
  const series = plot.series.map((s) => drawable(s, plot)).filter(({ points }) => points.length > 0);
  const caption = html`<figcaption>${title}<span>${notes(plot, series, target).join(" ")}</span></figcaption>`;
  if (series.length === 0) return html`<figure>${caption}</figure>\n`;
  const panel = {
    title: "",
    x: { label: oneLine(x.label), log: x.log ?? false },
    y: { label: oneLine(y.label), ...heightsShown(plot, series) },
    series,
    ...(level === undefined ? {} : { level }),
    size: SIZE,
  };
  const svg = await renderSvg(lineSpec({ title: "", caption: [], panels: [panel] }));
  return html`<figure>${new Markup(svg.trimEnd())}${caption}</figure>\n`;
}

/** Room of an axis beyond what is drawn, as a share of it. */
const MARGIN = 0.06;

/** An axis that holds all points, bands and the level, which must not lie on the frame; from 0 where that is near. */
function heightsShown(
  { y: { log = false, domain }, level }: Plot,
  series: readonly Series[],
): Pick<Panel["y"], "log" | "domain"> {
  const heights = [...series.flatMap(({ points }) => points.flatMap(ends)), ...(level === undefined ? [] : [level])];
  const [low, high] = [Math.min(...heights, ...(domain ?? [])), Math.max(...heights, ...(domain ?? []))];
  if (log) return domain ? { log, domain: [low, high] } : { log };
  const margin = MARGIN * (high - low || Math.abs(high) || 1);
  const isTight = (end: number): boolean => domain === undefined || end === level;
  const bottom = isTight(low) ? low - margin : low;
  return { domain: [low >= 0 && bottom < 0 && level !== low ? 0 : bottom, isTight(high) ? high + margin : high] };
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

function notes({ y, level, series: all }: Plot, series: readonly Series[], target: number): string[] {
  const points = series.flatMap((s) => s.points);
  const left = all.flatMap((s) => s.points).length - points.length;
  return [
    ...(points.length === 0 ? ["Nothing to draw."] : []),
    ...(level === undefined ? [] : [`Dashed: ${levelName(level, y.label, target)}.`]),
    ...(left > 0 ? [`Not drawn, at or below 0 on a logarithmic axis: n = ${left}.`] : []),
  ];
}

function levelName(level: number, axis: string, target: number): string {
  if (level === target) return `the target task loss, ${target} nats`;
  return `${oneLine(axis)} of ${Number(level.toPrecision(4))}`;
}
