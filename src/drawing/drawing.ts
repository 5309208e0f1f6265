/**
 * A figure as marks with colours: what every picture format draws, each in its own syntax. Pixels, y downwards. Text is
 * on one line in the figures' font (font.ts), so that its width is known.
 */
import type { Face } from "./font.ts";

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** Top left corner and size. */
export interface Box extends Point {
  readonly width: number;
  readonly height: number;
}

export interface Stroke {
  readonly color: string;
  readonly width: number;
  /** Lengths of dashes and gaps in turn; solid without. */
  readonly dash?: readonly number[];
  readonly opacity?: number;
  /** Butt without: a segment of next to no length with round ends is a dot. */
  readonly cap?: "round";
}

export interface Fill {
  readonly color: string;
  readonly opacity?: number;
}

export interface TextMark {
  readonly type: "text";
  readonly text: string;
  /** Start or middle of the baseline. */
  readonly x: number;
  readonly y: number;
  readonly anchor: "start" | "middle";
  readonly size: number;
  readonly face: Face;
  readonly color: string;
  /** Degrees clockwise that the text is turned by, around (x, y); without, it is level. */
  readonly angle?: number;
}

/** Straight lines and cubic curves; a part that is filled is closed. */
export type PathCommand =
  | ({ readonly type: "M" | "L" } & Point)
  | ({
      readonly type: "C";
      readonly x1: number;
      readonly y1: number;
      readonly x2: number;
      readonly y2: number;
    } & Point)
  | { readonly type: "Z" };

export type Mark =
  | { readonly type: "line"; readonly points: readonly Point[]; readonly stroke: Stroke }
  /** Many lines as one mark, painted once where they cross: thousands in a file of a sensible size. */
  | { readonly type: "segments"; readonly segments: readonly (readonly [Point, Point])[]; readonly stroke: Stroke }
  | {
      readonly type: "rect";
      readonly box: Box;
      readonly radius?: number;
      readonly fill: Fill;
      readonly stroke?: Stroke;
    }
  | {
      readonly type: "circle";
      readonly x: number;
      readonly y: number;
      readonly radius: number;
      readonly fill: Fill;
      readonly stroke?: Stroke;
    }
  | {
      readonly type: "path";
      readonly commands: readonly PathCommand[];
      readonly fill?: Fill;
      readonly stroke?: Stroke;
    }
  | TextMark;

export interface Item {
  readonly id?: string;
  /** Tooltip, where the format has such. */
  readonly title?: string;
  /** What is outside is not seen. */
  readonly clip?: Box;
  readonly marks: readonly Mark[];
}

export interface Drawing {
  readonly width: number;
  readonly height: number;
  readonly title: string;
  /** Names of the colours that it uses, for formats that people edit. */
  readonly colors: Readonly<Record<string, string>>;
  /** Later groups cover earlier ones. */
  readonly groups: readonly { readonly name: string; readonly items: readonly Item[] }[];
}

/** At most two decimals, no negative zero. */
export function num(value: number): string {
  return String(Math.round(value * 100) / 100 || 0);
}
