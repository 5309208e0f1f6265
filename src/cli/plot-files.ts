/** Plots as files: the formats and colours that a command was asked for, and writing a figure in each of them. */
import * as path from "node:path";
import { type Command, Option } from "commander";
import { PICTURE_FORMATS, PICTURES, type PictureFormat } from "../drawing/pictures.ts";
import { drawPlot } from "../plots/draw.ts";
import { type Figure, lineSpec } from "../plots/lines.ts";
import { PLOT_PALETTES, type PlotPalette } from "../plots/palette.ts";
import { writeFileAtomic } from "../util/files.ts";
import { oneOf } from "./options.ts";

export interface PlotFlags {
  readonly format: readonly PictureFormat[];
  readonly palette: PlotPalette;
}

export const SVG_ONLY: PlotFlags = { format: ["svg"], palette: "default" };

/** Adds `--format` and `--palette`. */
export function plotOptions(command: Command): Command {
  return command
    .addOption(
      new Option("--format <list>", `formats of plots, separated by commas: ${PICTURE_FORMATS.join(", ")}, or all`)
        .default(SVG_ONLY.format, "svg")
        .argParser(pictureFormats),
    )
    .option(
      "--palette <name>",
      "colours of plots: default (Okabe and Ito's, which is colorblind too) or print (greys); lines differ in dash and marker in both",
      oneOf("--palette", PLOT_PALETTES),
      SVG_ONLY.palette,
    );
}

function pictureFormats(list: string): PictureFormat[] {
  const names = list.split(",").map((name) => name.trim().toLowerCase());
  return names.includes("all") ? PICTURE_FORMATS : [...new Set(names.map(oneOf("--format", PICTURE_FORMATS)))];
}

/** What a legend calls folders: their last names, or their paths where those are the same. */
export function shortNames(dirs: readonly string[]): string[] {
  const names = dirs.map((dir) => path.basename(path.resolve(dir)));
  return new Set(names).size === names.length ? names : [...dirs];
}

/** Writes `<stem>.<ending>` in each format; returns the paths. The same figure gives the same bytes. */
export async function writePictures(stem: string, figure: Figure, { format, palette }: PlotFlags): Promise<string[]> {
  const drawing = await drawPlot(lineSpec(figure, palette), figure.title);
  const files: string[] = [];
  for (const name of format) {
    const { suffix, write } = PICTURES[name];
    writeFileAtomic(`${stem}${suffix}`, await write(drawing));
    files.push(`${stem}${suffix}`);
  }
  return files;
}
