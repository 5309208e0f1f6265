/**
 * The code view, after the paper's figure of attention over code: the prompt's own text with its line breaks, shaded by
 * what nodes carry, arcs from the token that is read to the one that reads, and the answers. Draws what `codeLayout` placed
 * and moves nothing.
 */
import type { Drawing, Item, Mark, Stroke } from "../../drawing/drawing.ts";
import { type CodeLayout, codeLayout } from "../layout/code.ts";
import type { Arc, CodeToken } from "../layout/code-panel.ts";
import type { Box, Point } from "../layout/scene.ts";
import type { Circuit } from "../schema.ts";
import type { Trace } from "../trace.ts";
import { type Palette, weightStroke } from "./palette.ts";
import { textItem, tokenItem } from "./structure-view.ts";

/** Of the strongest shade, in colour and in black: ink is still read on it. */
const OPACITY = { color: 0.5, black: 0.3 };

export function codeView(circuit: Circuit, trace: Trace, palette: Palette): Drawing {
  const scene = codeLayout(circuit, trace);
  const { colors } = palette;
  const sign: Stroke = { color: colors.faint, width: 1 };
  return {
    width: scene.width,
    height: scene.height,
    title: `${circuit.task.name}: circuit of ${circuit.counts.nodes} nodes over a prompt of ${trace.tokens.length} tokens`,
    colors: { ...colors },
    groups: [
      {
        name: "panels",
        items: scene.panels.map(({ x, y, width, height }) => ({
          marks: [rect({ x, y, width, height }, colors.paper, { color: colors.boundary, width: 1 }, 4)],
        })),
      },
      { name: "tokens", items: scene.panels.flatMap(({ tokens }) => tokens.map((t) => codeToken(t, palette))) },
      { name: "attention", items: scene.panels.flatMap(({ arcs }) => arcs.map((arc) => arcItem(arc, palette))) },
      {
        name: "breaks",
        items: [
          ...scene.panels.flatMap(({ tokens }) => tokens.filter((t) => t.isBreak).map((t) => breakSign(t))),
          ...scene.panels.flatMap(({ continued }) => continued.map(continuedSign)),
        ].map((points) => ({ marks: [{ type: "line", points, stroke: sign }] })),
      },
      { name: "answers", items: [...scene.answers.map((t) => tokenItem(t, palette)), ...bars(scene, palette)] },
      { name: "legend", items: scene.legend.map(({ sample, ...at }) => ({ marks: legendMarks(sample, at, palette) })) },
      { name: "labels", items: scene.texts.map((text) => textItem(text, palette)) },
    ],
  };
}

function rect(box: Box, color: string, stroke?: Stroke, radius = 2, opacity = 1): Mark {
  const fill = opacity === 1 ? { color } : { color, opacity };
  return { type: "rect", box, radius, fill, ...(stroke ? { stroke } : {}) };
}

/** Every token has a box, so that the reader sees where one ends. */
function codeToken(token: Pick<CodeToken, "shade" | "reads" | "title"> & Box, palette: Palette): Item {
  const { x, y, width, height, shade, reads, title } = token;
  const { colors } = palette;
  const box = { x: x + 0.4, y: y + 0.5, width: width - 0.8, height: height - 1 };
  const marks = [rect(box, colors.token)];
  if (shade !== 0) {
    const { color, dash } = weightStroke(shade, 1, palette);
    const opacity = palette.negativeDash ? OPACITY.black : OPACITY.color;
    // Where colours do not tell the signs, the outline does.
    const outline = dash ? { stroke: { color, width: 0.8, dash: [2.5, 1.5] } } : {};
    marks.push({ ...rect(box, color, undefined, 2, opacity * Math.abs(shade)), ...outline } as Mark);
  }
  if (reads) marks.push(rect(box, colors.paper, { color: colors.ink, width: 1.2 }, 2, 0));
  return { title, marks };
}

/** In the colour of what it brings; a dot at the token that attends. */
function arcItem({ points, attention, shade, title }: Arc, palette: Palette): Item {
  const stroke = arcStroke(attention, shade, palette);
  const end = points[points.length - 1]!;
  return {
    title,
    marks: [
      { type: "line", points, stroke },
      { type: "circle", ...end, radius: 2.2, fill: { color: stroke.color } },
    ],
  };
}

function arcStroke(attention: number, shade: number, palette: Palette): Stroke {
  const opacity = 0.5 + 0.4 * attention;
  const width = 0.8 + 2.8 * attention;
  return shade === 0
    ? { color: palette.colors.attention, width, opacity }
    : weightStroke(shade, width, palette, opacity);
}

/** A return arrow. Lines, not a letter, since LaTeX's fonts have none. */
function breakSign({ x, y, width, height }: Box): Point[] {
  const [left, right, middle] = [x + 0.15 * width, x + 0.85 * width, y + 0.6 * height];
  return [
    { x: right, y: middle - 5 },
    { x: right, y: middle },
    { x: left, y: middle },
    { x: left + 2.2, y: middle - 2.2 },
    { x: left, y: middle },
    { x: left + 2.2, y: middle + 2.2 },
  ];
}

/** Before a line that continues the one above. */
function continuedSign({ x, y }: Point): Point[] {
  return [
    { x: x + 6, y: y + 3 },
    { x: x + 6, y: y + 10 },
    { x: x + 20, y: y + 10 },
  ];
}

function bars({ bars }: CodeLayout, { colors }: Palette): Item[] {
  return bars.map(({ title, share, of, ...box }) => ({
    title,
    marks: [
      { type: "rect", box, fill: { color: colors.token } },
      {
        type: "rect",
        box: { ...box, width: share * box.width },
        fill: { color: of === "circuit" ? colors.ink : colors.faint },
      },
    ],
  }));
}

function legendMarks(
  sample: CodeLayout["legend"][number]["sample"],
  { x, y }: Point,
  palette: Palette,
): readonly Mark[] {
  const token = { x: x + 1, y: y - 6, width: 18, height: 12, title: "", reads: sample === "reads" };
  const line = (attention: number): Mark => ({
    type: "line",
    points: [
      { x, y },
      { x: x + 20, y },
    ],
    stroke: arcStroke(attention, 0, palette),
  });
  switch (sample) {
    case "above":
    case "below":
      return codeToken({ ...token, shade: sample === "above" ? 1 : -1 }, palette).marks;
    case "reads":
      return codeToken({ ...token, shade: 0 }, palette).marks;
    case "weak":
      return [line(0.1)];
    case "strong":
      return [line(1)];
  }
}
