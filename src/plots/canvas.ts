/**
 * A canvas that remembers: what Vega calls of CanvasRenderingContext2D, as marks in the figure's own pixels. Anything else
 * that Vega could call is not here, so that it fails rather than being left out of a figure.
 */
import type { Box, Fill, Item, Mark, PathCommand, Point, Stroke } from "../drawing/drawing.ts";
import { ADVANCE, drawable, UNITS_PER_EM } from "../drawing/font.ts";

/** x' = a x + c y + e, y' = b x + d y + f */
type Matrix = readonly [a: number, b: number, c: number, d: number, e: number, f: number];

/** More than any figure. */
const EVERYWHERE: Box = { x: -1e6, y: -1e6, width: 2e6, height: 2e6 };
const CLEAR = "transparent";
/** Names that Vega uses by itself. */
const NAMED: Readonly<Record<string, string>> = { black: "#000000", white: "#ffffff" };

export class Canvas {
  readonly items: Item[] = [];
  /** Of the background, which is the figure's. */
  size: readonly [width: number, height: number] = [0, 0];

  fillStyle = CLEAR;
  strokeStyle = CLEAR;
  globalAlpha = 1;
  lineWidth = 1;
  font = "";
  textAlign: "left" | "center" | "right" = "left";
  private dash: readonly number[] = [];

  private matrix: Matrix = [1, 0, 0, 1, 0, 0];
  private clipBox: Box | undefined;
  private readonly saved: { readonly matrix: Matrix; readonly clipBox: Box | undefined }[] = [];
  private path: PathCommand[] = [];
  private readonly original: (text: string) => string;

  /** `original`: a text as it was before Vega got it. */
  constructor(original: (text: string) => string) {
    this.original = original;
  }

  save(): void {
    this.saved.push({ matrix: this.matrix, clipBox: this.clipBox });
  }

  restore(): void {
    Object.assign(this, this.saved.pop());
  }

  translate(x: number, y: number): void {
    this.multiply([1, 0, 0, 1, x, y]);
  }

  scale(x: number, y: number): void {
    this.multiply([x, 0, 0, y, 0, 0]);
  }

  rotate(angle: number): void {
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    this.multiply([cos, sin, -sin, cos, 0, 0]);
  }

  private multiply([a, b, c, d, e, f]: Matrix): void {
    const [A, B, C, D, E, F] = this.matrix;
    this.matrix = [A * a + C * b, B * a + D * b, A * c + C * d, B * c + D * d, A * e + C * f + E, B * e + D * f + F];
  }

  private at(x: number, y: number): Point {
    const [a, b, c, d, e, f] = this.matrix;
    return { x: a * x + c * y + e, y: b * x + d * y + f };
  }

  beginPath(): void {
    this.path = [];
  }

  moveTo(x: number, y: number): void {
    this.path.push({ type: "M", ...this.at(x, y) });
  }

  lineTo(x: number, y: number): void {
    this.path.push({ type: "L", ...this.at(x, y) });
  }

  bezierCurveTo(x1: number, y1: number, x2: number, y2: number, x: number, y: number): void {
    const [first, second] = [this.at(x1, y1), this.at(x2, y2)];
    this.path.push({ type: "C", x1: first.x, y1: first.y, x2: second.x, y2: second.y, ...this.at(x, y) });
  }

  /** Clockwise, a quarter or less in each curve. */
  arc(x: number, y: number, radius: number, from: number, to: number): void {
    const parts = Math.ceil((2 * (to - from)) / Math.PI);
    const step = (to - from) / parts;
    const reach = (4 / 3) * Math.tan(step / 4);
    const on = (angle: number, side: number): [number, number] => [
      x + radius * (Math.cos(angle) - side * Math.sin(angle)),
      y + radius * (Math.sin(angle) + side * Math.cos(angle)),
    ];
    if (this.path.length === 0) this.moveTo(...on(from, 0));
    else this.lineTo(...on(from, 0));
    for (let i = 0; i < parts; i++) {
      const [start, end] = [from + i * step, from + (i + 1) * step];
      this.bezierCurveTo(...on(start, reach), ...on(end, -reach), ...on(end, 0));
    }
  }

  rect(x: number, y: number, width: number, height: number): void {
    this.moveTo(x, y);
    this.lineTo(x + width, y);
    this.lineTo(x + width, y + height);
    this.lineTo(x, y + height);
    this.closePath();
  }

  closePath(): void {
    this.path.push({ type: "Z" });
  }

  /** To the box around the path, which is a rectangle wherever Vega-Lite clips. */
  clip(): void {
    const points = this.path.filter((command) => command.type !== "Z");
    const [xs, ys] = [points.map(({ x }) => x), points.map(({ y }) => y)];
    const { x, y, width, height } = this.clipBox ?? EVERYWHERE;
    const [left, top] = [Math.max(x, Math.min(...xs)), Math.max(y, Math.min(...ys))];
    const [right, bottom] = [Math.min(x + width, Math.max(...xs)), Math.min(y + height, Math.max(...ys))];
    this.clipBox = { x: left, y: top, width: Math.max(0, right - left), height: Math.max(0, bottom - top) };
  }

  setLineDash(dash: readonly number[]): void {
    // A gap of nothing: a solid line.
    this.dash = dash.some((length, i) => i % 2 === 1 && length > 0) ? dash : [];
  }

  fill(): void {
    if (this.fillStyle !== CLEAR) this.add({ type: "path", commands: this.path, fill: this.paint(this.fillStyle) });
  }

  stroke(): void {
    if (this.strokeStyle === CLEAR) return;
    const dash = this.dash.length > 0 ? { dash: this.dash } : {};
    const stroke: Stroke = { ...this.paint(this.strokeStyle), width: this.lineWidth, ...dash };
    this.add({ type: "path", commands: this.path, stroke });
  }

  /** The background only. */
  fillRect(_x: number, _y: number, width: number, height: number): void {
    this.size = [width, height];
  }

  fillText(label: string, x: number, y: number): void {
    const text = drawable(this.original(label));
    const size = Number(/([\d.]+)px/.exec(this.font)![1]);
    const face = /\bbold\b/.test(this.font) ? "bold" : /\bitalic\b/.test(this.font) ? "italic" : "regular";
    const width = ([...text].length * ADVANCE * size) / UNITS_PER_EM;
    const anchor = this.textAlign === "center" ? "middle" : "start";
    const place = this.at(this.textAlign === "right" ? x - width : x, y);
    const angle = Math.round((Math.atan2(this.matrix[1], this.matrix[0]) * 180) / Math.PI);
    const { color } = this.paint(this.fillStyle);
    this.add({ type: "text", text, ...place, anchor, size, face, color, ...(angle === 0 ? {} : { angle }) });
  }

  private paint(style: string): Fill {
    const color = hexOf(style);
    return this.globalAlpha < 1 ? { color, opacity: this.globalAlpha } : { color };
  }

  private add(mark: Mark): void {
    this.items.push({ ...(this.clipBox && { clip: this.clipBox }), marks: [mark] });
  }
}

function hexOf(style: string): string {
  const long = NAMED[style] ?? style.replace(/^#(.)(.)(.)$/, "#$1$1$2$2$3$3");
  if (/^#[0-9a-f]{6}$/i.test(long)) return long.toLowerCase();
  throw new RangeError(`a plot's colour is not #rrggbb: ${style}`);
}
