/** The probes of a run's tasks at its checkpoints, as figures: how what the model says came about. */
import * as path from "node:path";
import { loadModelFolder } from "../model/checkpoint.ts";
import { Model } from "../model/model.ts";
import type { Figure, Panel, Series } from "../plots/lines.ts";
import { type CheckpointRef, listCheckpoints } from "../runs/checkpoints.ts";
import { PROBE_FORMAT } from "../runs/layout.ts";
import { type ProbeCurve, type ProbePoint, probeCurve } from "../train/probes.ts";
import { inputError } from "../util/errors.ts";
import { ensureWritableDir } from "../util/files.ts";
import { writeVersioned } from "../util/json.ts";
import { type EngineFlags, openEngine } from "./engine.ts";
import { breathe } from "./interrupt.ts";
import type { Output } from "./output.ts";
import { type PlotFlags, writePictures } from "./plot-files.ts";
import { probability, probeCaption, sideName, withBand, xTicks } from "./probe-report.ts";
import { count } from "./render.ts";
import { openTrainedRun, tasksOfRun } from "./trained-run.ts";
import { unfit } from "./unfit.ts";

/** Lines of a figure that can still be told apart. */
const MOST_CHECKPOINTS = 6;
/** Pairs at each value of a probe. */
const PAIRS = 128;
const SIZE = [230, 190] as const;

interface Swept {
  readonly step: number;
  readonly curve: ProbeCurve;
}

/**
 * Sweeps the probes of the run's tasks at up to six of its checkpoints, and writes a figure and its numbers for each.
 * @returns paths of the files
 * @throws input error for a run that is not finished, has no checkpoint or no task with probes
 */
export async function plotProbes(
  dir: string,
  folder: string,
  flags: PlotFlags & EngineFlags & { readonly task?: string },
  out: Output,
  signal: AbortSignal,
): Promise<string[]> {
  const trained = await openTrainedRun(dir);
  const tasks = tasksOfRun(trained, flags.task).filter(({ probes = {} }) => Object.keys(probes).length > 0);
  const checkpoints = spread(listCheckpoints(dir));
  if (tasks.length === 0) {
    throw inputError("plot-probes", `no task of ${dir} has probes`, "`sparse tasks` lists the tasks and their probes.");
  }
  const files: string[] = [];
  const engine = await openEngine(flags, out);
  try {
    const models = checkpoints.map(({ step, dir }) => ({ step, model: new Model(engine, loadModelFolder(dir)) }));
    for (const task of tasks) {
      for (const probe of Object.keys(task.probes!)) {
        const swept: Swept[] = [];
        const wait = () => breathe(signal, files.length > 0 ? `written ${files.join(", ")}` : undefined);
        for (const { step, model } of models) {
          out.live(`sweeping ${task.name} ${probe} at step ${step}`);
          const options = { split: "test", pairs: PAIRS } as const;
          const curve = await probeCurve(model, trained.data.pairs(task), probe, options, wait).catch(
            (error: unknown) => {
              const why = unfit(error);
              if (why === undefined) throw error;
              if (swept.length === 0) out.notice(`${task.name} ${probe} is left out: ${why}`);
            },
          );
          if (curve) swept.push({ step, curve });
        }
        if (swept.length > 0) files.push(...(await write(folder, swept, trained.name, flags)));
      }
    }
  } finally {
    engine.dispose();
  }
  return files;
}

/** The first, the last, and some between them at equal distances. */
function spread(checkpoints: readonly CheckpointRef[]): readonly CheckpointRef[] {
  if (checkpoints.length <= MOST_CHECKPOINTS) return checkpoints;
  const at = (i: number): number => Math.round((i * (checkpoints.length - 1)) / (MOST_CHECKPOINTS - 1));
  return Array.from({ length: MOST_CHECKPOINTS }, (_, i) => checkpoints[at(i)]!);
}

async function write(folder: string, swept: readonly Swept[], run: string, flags: PlotFlags): Promise<string[]> {
  const [{ curve }] = swept as readonly [Swept, ...Swept[]];
  const place = path.join(folder, "probes", curve.task);
  ensureWritableDir(place);
  const stem = path.join(place, curve.probe);
  const json = `${stem}.json`;
  writeVersioned(json, PROBE_FORMAT, { run, steps: swept.map(({ step, curve }) => ({ step, ...curve })) });
  return [...(await writePictures(stem, overTraining(swept, run), flags)), json];
}

/** What the model says on the prompts of each side, and how often it is right, a line for each checkpoint. */
function overTraining(swept: readonly Swept[], run: string): Figure {
  const { curve } = swept[0]!;
  const x = { label: curve.doc, ...xTicks(curve.points) };
  const panel = (
    title: string,
    label: string,
    point: (p: ProbePoint) => Omit<Series["points"][number], "x">,
  ): Panel => ({
    ...{ title, x, y: { label, domain: [0, 1] }, level: 0.5, size: SIZE },
    series: swept.map(({ step, curve }) => ({
      name: `step ${count(step)}`,
      points: curve.points.map((p) => ({ x: p.x, ...point(p) })),
    })),
  });
  const side = (name: "pos" | "neg"): Panel =>
    panel(`On ${sideName(curve, name)}`, probability(curve), (p) => withBand(p[name]));
  return {
    title: `${curve.task}: ${curve.probe} over training`,
    caption: probeCaption(curve, run),
    panels: [
      side("pos"),
      side("neg"),
      panel("Accuracy", "right completion preferred", ({ pos, neg }) => ({ y: (pos.accuracy + neg.accuracy) / 2 })),
    ],
  };
}
