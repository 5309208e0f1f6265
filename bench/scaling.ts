/**
 * What a step costs against the size of the model: at one width against nonzeros, and at one number of nonzeros against
 * width; exact, and with the gradients of zero weights in every n-th step only. All else is as in case S.
 */
import * as path from "node:path";
import { plural, short } from "../src/cli/render.ts";
import { paramSpecs, shapeSize } from "../src/model/names.ts";
import { type Figure, lineSpec, type Panel } from "../src/plots/lines.ts";
import { renderSvg } from "../src/plots/svg.ts";
import { ensureWritableDir, writeFileAtomic } from "../src/util/files.ts";
import { alternate, type Timing, timingOf } from "./alternate.ts";
import { type Case, findCase, released } from "./cases.ts";
import { cycleOf, type Mode, modesAt } from "./mode.ts";
import type { Options } from "./options.ts";
import { densityText } from "./render.ts";
import { startOurs } from "./sides.ts";

export interface ScalingPoint extends Timing {
  /** What varies. */
  readonly series: "density" | "width";
  readonly width: number;
  readonly density: number;
  /** Of all projected matrices. */
  readonly nonzeros: number;
  readonly mode: Mode;
  /** Held by the engine: parameters, moments, gradients, activations. */
  readonly bytes: number;
  readonly threads: number;
  readonly isa: string;
}

const LAYERS = 4;
const VOCAB = 2048;
const WIDTH = 256;
/** Below the last, the entries that every neuron keeps are most of them: hardly fewer nonzeros. */
const DENSITIES = [1, 1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64];
const WIDTHS = [128, 256, 512, 1024];
/** Of the series of widths: as many nonzeros as at WIDTH with this density. */
const FIXED = 1 / 16;

function caseOf(width: number): Case {
  const { length, batch } = findCase("S").tokens;
  return released(`D${width}`, { width, layers: LAYERS, vocabSize: VOCAB, length, batch }, []);
}

function matrixEntries({ model }: Case): number {
  return paramSpecs(model)
    .filter((spec) => spec.sparsified === "matrix")
    .reduce((sum, { shape }) => sum + shapeSize(shape), 0);
}

/** Points as they are measured; `say` is told what comes next. */
export async function* measureScaling(options: Options, say: (text: string) => void): AsyncGenerator<ScalingPoint> {
  const entries = matrixEntries(caseOf(WIDTH)) * FIXED;
  const plan = [
    ...DENSITIES.map((density) => ({ series: "density", width: WIDTH, density }) as const),
    ...WIDTHS.map((width) => ({ series: "width", width, density: entries / matrixEntries(caseOf(width)) }) as const),
  ];
  for (const { series, width, density } of plan) {
    for (const mode of modesAt(density, options.modes, say)) {
      say(`width ${width} at density ${densityText(density)}, ${mode} ...`);
      yield { series, width, density, ...(await measure(caseOf(width), density, mode, options)) };
    }
  }
}

async function measure(c: Case, density: number, mode: Mode, options: Options) {
  const { threads } = options;
  const side = await startOurs(c, density, { threads, mode });
  try {
    const [samples] = await alternate(c, [side], options);
    return { mode, ...(await side.size()), ...timingOf(samples!), threads, isa: side.info.isa };
  } finally {
    await side.close();
  }
}

function nameOf(mode: Mode): string {
  return mode === "exact" ? "exact" : `dense weight gradient every ${cycleOf(mode)} steps`;
}

function panels(
  points: readonly ScalingPoint[],
  x: (p: ScalingPoint) => number,
  axis: Pick<Panel, "x" | "top">,
): Panel[] {
  const modes = [...new Set(points.map((p) => p.mode))];
  const panel = (title: string, label: string, y: (p: ScalingPoint) => number): Panel => ({
    title,
    ...axis,
    y: { label, log: true },
    series: modes.map((mode) => ({
      name: nameOf(mode),
      points: points
        .filter((p) => p.mode === mode)
        .map((p) => ({ x: x(p), y: y(p) }))
        .sort((a, b) => a.x - b.x),
    })),
  });
  return [
    panel("Time of a training step", "ms per step", (p) => p.ms),
    panel("Memory of the engine", "MB", (p) => p.bytes / 1e6),
  ];
}

/** The plots as figures, by file name. */
export function scalingFigures(points: readonly ScalingPoint[]): Map<string, Figure> {
  const { threads, isa } = points[0]!;
  const { length, batch } = findCase("S").tokens;
  const how = `${LAYERS} layers, ${batch} x ${length} tokens a step; ${plural(threads, "thread")}, ${isa}`;
  const byDensity = points.filter((p) => p.series === "density");
  const byWidth = points.filter((p) => p.series === "width");
  const once = (some: readonly ScalingPoint[]) => some.filter((p) => p.mode === some[0]!.mode);
  const nonzeros = { x: { label: "nonzero weights", log: true } };
  const top = {
    label: "density",
    ticks: once(byDensity)
      .filter((_, i) => i % 2 === 0)
      .map((p) => ({ at: p.nonzeros, label: densityText(p.density) })),
  };
  const widths = {
    x: { label: "width D", log: true, ticks: once(byWidth).map((p) => ({ at: p.width, label: String(p.width) })) },
    top: {
      label: "density",
      ticks: once(byWidth).map((p) => ({ at: p.width, label: `1/${Math.round(1 / p.density)}` })),
    },
  };
  const fixed = short(once(byWidth)[0]!.nonzeros);
  return new Map([
    [
      "scaling-nonzeros.svg",
      {
        title: `Cost of a step against nonzero weights, width ${WIDTH}`,
        caption: [how],
        panels: panels(byDensity, (p) => p.nonzeros, { ...nonzeros, top }),
      },
    ],
    [
      "scaling-width.svg",
      {
        title: `Cost of a step against width, ${fixed} nonzero weights`,
        caption: [how],
        panels: panels(byWidth, (p) => p.width, widths),
      },
    ],
  ]);
}

/** Writes the plots into a folder and returns their paths. */
export async function drawScaling(points: readonly ScalingPoint[], folder: string): Promise<string[]> {
  ensureWritableDir(folder);
  const files: string[] = [];
  for (const [name, figure] of scalingFigures(points)) {
    const file = path.join(folder, name);
    writeFileAtomic(file, await renderSvg(lineSpec(figure)));
    files.push(file);
  }
  return files;
}
