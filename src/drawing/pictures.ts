/** The picture formats a drawing can be written in. */
import type { Drawing } from "./drawing.ts";
import { pdfText } from "./pdf.ts";
import { pngBytes } from "./png.ts";
import { svgText } from "./svg.ts";
import { tikzText } from "./tikz.ts";

interface Picture {
  /** Of the file. */
  readonly suffix: string;
  readonly write: (drawing: Drawing) => string | Promise<Uint8Array>;
}

export const PICTURES = {
  svg: { suffix: ".svg", write: svgText },
  pdf: { suffix: ".pdf", write: pdfText },
  png: { suffix: ".png", write: pngBytes },
  tikz: { suffix: ".tex", write: tikzText },
} as const satisfies Record<string, Picture>;

export type PictureFormat = keyof typeof PICTURES;
export const PICTURE_FORMATS = Object.keys(PICTURES) as PictureFormat[];
