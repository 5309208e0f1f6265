/** The curves of probes: as a table, as a figure, and as JSON beside it. */
import * as path from "node:path";
import type { Figure, Point } from "../plots/lines.ts";
import { PROBE_FORMAT } from "../runs/layout.ts";
import type { ProbeCurve, ProbePoint, ProbeSide } from "../train/probes.ts";
import { ensureWritableDir } from "../util/files.ts";
import { writeVersioned } from "../util/json.ts";
import { oneLine } from "../util/text.ts";
import { type PlotFlags, writePictures } from "./plot-files.ts";
import { count, percent, type Style, table } from "./render.ts";

/** Standard errors on either side of a mean that hold it 19 times in 20. */
const BAND = 1.96;

type SideName = "pos" | "neg";

/** A completion on one line, its line ends as they are shown of prompts. */
export function visible(text: string): string {
  return oneLine(text.replaceAll("\n", "\u23ce"));
}

/** What the axis is: the probability of the first side's completion. */
export function probability({ completions }: ProbeCurve): string {
  return completions ? `P(${visible(completions[0])})` : "P(completion of the first side)";
}

export function sideName({ completions }: ProbeCurve, side: SideName): string {
  const [first, second] = completions ?? [];
  const target = side === "pos" ? first : second;
  if (target !== undefined) return `prompts to complete with ${visible(target)}`;
  return side === "pos" ? "prompts of the first side" : "prompts of the second side";
}

function probeFigure(curve: ProbeCurve, run: string): Figure {
  const series = (point: (side: ProbeSide) => Omit<Point, "x">) =>
    (["pos", "neg"] as const).map((side) => ({
      name: sideName(curve, side),
      points: curve.points.map((p) => ({ x: p.x, ...point(p[side]) })),
    }));
  const x = { label: curve.doc, ...xTicks(curve.points) };
  return {
    title: `${curve.task}: ${curve.probe}`,
    caption: probeCaption(curve, run),
    panels: [
      {
        title: "Probability among the two completions",
        x,
        y: { label: probability(curve), domain: [0, 1] },
        series: series(withBand),
        level: 0.5,
      },
      {
        title: "Accuracy",
        x,
        y: { label: "right completion preferred", domain: [0, 1] },
        series: series(({ accuracy }) => ({ y: accuracy })),
        level: 0.5,
      },
    ],
  };
}

/** How many it is over, and what the dashed line is. */
export function probeCaption({ pairs, split }: ProbeCurve, run: string): string[] {
  return [
    `${run}; mean and 95% band (1.96 standard errors) over n = ${count(pairs)} pairs of the ${split} split at each value`,
    "dashed: one half, which is chance",
  ];
}

/** Mean and 95% band of a side. */
export function withBand({ first, error }: ProbeSide): Required<Omit<Point, "x">> {
  return { y: first, low: Math.max(0, first - BAND * error), high: Math.min(1, first + BAND * error) };
}

/** Every value where they are few: most are counts, which have no fractions between them. */
export function xTicks(points: readonly ProbePoint[]) {
  return points.length > 6 ? {} : { ticks: points.map(({ x }) => ({ at: x, label: String(x) })) };
}

/** Writes the plot `<probe>` in each format and `<probe>.json` into a folder; returns their paths. */
export async function writeProbe(
  curve: ProbeCurve,
  run: string,
  folder: string,
  flags: PlotFlags,
): Promise<{ json: string; plots: readonly string[] }> {
  ensureWritableDir(folder);
  const stem = path.join(folder, curve.probe);
  const json = `${stem}.json`;
  writeVersioned(json, PROBE_FORMAT, { run, ...curve });
  return { json, plots: await writePictures(stem, probeFigure(curve, run), flags) };
}

export function probeText(curve: ProbeCurve, style: Style): string {
  const columns = [
    { title: "x", align: "right" },
    { title: "first side", align: "right" },
    { title: "second side", align: "right" },
    { title: "accuracy", align: "right" },
    { title: "of the second", align: "right" },
    { title: "of pairs", align: "right" },
  ] as const;
  const mean = ({ first, error }: ProbeSide): string => `${first.toFixed(3)} ± ${(BAND * error).toFixed(3)}`;
  const rows = curve.points.map(({ x, pos, neg, pairAccuracy }) => [
    String(x),
    mean(pos),
    mean(neg),
    percent(pos.accuracy),
    percent(neg.accuracy),
    percent(pairAccuracy),
  ]);
  const skipped =
    curve.tooLong.length > 0 ? style.dim(`\n  longer than the context: x = ${curve.tooLong.join(", ")}`) : "";
  const what = `  ${probability(curve)} on prompts of each side, mean ± ${BAND} standard errors over ${count(curve.pairs)} pairs`;
  const head = `${style.bold(`${curve.task}: ${curve.probe}`)}, x: ${curve.doc}\n${style.dim(what)}`;
  return `${head}\n${table(columns, rows, { style })}${skipped}`;
}
