/** Marks that views share: straight lines, and the legend's samples of what occurs. */
import type { Mark, Stroke } from "../../drawing/drawing.ts";
import { SHADES_WIDTH } from "../layout/frame.ts";
import type { LegendItem } from "../layout/scene.ts";
import { attentionStroke, type Palette, weightStroke } from "./palette.ts";

/** Outlines and letters of what carries what it would if it were ablated, in every palette. */
export const IDLE = "#b0b0b0";
/** Steps of the sample of activations. */
const SHADES = 5;

export function horizontal(left: number, right: number, y: number, stroke: Stroke): Mark {
  return {
    type: "line",
    points: [
      { x: left, y },
      { x: right, y },
    ],
    stroke,
  };
}

/** The line of a residual channel. */
export function channelMark(x: number, top: number, bottom: number, { colors }: Palette): Mark {
  const points = [top, bottom].map((y) => ({ x, y }));
  return { type: "line", points, stroke: { color: colors.residual, width: 1.2 } };
}

/** A sample, 20 pixels wide (`shades`: SHADES_WIDTH), around the height of its text. */
export function legendMarks({ sample, x, y }: LegendItem, palette: Palette): Mark[] {
  const { colors } = palette;
  const outline = { color: colors.ink, width: 1 };
  const box = (halfWidth: number, halfHeight: number, centre = x + 10) => ({
    x: centre - halfWidth,
    y: y - halfHeight,
    width: 2 * halfWidth,
    height: 2 * halfHeight,
  });
  switch (sample) {
    case "positive":
    case "negative":
      return [horizontal(x, x + 20, y, weightStroke(sample === "negative" ? -1 : 1, 2, palette))];
    case "residual":
      return [channelMark(x + 10, y - 7, y + 7, palette)];
    case "attention":
      return [horizontal(x, x + 20, y, attentionStroke(palette))];
    case "moved":
      return [
        { type: "circle", x: x + 3, y, radius: 2, fill: { color: colors.attention } },
        horizontal(x + 3, x + 20, y, { color: colors.attention, width: 1.2 }),
      ];
    case "circle":
      return [{ type: "circle", x: x + 10, y, radius: 6, fill: { color: colors.neuron }, stroke: outline }];
    case "tick":
      return [{ type: "rect", box: box(5, 1.5), fill: { color: colors.ink } }];
    case "box":
      return [{ type: "rect", box: box(9, 5), radius: 3, fill: { color: colors.attentionFill }, stroke: outline }];
    case "idle":
      return [
        { type: "rect", box: box(9, 5), radius: 3, fill: { color: colors.paper }, stroke: { color: IDLE, width: 1 } },
      ];
    case "shades": {
      const half = SHADES_WIDTH / SHADES / 2;
      return [colors.attentionActive, colors.neuronActive].flatMap((color, row) =>
        Array.from({ length: SHADES }, (_, i): Mark => {
          const { height, ...place } = box(half, 5, x + (2 * i + 1) * half);
          const cell = { ...place, y: place.y + (row * height) / 2, height: height / 2 };
          return { type: "rect", box: cell, fill: { color, opacity: i / (SHADES - 1) } };
        }),
      );
    }
    case "token":
    case "answer": {
      const stroke = { color: colors.faint, width: 1 };
      return [{ type: "rect", box: box(9, 5), radius: 2, fill: { color: colors[sample] }, stroke }];
    }
  }
}
