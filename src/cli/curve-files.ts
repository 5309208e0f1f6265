/** Curves of task loss against edges as files: data, table and figure (as Figure 2 of Gao et al. 2025). */
import * as path from "node:path";
import {
  ablationName,
  curveOf,
  type PooledPoint,
  pooledPoint,
  type TaskCircuit,
  targetsOf,
} from "../circuits/curves.ts";
import { csvTable } from "../circuits/export/csv.ts";
import type { Figure, Series } from "../plots/lines.ts";
import { CURVES_FORMAT } from "../runs/layout.ts";
import { ensureWritableDir, writeFileAtomic } from "../util/files.ts";
import { writeVersioned } from "../util/json.ts";
import type { Output } from "./output.ts";
import { type PlotFlags, SVG_ONLY, writePictures } from "./plot-files.ts";
import { plural } from "./render.ts";

const MEAN = "geometric mean";
const SIZE = [420, 300] as const;

/**
 * Writes `curves.json`, `curves.csv` and `curves.svg` of one model into a folder, and says so: a line for each task and
 * the geometric mean over all of them. Tasks without a circuit belong to it: they leave the mean undefined. Writes nothing
 * when no task has a circuit that meets a target.
 *
 * @returns the paths of the files.
 */
export async function writeCurves(
  dir: string,
  circuits: readonly TaskCircuit[],
  out: Output,
  flags: PlotFlags = SVG_ONLY,
): Promise<string[]> {
  const targets = targetsOf(circuits);
  const [model] = circuits.flatMap(({ circuit }) => circuit ?? []);
  if (model === undefined || targets.length === 0) return [];
  const { run } = model.model;
  const ablation = ablationName(model);
  const tasks = circuits.map(({ task, circuit }) => ({ task, points: circuit ? curveOf(circuit) : [] }));
  const pooled = targets.map((target) => pooledPoint(circuits, target));
  const mean = circuits.length > 1 ? [{ ...lossSeries(MEAN, pooled), heavy: true }] : [];
  const json = path.join(dir, "curves.json");
  ensureWritableDir(dir);
  writeVersioned(json, CURVES_FORMAT, { run, ablation, tasks, pooled });
  const plot = {
    title: `${run}: task loss against edges`,
    caption: [`smallest circuits under ${ablation} ablation; ${poolText(pooled, circuits.length)}`],
    series: [...mean, ...tasks.map(({ task, points }) => lossSeries(task, points))],
    header: ["task", "target", "nodes", "edges", "loss_train", "loss_val", "loss_test"],
    rows: [
      ...tasks.flatMap(({ task, points }) =>
        points.map(({ target, nodes, edges, taskLoss: { train, val, test } }) => [
          ...[task, target, nodes, edges],
          ...[train, val, test],
        ]),
      ),
      ...pooled.map(({ target, nodes, edges }) => [MEAN, target, nodes, edges, null, null, null]),
    ],
  };
  const plotted = await writePlot(dir, plot, flags);
  const files = [json, ...plotted];
  out.line(`  written ${files.join(", ")}`);
  return files;
}

function poolText(pooled: readonly PooledPoint[], tasks: number): string {
  const strictest = pooled.findLast(({ missing }) => missing.length === 0);
  const mean = `mean of ${plural(tasks, "task")}`;
  return strictest === undefined ? `${mean} undefined: one has no circuit` : `${mean} down to ${strictest.target}`;
}

/** A line of the figure; places that are undefined, or have no place on a logarithmic axis, are left out. */
export function lossSeries(name: string, points: readonly Pick<PooledPoint, "target" | "edges">[]): Series {
  return { name, points: points.flatMap(({ target, edges }) => (edges ? [{ x: edges, y: target }] : [])) };
}

interface Plot {
  readonly title: string;
  readonly caption: readonly string[];
  readonly series: readonly Series[];
  /** The same as a table. */
  readonly header: readonly string[];
  readonly rows: Parameters<typeof csvTable>[1];
}

/** Writes `curves.csv` and, if there is something to draw, `curves.svg` into a folder; returns their paths. */
export async function writePlot(
  dir: string,
  { header, rows, ...plot }: Plot,
  flags: PlotFlags = SVG_ONLY,
): Promise<string[]> {
  const csv = path.join(dir, "curves.csv");
  writeFileAtomic(csv, csvTable(header, rows));
  if (plot.series.every(({ points }) => points.length === 0)) return [csv];
  return [csv, ...(await writePictures(path.join(dir, "curves"), lossFigure(plot), flags))];
}

function lossFigure({ title, caption, series }: Omit<Plot, "header" | "rows">): Figure {
  const targets = [...new Set(series.flatMap(({ points }) => points.map(({ y }) => y)))];
  const ticks = targets.map((at) => ({ at, label: String(at) }));
  return {
    title,
    caption,
    panels: [
      {
        title: "",
        x: { label: "edges of the smallest circuit", log: true },
        y: { label: "task loss that it meets, nats", log: true, ticks },
        series,
        size: SIZE,
      },
    ],
  };
}
