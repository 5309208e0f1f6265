/** A training run for people: what is trained, the log with its live status line, and the final report as tables. */
import type { TaskSpec } from "../data/task.ts";
import type { EngineInfo } from "../engine/engine.ts";
import type { ProfileReport } from "../engine/profile.ts";
import type { ModelConfig } from "../model/config.ts";
import { SITES } from "../model/sites.ts";
import type { TrainConfig } from "../train/config.ts";
import { isLearned } from "../train/evaluate.ts";
import type { SiteStatistics, WeightSparsity } from "../train/statistics.ts";
import type { EvalEvent, StepEvent, TrainReport } from "../train/trainer.ts";
import { mean } from "../util/statistics.ts";
import { describeEngine } from "./engine.ts";
import type { Output } from "./output.ts";
import { clock, count, fraction, nats, pad, percent, plural, type Style, short, styleOf, table } from "./render.ts";

export interface RunFacts {
  readonly dir: string;
  readonly tasks: readonly TaskSpec[];
  readonly config: TrainConfig;
  readonly model: ModelConfig;
  readonly parameters: number;
  readonly engine: EngineInfo;
  /** Steps that were done before. */
  readonly from: number;
}

/** The lines before the log. */
export function headText({ dir, tasks, config, model, parameters, engine, from }: RunFacts, style: Style): string {
  const { training } = config;
  const shape = `${plural(model.layers, "layer")}, ${model.width} channels, ${model.heads} x ${model.headWidth} heads, ${model.neurons} neurons, ${model.vocabSize} tokens`;
  const rows = [
    ...tasks.map((task) => ["task", `${task.name}: ${task.doc}`]),
    ["model", `${shape}; ${short(parameters)} parameters, density ${fraction(training.density)}`],
    [
      "train",
      `${count(training.steps)} steps of ${training.batch} x ${model.contextLength} tokens, seed ${config.seed}`,
    ],
    ["engine", describeEngine(engine)],
    ["run", from > 0 ? `${dir}, continued after step ${count(from)}` : dir],
  ];
  return rows.map(([name, text]) => `${style.dim(pad(name!, 6))}  ${text}`).join("\n");
}

/** How fast a run goes and when it ends; recent steps count most, as annealing makes them faster. */
export class Pace {
  /** Time in steps alone, and what was done in it. */
  private seconds = 0;
  private tokens = 0;
  private recent: number | undefined;

  add(seconds: number, tokens: number): void {
    this.seconds += seconds;
    this.tokens += tokens;
    this.recent = this.recent === undefined ? seconds : 0.95 * this.recent + 0.05 * seconds;
  }

  /** Over all steps of this process. */
  get tokensPerSecond(): number {
    return this.seconds > 0 ? this.tokens / this.seconds : 0;
  }

  secondsLeft(steps: number): number {
    return steps * (this.recent ?? Number.NaN);
  }
}

/** `tasks` learned of all is said when there are several. */
function logColumns(tasks: number): readonly (readonly [title: string, width: number])[] {
  return [
    ["step", 7],
    ["loss", 7],
    ["held-out", 8],
    ["task loss", 9],
    ["pair acc.", 9],
    ...(tasks > 1 ? ([["learned", 7]] as const) : []),
    ["decisions", 9],
    ["density", 8],
    ["tokens/s", 8],
    ["left", 7],
  ];
}

/**
 * A row for each evaluation; without evaluations a row each tenth. On a terminal the step at hand below, under a table of
 * the tasks when there are several.
 */
export class TrainLog {
  private readonly out: Output;
  private readonly pace: Pace;
  private readonly evalEvery: number;
  private readonly columns: ReturnType<typeof logColumns>;
  private last: StepEvent | undefined;
  private tasks = "";
  private started = false;

  constructor(out: Output, pace: Pace, { evalEvery, tasks }: { readonly evalEvery: number; readonly tasks: number }) {
    this.out = out;
    this.pace = pace;
    this.evalEvery = evalEvery;
    this.columns = logColumns(tasks);
  }

  step(event: StepEvent): void {
    this.last = event;
    const { step, steps, loss, density } = event;
    const tenth = Math.max(1, Math.floor(steps / 10));
    const hasEval = step % this.evalEvery === 0 && step < steps;
    if ((step === steps || (this.evalEvery > tenth && step % tenth === 0)) && !hasEval) this.row(event);
    if (step === steps) {
      this.out.live("scoring on the test split");
      return;
    }
    const left = clock(this.pace.secondsLeft(steps - step));
    this.out.live(
      `${this.tasks}step ${step}/${steps}  ${percent(step / steps)}  loss ${nats(loss)}  density ${density.toFixed(4)}  ` +
        `${short(this.pace.tokensPerSecond)} tokens/s  ${left} left`,
    );
  }

  eval(event: EvalEvent): void {
    // Plain, as what is drawn is cut to the width of the terminal.
    if (Object.keys(event.tasks).length > 1) this.tasks = `\n${taskTable(event, styleOf(false))}\n\n`;
    if (this.last !== undefined) this.row(this.last, event);
  }

  private row({ step, steps, loss, density }: StepEvent, evaluation?: EvalEvent): void {
    const left = clock(this.pace.secondsLeft(steps - step));
    const cells = [
      count(step),
      nats(loss),
      ...this.scores(evaluation),
      density.toFixed(4),
      short(this.pace.tokensPerSecond),
      left,
    ];
    if (!this.started)
      this.print(
        this.columns.map(([title]) => title),
        this.out.style.dim,
      );
    this.started = true;
    this.print(cells);
  }

  private scores(evaluation?: EvalEvent): string[] {
    const several = this.columns.some(([title]) => title === "learned");
    if (evaluation === undefined) return ["", "", "", ...(several ? [""] : []), ""];
    const scores = Object.values(evaluation.tasks);
    const decisions = Object.values(evaluation.decisions).map(({ accuracy }) => accuracy);
    return [
      nats(evaluation.valLoss),
      nats(mean(scores.map((s) => s.taskLoss))),
      percent(mean(scores.map((s) => s.pairAccuracy))),
      ...(several ? [`${scores.filter(isLearned).length}/${scores.length}`] : []),
      decisions.length > 0 ? percent(mean(decisions)) : "-",
    ];
  }

  private print(cells: readonly string[], paint: (line: string) => string = (line) => line): void {
    this.out.line(paint(cells.map((cell, c) => pad(cell, this.columns[c]![1], "right")).join("  ")));
  }
}

/** The final report. */
export function reportText(report: TrainReport, style: Style): string {
  return [
    `${style.bold("Tasks, on pairs of the test split")}; decisions on held-out text`,
    taskTable(report, style),
    "",
    `Held-out loss ${style.bold(nats(report.valLoss))} nats a token`,
    "",
    style.bold("Weights that are not zero (L0)"),
    weightTable(report.weights, style),
    "",
    style.bold("Activations that are not zero (L0), mean of a token, and kurtosis"),
    siteTable(report.sites, style),
    "",
    deadText(report),
  ].join("\n");
}

/** Where the steps spent their time. */
export function profileText({ steps, stepMs, jsMs, jsShare, ops }: ProfileReport, style: Style): string {
  const columns = [
    { title: "kernel" },
    { title: "calls", align: "right" },
    { title: "ms", align: "right" },
    { title: "share", align: "right" },
    { title: "GFLOP/s", align: "right" },
  ] as const;
  const rows = ops.map(({ op, calls, ms, share, gflops }) => [
    op,
    calls.toFixed(Number.isInteger(calls) ? 0 : 1),
    ms.toFixed(3),
    percent(share),
    gflops === null ? "" : gflops.toFixed(1),
  ]);
  rows.push(["outside of the kernels (corpus, tape)", "", jsMs.toFixed(3), percent(jsShare), ""]);
  rows.push(["step", "", stepMs.toFixed(3), "", ""].map(style.bold));
  return `${style.bold(`Time of a training step by kernel, each run by itself, mean of ${plural(steps, "step")}`)}\n${table(columns, rows, { style })}`;
}

/** Every task with its scores, learned or not. `decisions`: how often it is right where the corpus decides. */
function taskTable({ tasks, decisions }: Pick<EvalEvent, "tasks" | "decisions">, style: Style): string {
  const columns = [
    { title: "task" },
    { title: "task loss", align: "right" },
    { title: "accuracy", align: "right" },
    { title: "pair accuracy", align: "right" },
    { title: "decisions", align: "right" },
    { title: "" },
  ] as const;
  const rows = Object.entries(tasks).map(([name, scores]) => [
    name,
    nats(scores.taskLoss),
    percent(scores.accuracy),
    percent(scores.pairAccuracy),
    decisions[name] === undefined ? "-" : percent(decisions[name].accuracy),
    isLearned(scores) ? style.green("learned") : style.red("not learned"),
  ]);
  return table(columns, rows, { style });
}

function weightTable({ matrices, nonzeros, entries, density }: WeightSparsity, style: Style): string {
  const columns = [
    { title: "matrix" },
    { title: "nonzeros", align: "right" },
    { title: "entries", align: "right" },
    { title: "density", align: "right" },
  ] as const;
  const row = (name: string, some: number, all: number, ratio: number): string[] => [
    name,
    count(some),
    count(all),
    ratio.toFixed(4),
  ];
  const rows = matrices.map((m) => row(shortName(m.name), m.nonzeros, m.entries, m.nonzeros / m.entries));
  const total = row("total", nonzeros, entries, density).map(style.bold);
  return table(columns, [...rows, total], { style });
}

/** `transformer.h.0.attn.c_attn.weight` as `0.attn.c_attn`. */
function shortName(name: string): string {
  return name.replace(/^transformer\.(h\.)?/, "").replace(/\.weight$/, "");
}

/** Sites down, layers across: `28.2 (5.1)`. */
function siteTable(sites: readonly SiteStatistics[], style: Style): string {
  const byName = new Map(sites.map((site) => [site.site, site]));
  const layers = [...new Set(sites.map((site) => Number.parseInt(site.site, 10)))];
  const columns = [
    { title: "site" },
    { title: "width", align: "right" as const },
    ...layers.map((layer) => ({ title: `layer ${layer}`, align: "right" as const })),
  ];
  const cell = (site: SiteStatistics | undefined): string =>
    site === undefined ? "" : `${site.l0.toFixed(1)} (${site.kurtosis.toFixed(1)})`;
  const rows = SITES.map((site) => [
    site,
    String(byName.get(`${layers[0]}.${site}`)?.width ?? ""),
    ...layers.map((layer) => cell(byName.get(`${layer}.${site}`))),
  ]);
  return table(columns, rows, { style });
}

function deadText({ deadNeurons, sites }: TrainReport): string {
  const each = deadNeurons.map((dead, layer) => {
    const width = sites.find((site) => site.site === `${layer}.mlp.post_act`)?.width ?? 0;
    return `${count(dead)} of ${count(width)} in layer ${layer}`;
  });
  return `Dead neurons (no weight in, or none out): ${each.join(", ")}`;
}
