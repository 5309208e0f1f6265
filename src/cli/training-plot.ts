/** The metrics of runs as a figure: losses, task scores and the course of training. Nothing is read or written here. */
import type { Figure, Panel, Point, Series } from "../plots/lines.ts";
import type { MetricsRow } from "../runs/metrics.ts";
import { LEARNED_LOSS } from "../train/evaluate.ts";
import { mean } from "../util/statistics.ts";

export interface RunMetrics {
  readonly name: string;
  /** Ascending steps. */
  readonly rows: readonly MetricsRow[];
}

/** What the axis along the bottom is. */
export const PROGRESS = ["step", "tokens"] as const;
export type Progress = (typeof PROGRESS)[number];

interface Options {
  readonly x: Progress;
  /** Default: all tasks that a run was scored on. */
  readonly tasks?: readonly string[];
}

/** Points of a line; of more, each is the mean of its neighbours, with their range as a band. */
const MOST_POINTS = 100;
/** Lines of tasks in a panel; of more, there is their mean with their range as a band. */
const MOST_TASKS = 6;
/** Largest over smallest value from which on an axis is logarithmic. */
const LOG_RATIO = 5;
/** Panels in a row, of up to six and of more. */
const COLUMNS = [3, 4] as const;
const SIZE = [220, 160] as const;

const TASK_LOSS = "taskLoss";

/** Tasks that a run was scored on, in the order of its metrics. */
export function scoredTasks({ rows }: RunMetrics): string[] {
  const keys = new Set(rows.flatMap((row) => Object.keys(row)));
  return [...keys].filter((key) => key.startsWith(`${TASK_LOSS}/`)).map((key) => key.slice(TASK_LOSS.length + 1));
}

/** One run's curves, or the same curves of several runs in one panel each. */
export function trainingFigure(runs: readonly RunMetrics[], options: Options): Figure {
  const [only] = runs.length === 1 ? runs : [];
  const last = Math.max(...runs.map((run) => placeOf(run, run.rows.at(-1)!, options)));
  const panel = (title: string, y: Panel["y"], series: readonly Series[], level?: number): Panel[] => {
    const some = series.filter(({ points }) => points.length > 0);
    if (some.length === 0) return [];
    return [
      {
        title,
        x: { label: AXES[options.x], domain: [0, last] },
        y: scaled(y, some),
        series: some,
        size: SIZE,
        ...(level !== undefined && { level }),
      },
    ];
  };
  const of = (key: string): Series[] =>
    runs.map((run) => ({ name: only ? "" : run.name, points: curve(run, key, options) }));
  const scores = (key: string): Series[] =>
    only
      ? taskSeries(only, key, options)
      : runs.map((run) => ({ name: run.name, points: meanCurve(run, key, options).map(({ x, y }) => ({ x, y })) }));
  const loss = { label: "loss, nats per token" };
  const panels = [
    ...(only
      ? panel("Loss", loss, [
          { name: "training batches", points: curve(only, "loss", options) },
          { name: "held-out text", points: curve(only, "valLoss", options) },
        ])
      : [
          ...panel("Loss on training batches", loss, of("loss")),
          ...panel("Loss on held-out text", loss, of("valLoss")),
        ]),
    ...panel("Task loss on validation pairs", { label: "task loss, nats" }, scores(TASK_LOSS), LEARNED_LOSS),
    ...panel("Accuracy on validation pairs", { label: "both answers right", domain: SHARE }, scores("pairAccuracy")),
    ...panel("Accuracy on held-out text", { label: "right decisions", domain: SHARE }, scores("decisionAccuracy")),
    ...panel("Density", { label: "share of weights not 0" }, of("density")),
    ...panel("Learning rate", { label: "learning rate", log: false }, of("lr")),
    ...panel("Gradient of all weights", { label: "root mean square" }, of("gradRms")),
  ];
  return {
    title: only ? `${only.name}: training` : "Training of several runs",
    caption: captions(runs, panels, options),
    panels,
    columns: COLUMNS[panels.length > 6 ? 1 : 0],
  };
}

const AXES: Readonly<Record<Progress, string>> = { step: "step", tokens: "tokens of training text" };
const SHARE = [0, 1] as const;

function captions(runs: readonly RunMetrics[], panels: readonly Panel[], options: Options): string[] {
  const has = (test: (panel: Panel) => boolean): boolean => panels.some(test);
  const counts = runs.map((run) => tasksIn(run, options).length);
  const pooled = Math.max(...counts) > (runs.length === 1 ? MOST_TASKS : 1);
  const averaged = has(({ series }) =>
    series.some(({ points }) => points.length === MOST_POINTS && points.some(({ low }) => low !== undefined)),
  );
  return [
    ...(averaged
      ? [`curves of more than ${MOST_POINTS} values: means of neighbouring values, with their range as a band`]
      : []),
    ...(pooled
      ? [
          runs.length === 1
            ? `scores of tasks: mean of ${counts[0]}, with their range as a band`
            : "scores of tasks: mean over those of each run",
        ]
      : []),
    ...(has(({ level }) => level !== undefined)
      ? [`dashed: a task counts as learned below a task loss of ${LEARNED_LOSS} nats`]
      : []),
  ];
}

function tasksIn(run: RunMetrics, { tasks }: Options): string[] {
  const all = scoredTasks(run);
  return tasks === undefined ? all : all.filter((task) => tasks.includes(task));
}

/** A line for each task, or their mean where they are many. */
function taskSeries(run: RunMetrics, key: string, options: Options): Series[] {
  const tasks = tasksIn(run, options);
  if (tasks.length > MOST_TASKS) return [{ name: "", points: meanCurve(run, key, options) }];
  return tasks.map((task) => ({ name: tasks.length === 1 ? "" : task, points: curve(run, `${key}/${task}`, options) }));
}

function meanCurve(run: RunMetrics, key: string, options: Options): Point[] {
  const keys = tasksIn(run, options)
    .map((task) => `${key}/${task}`)
    .filter((each) => run.rows.some((row) => isNumber(row[each])));
  const points = run.rows.flatMap((row): Point[] => {
    const values = keys.map((each) => row[each]).filter(isNumber);
    if (values.length === 0 || values.length < keys.length) return [];
    const [low, high] = rangeOf(values);
    return [{ x: placeOf(run, row, options), y: mean(values), low, high }];
  });
  return binned(points);
}

function curve(run: RunMetrics, key: string, options: Options): Point[] {
  return binned(
    run.rows.flatMap((row) => (isNumber(row[key]) ? [{ x: placeOf(run, row, options), y: row[key] }] : [])),
  );
}

/** Rows of evaluations do not count tokens: every step has as many. */
function placeOf({ rows }: RunMetrics, { step }: MetricsRow, { x }: Options): number {
  if (x === "step") return step;
  const counted = rows.findLast(({ tokens }) => isNumber(tokens));
  return counted === undefined ? step : (step * (counted.tokens as number)) / counted.step;
}

function isNumber(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

/** At most `MOST_POINTS` points, each of as many neighbours as the others (the last of fewer). */
function binned(points: readonly Point[]): Point[] {
  if (points.length <= MOST_POINTS) return [...points];
  return Array.from({ length: MOST_POINTS }, (_, i) => {
    const part = points.slice(
      Math.floor((i * points.length) / MOST_POINTS),
      Math.floor(((i + 1) * points.length) / MOST_POINTS),
    );
    const [lows, highs] = [part.map(({ y, low = y }) => low), part.map(({ y, high = y }) => high)];
    return {
      x: mean(part.map(({ x }) => x)),
      y: mean(part.map(({ y }) => y)),
      low: Math.min(...lows),
      high: Math.max(...highs),
    };
  });
}

/** Logarithmic where values differ by much and all have a place on it; the same values all over stand above 0. */
function scaled(y: Panel["y"], series: readonly Series[]): Panel["y"] {
  if (y.domain !== undefined) return y;
  const [least, most] = rangeOf(
    series.flatMap(({ points }) => points.flatMap(({ y, low = y, high = y }) => [low, high])),
  );
  if (y.log !== false && least > 0 && most / least > LOG_RATIO) return { ...y, log: true };
  return least < most && y.log === undefined ? y : { ...y, domain: [Math.min(0, least), 1.05 * most || 1] };
}

function rangeOf(values: readonly number[]): [least: number, most: number] {
  return values.reduce<[number, number]>(
    ([least, most], value) => [Math.min(least, value), Math.max(most, value)],
    [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
  );
}
