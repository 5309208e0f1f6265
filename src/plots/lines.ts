/**
 * Line plots: panels side by side or in rows over one legend, with bands, linear or logarithmic axes, and a second
 * measure of the same places along the top. A description of what is to be seen; view.ts draws it. Series differ in
 * colour, marker and dash, so that a figure can be read in black and white.
 */
import type { TopLevelSpec } from "vega-lite";
import { wrapWords } from "../util/text.ts";
import { PLOT_COLORS, type PlotPalette } from "./palette.ts";
import { INK, SIDE } from "./view.ts";

export interface Point {
  readonly x: number;
  readonly y: number;
  /** Ends of the band around y. */
  readonly low?: number;
  readonly high?: number;
}

export interface Series {
  /** In the legend; empty for the only series of a panel, which its title names. */
  readonly name: string;
  /** Drawn thicker than the others: what they sum up to. */
  readonly heavy?: boolean;
  /** Drawn in grey: what the others are compared to. */
  readonly muted?: boolean;
  readonly points: readonly Point[];
}

/** A labelled place on an axis. */
interface Tick {
  readonly at: number;
  readonly label: string;
}

interface Axis {
  /** With the unit. */
  readonly label: string;
  readonly log?: boolean;
  /** Places by square roots: small shares can be seen beside large ones. */
  readonly sqrt?: boolean;
  /** Default: round numbers around the data. */
  readonly domain?: readonly [low: number, high: number];
  readonly ticks?: readonly Tick[];
}

export interface Panel {
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  /** Along the top: another measure of the same places. */
  readonly top?: { readonly label: string; readonly ticks: readonly Tick[] };
  /** Of the same name and look in all panels of a figure: the legend is shared. */
  readonly series: readonly Series[];
  /** Distributions: each line is the upper edge of bars that begin at its points, down to 0. */
  readonly bars?: boolean;
  /** Height of a dashed line, such as chance. */
  readonly level?: number;
  /** Place of a dashed upright line. */
  readonly place?: number;
  /** Pixels. */
  readonly size?: readonly [width: number, height: number];
}

export interface Figure {
  readonly title: string;
  /** Lines under the title: what was measured, on how many. */
  readonly caption: readonly string[];
  readonly panels: readonly Panel[];
  /** Panels in a row; default: all. */
  readonly columns?: number;
}

const SIZE = [270, 200] as const;
/** Ratio of the ends of a logarithmic axis, at least. */
const LEAST_SPAN = 8;
/** Label of a tick, where it has one: prefixes such as k and M for large numbers, none for small ones. */
const SHORT = "datum.label && abs(datum.value) < 1000 ? format(datum.value, '~g') : datum.label";
/** Between ticks, about; pixels. */
const TICK = 33;
/** Of lines, pixels. */
const [LIGHT, HEAVY] = [1.8, 3.6];
/** Names after which colour and dash together would come again. */
const LOOKS = 12;
/** Markers of a line: on all of its points where they are few, else on so many. */
const [FEW, SOME] = [16, 8];
const DASHES = [
  [1, 0],
  [6, 3],
  [2, 3],
  [8, 3, 2, 3],
];

/** Names in the legend, and how they look. */
interface Looks {
  readonly names: readonly string[];
  /** Of each name. */
  readonly colors: readonly string[];
  /** Of a series without a name. */
  readonly color: string;
  readonly legend: object;
}

/** The figure as a Vega-Lite specification. */
export function lineSpec(
  { title, caption, panels, columns = panels.length }: Figure,
  palette: PlotPalette = "default",
): TopLevelSpec {
  const looks = looksOf(panels, columns, PLOT_COLORS[palette]);
  const specs = panels.map((panel) => panelSpec(panel, looks));
  return {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    title: { text: title, subtitle: [...caption] },
    ...(columns < panels.length ? { concat: specs, columns } : { hconcat: specs }),
  } as TopLevelSpec;
}

/** Of a character in the legend, and of a symbol with the space around it; pixels. */
const [CHARACTER, SYMBOL] = [7, 30];

/** Colours in turn, for all but what is grey. A legend of many names is a table as wide as the panels. */
function looksOf(panels: readonly Panel[], perRow: number, palette: readonly string[]): Looks {
  const all = panels.flatMap(({ series }) => series);
  const names = [...new Set(all.map(({ name }) => name))].filter(Boolean);
  const muted = new Set(all.flatMap(({ name, muted }) => (muted ? [name] : [])));
  const bright = names.filter((name) => !muted.has(name));
  const colorOf = (name: string): string => palette[bright.indexOf(name) % palette.length]!;
  const width = panels.slice(0, perRow).reduce((sum, { size = SIZE }) => sum + size[0], 0);
  const longest = Math.max(...names.map((name) => name.length));
  const columns = Math.max(1, Math.floor(width / (CHARACTER * longest + SYMBOL)));
  return {
    names,
    colors: names.map((name) => (muted.has(name) ? SIDE : colorOf(name))),
    color: palette[0]!,
    legend: {
      title: null,
      orient: "bottom",
      direction: "horizontal",
      ...(panels.some(({ bars }) => bars)
        ? { symbolType: "stroke", symbolStrokeWidth: LIGHT, symbolSize: 300 }
        : { symbolStrokeWidth: 0, symbolSize: 70 }),
      ...(columns < names.length && { columns }),
    },
  };
}

function panelSpec(
  { title: heading, x, y, top, series, bars = false, level, place, size = SIZE }: Panel,
  { names, colors, color: only, legend }: Looks,
): object {
  const values = series.flatMap(({ name, points }, i) => {
    const marked = markers(points.length, i / series.length);
    return points.map((point, j) => ({
      ...{ series: name, ...point },
      ...(bars ? { low: 0, high: point.y } : marked(j) && { marked: true }),
    }));
  });
  const by = (range?: object) => ({ field: "series", type: "nominal", scale: { domain: names, ...range }, legend });
  // Of a panel without names the only look.
  const look = series.some(({ name }) => name !== "") ? by : () => undefined;
  const color = look({ range: colors }) ?? { value: only };
  const bottom = { field: "x", ...placed(x), title: titleOf(x, size[0]), axis: axisOf(x, size[0]) };
  // Each layer has an axis of its own where there is one at the top too: then only the first draws it.
  const across = top === undefined ? bottom : { ...bottom, axis: null };
  const heights = series.flatMap(({ points }) => points.flatMap(({ y, low = y, high = y }) => [low, y, high]));
  if (level !== undefined) heights.push(level);
  const upright = placed(y.log ? { domain: logDomain(heights), ...y } : y, true);
  const up = (field: string) => ({ field, ...upright, title: titleOf(y, size[1]), axis: axisOf(y, size[1]) });
  const dashes = names.map((_, i) => DASHES[(i + Math.floor(i / LOOKS)) % DASHES.length]!);
  const heavy = series.flatMap(({ name, heavy }) => (heavy ? [name] : []));
  const strokeWidth = { condition: { test: { field: "series", oneOf: heavy }, value: HEAVY }, value: LIGHT };
  const steps = bars ? { interpolate: "step-after" } : {};
  const lines = {
    mark: { type: "line", strokeJoin: "round", ...steps },
    encoding: { x: bottom, y: up("y"), color, strokeDash: look({ range: dashes }), strokeWidth },
  };
  const bands = {
    mark: { type: "area", opacity: 0.18, ...steps },
    encoding: { x: across, y: up("low"), y2: { field: "high" }, color },
  };
  const points = {
    mark: { type: "point", filled: true, size: 42, opacity: 1 },
    encoding: { x: across, y: up("y"), color, shape: look() },
    transform: [{ filter: "datum.marked" }],
  };
  const dashed = (encoding: object) => ({
    data: { values: [{}] },
    mark: { type: "rule", color: SIDE, strokeDash: [3, 3] },
    encoding,
  });
  const tops = {
    data: { values: top?.ticks },
    mark: { type: "point", opacity: 0 },
    encoding: {
      x: {
        field: "at",
        ...placed(x),
        title: top?.label,
        axis: { ...labelled(top?.ticks ?? []), orient: "top", labelColor: SIDE, titleColor: SIDE, grid: false },
      },
    },
  };
  return {
    ...(top && { title: { text: heading, fontSize: 12, offset: 6 } }),
    width: size[0],
    height: size[1],
    data: { values },
    layer: [
      ...(top || heading === "" ? [] : [titled(heading)]),
      lines,
      ...(values.some(({ low }) => low !== undefined) ? [bands] : []),
      ...(bars ? [] : [points]),
      ...(level === undefined ? [] : [dashed({ y: { datum: level } })]),
      ...(place === undefined ? [] : [dashed({ x: { datum: place } })]),
      ...(top === undefined ? [] : [tops]),
    ],
    ...(top && { resolve: { axis: { x: "independent" } } }),
  };
}

/** Which points of a line have a marker: `shift`, up to 1, keeps those of several lines apart. */
function markers(points: number, shift: number): (index: number) => boolean {
  if (points <= FEW) return () => true;
  const every = Math.ceil(points / SOME);
  return (index) => index % every === Math.floor(shift * every);
}

/** Around the data, and wide enough that what hardly changes looks like it. */
function logDomain(values: readonly number[]): [low: number, high: number] {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const margin = Math.max(1.15, Math.sqrt((LEAST_SPAN * least) / most));
  return [least / margin, most * margin];
}

/** `nice` ends a linear axis at ticks; without, there is room beside the first and last point. */
function placed({ log = false, sqrt = false, domain }: Axis, nice = false): object {
  const range = log ? { nice: false } : { nice, zero: false };
  const rest = { ...(nice ? {} : { padding: 8 }), ...(domain && { domain }) };
  return { type: "quantitative", scale: { type: log ? "log" : sqrt ? "sqrt" : "linear", ...range, ...rest } };
}

/** A title of a panel, at one height in a row: Vega's own goes up where the axis has a label at its end. */
function titled(text: string): object {
  return {
    data: { values: [{}] },
    mark: { type: "text", text, x: 0, y: -10, align: "left", baseline: "bottom", fontSize: 12, fontWeight: "bold" },
    encoding: { color: { value: INK } },
  };
}

/** Of an axis on lines that fit beside it; none of one that the caption names. */
function titleOf({ label }: Axis, length: number): readonly string[] | null {
  return label === "" ? null : wrapWords(label, Math.floor(length / CHARACTER));
}

/** Round numbers in short form where no ticks are given: `0.05`, `500`, `20k`, `1.5M`. */
function axisOf({ ticks }: Axis, length: number): object {
  return ticks === undefined
    ? { format: "~s", labelExpr: SHORT, tickCount: Math.max(2, Math.floor(length / TICK)), labelOverlap: "greedy" }
    : labelled(ticks);
}

function labelled(ticks: readonly Tick[]): object {
  const labels = Object.fromEntries(ticks.map(({ at, label }) => [String(at), label]));
  return { values: ticks.map(({ at }) => at), labelExpr: `(${JSON.stringify(labels)})[toString(datum.value)]` };
}
