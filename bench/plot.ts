/**
 * Line plots with logarithmic axes as self-contained SVG, panels side by side under one legend. A pure function: the same
 * figure, the same bytes. Series differ in colour (Okabe and Ito's, told apart by colour-blind readers), marker and dash.
 */
import { escapeXml } from "../src/circuits/export/xml.ts";

export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface Series {
  readonly name: string;
  readonly points: readonly Point[];
}

/** A labelled place on an axis. */
export interface Tick {
  readonly at: number;
  readonly label: string;
}

export interface Panel {
  readonly title: string;
  readonly x: AxisText;
  readonly y: AxisText;
  /** Along the top: another measure of the same places. */
  readonly top?: AxisText;
  /** In the order of the figure's other panels: the legend is shared. */
  readonly series: readonly Series[];
}

interface AxisText {
  /** With the unit. */
  readonly label: string;
  /** Default: 1, 2, 5, 10, ... or whole decades where those are many. */
  readonly ticks?: readonly Tick[];
}

export interface Figure {
  readonly title: string;
  /** One line under the title: what was measured. */
  readonly subtitle: string;
  readonly panels: readonly Panel[];
}

const INK = "#1a1a1a";
const SIDE = "#5c5c5c";
const GRID = "#e4e4e4";
const FONT = "'DejaVu Sans', Verdana, Helvetica, Arial, sans-serif";
const STYLES = [
  { color: "#0072b2", dash: "", marker: "circle" },
  { color: "#d55e00", dash: "6 3", marker: "square" },
  { color: "#009e73", dash: "2 3", marker: "diamond" },
] as const;
type Style = (typeof STYLES)[number];

const PANEL = { width: 300, height: 230, left: 66, right: 18, top: 104, bottom: 58 };

/** At most two decimals, no negative zero. */
const num = (value: number): string => String(Math.round(value * 100) / 100 || 0);

/** `500`, `2000`, `20k`, `1.5M` */
export function tickLabel(value: number): string {
  if (value >= 1e6) return `${Number((value / 1e6).toPrecision(3))}M`;
  if (value >= 1e4) return `${Number((value / 1e3).toPrecision(3))}k`;
  return String(Number(value.toPrecision(3)));
}

/** Over more than this only powers of ten are labelled. */
const DECADES_ONLY = 200;
/** An axis spans at least this, so that what hardly changes looks like it. */
const LEAST_SPAN = 8;

/** `factors` times the powers of ten, from `low` to `high`. */
function multiples(factors: readonly number[], low: number, high: number): number[] {
  const ticks: number[] = [];
  for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++) {
    for (const f of factors) {
      const tick = e < 0 ? f / 10 ** -e : f * 10 ** e;
      if (tick >= low * 0.999 && tick <= high * 1.001) ticks.push(tick);
    }
  }
  return ticks;
}

/** Round numbers from `low` to `high`: 1, 2, 5, 10, ...; only powers of ten over more than two decades. */
export function logTicks(low: number, high: number): number[] {
  return multiples(factorsOf(low, high), low, high);
}

function factorsOf(low: number, high: number): readonly number[] {
  return high / low > DECADES_ONLY ? [1] : [1, 2, 5];
}

/** The nearest ticks around the data. */
function niceRange(least: number, most: number): [low: number, high: number] {
  const around = multiples(factorsOf(least, most), least / 100, most * 100);
  let low = around.findLastIndex((tick) => tick <= least * 1.001);
  let high = around.findIndex((tick) => tick >= most * 0.999);
  while (around[high]! / around[low]! < LEAST_SPAN) {
    if (least / around[low]! < around[high]! / most) low--;
    else high++;
  }
  return [around[low]!, around[high]!];
}

interface Scale {
  readonly low: number;
  readonly high: number;
  readonly ticks: readonly Tick[];
  /** From a value to a place. */
  place(value: number): number;
}

/** The data with a margin, over `from` to `to`; `nice` ends the axis at ticks. */
function logScale(values: readonly number[], axis: AxisText, from: number, to: number, nice: boolean): Scale {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const margin = Math.max(1.15, (most / least) ** 0.06);
  const [low, high] = nice ? niceRange(least, most) : [least / margin, most * margin];
  const place = (value: number): number => from + (Math.log(value / low) / Math.log(high / low)) * (to - from);
  const ticks = axis.ticks ?? logTicks(low, high).map((at) => ({ at, label: tickLabel(at) }));
  return { low, high, ticks, place };
}

function text(x: number, y: number, label: string, attributes = ""): string {
  return `<text x="${num(x)}" y="${num(y)}"${attributes && ` ${attributes}`}>${escapeXml(label)}</text>`;
}

function line(x1: number, y1: number, x2: number, y2: number, color: string): string {
  return `<path d="M${num(x1)} ${num(y1)}L${num(x2)} ${num(y2)}" stroke="${color}"/>`;
}

function marker({ marker: kind, color }: Style, x: number, y: number): string {
  if (kind === "circle") return `<circle cx="${num(x)}" cy="${num(y)}" r="3.4" fill="${color}"/>`;
  const turn = kind === "diamond" ? ` transform="rotate(45 ${num(x)} ${num(y)})"` : "";
  return `<rect x="${num(x - 3.1)}" y="${num(y - 3.1)}" width="6.2" height="6.2" fill="${color}"${turn}/>`;
}

function curve(style: Style, points: readonly Point[]): string {
  const path = points.map(({ x, y }, i) => `${i === 0 ? "M" : "L"}${num(x)} ${num(y)}`).join("");
  const dash = style.dash && ` stroke-dasharray="${style.dash}"`;
  return `<path d="${path}" fill="none" stroke="${style.color}" stroke-width="1.8" stroke-linejoin="round"${dash}/>`;
}

function panelSvg(panel: Panel, left: number): string[] {
  const [x0, x1] = [left + PANEL.left, left + PANEL.left + PANEL.width];
  const [y0, y1] = [PANEL.top + PANEL.height, PANEL.top];
  const points = panel.series.flatMap((s) => s.points);
  const x = logScale(
    points.map((p) => p.x),
    panel.x,
    x0,
    x1,
    false,
  );
  const y = logScale(
    points.map((p) => p.y),
    panel.y,
    y0,
    y1,
    true,
  );
  const center = (x0 + x1) / 2;
  const minor = panel.x.ticks ? [] : multiples([2, 3, 4, 5, 6, 7, 8, 9], x.low, x.high);
  return [
    text(x0, panel.top ? y1 - 42 : y1 - 12, panel.title, `fill="${INK}" font-weight="bold" font-size="12"`),
    ...x.ticks.map(({ at }) => line(x.place(at), y0, x.place(at), y1, GRID)),
    ...y.ticks.map(({ at }) => line(x0, y.place(at), x1, y.place(at), GRID)),
    ...minor.map((at) => line(x.place(at), y0, x.place(at), y0 + 3, SIDE)),
    ...x.ticks.map(({ at }) => line(x.place(at), y0, x.place(at), y0 + 6, SIDE)),
    ...y.ticks.map(({ at }) => line(x0 - 5, y.place(at), x0, y.place(at), SIDE)),
    `<rect x="${num(x0)}" y="${num(y1)}" width="${PANEL.width}" height="${PANEL.height}" fill="none" stroke="${SIDE}"/>`,
    ...x.ticks.map(({ at, label }) => text(x.place(at), y0 + 19, label, `text-anchor="middle" fill="${INK}"`)),
    ...y.ticks.map(({ at, label }) => text(x0 - 9, y.place(at) + 4, label, `text-anchor="end" fill="${INK}"`)),
    text(center, y0 + 40, panel.x.label, `text-anchor="middle" fill="${INK}"`),
    text(
      0,
      0,
      panel.y.label,
      `transform="translate(${num(left + 18)} ${num((y0 + y1) / 2)}) rotate(-90)" text-anchor="middle" fill="${INK}"`,
    ),
    ...(panel.top?.ticks ?? []).flatMap(({ at, label }) => [
      line(x.place(at), y1, x.place(at), y1 - 5, SIDE),
      text(x.place(at), y1 - 9, label, `text-anchor="middle" fill="${SIDE}" font-size="10"`),
    ]),
    ...(panel.top
      ? [text(center, y1 - 24, panel.top.label, `text-anchor="middle" fill="${SIDE}" font-size="10"`)]
      : []),
    ...panel.series.flatMap((series, s) => {
      const style = STYLES[s % STYLES.length]!;
      const places = series.points.map((p) => ({ x: x.place(p.x), y: y.place(p.y) }));
      return [curve(style, places), ...places.map((p) => marker(style, p.x, p.y))];
    }),
  ];
}

export function figureSvg(figure: Figure): string {
  const { left, right, top, bottom } = PANEL;
  const step = left + PANEL.width + right;
  const width = step * figure.panels.length + 6;
  const legendY = top + PANEL.height + bottom + 8;
  const height = legendY + 16;
  const legend = figure.panels[0]!.series.flatMap(({ name }, s) => {
    const style = STYLES[s % STYLES.length]!;
    const x = left + s * 230;
    const points = [x, x + 34].map((at) => ({ x: at, y: legendY }));
    return [curve(style, points), marker(style, x + 17, legendY), text(x + 42, legendY + 4, name, `fill="${INK}"`)];
  });
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="${FONT}" font-size="11">`,
    `<title>${escapeXml(figure.title)}</title>`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    text(left, 24, figure.title, `fill="${INK}" font-weight="bold" font-size="14"`),
    text(left, 42, figure.subtitle, `fill="${SIDE}"`),
    ...figure.panels.flatMap((panel, i) => panelSvg(panel, i * step)),
    ...legend,
    "</svg>",
  ].join("\n")}\n`;
}
