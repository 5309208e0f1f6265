/** `circuit compare`: sizes of the circuits of several models, at their own target and at equal task loss. */
import * as path from "node:path";
import type { Command } from "commander";
import { findTasks } from "../../../tasks/index.ts";
import { type ComparedPoint, type Comparison, compareModels } from "../../circuits/comparison.ts";
import { ablationName, isSolved, unsolvedTasks } from "../../circuits/curves.ts";
import { readReport } from "../../runs/open.ts";
import { inputError } from "../../util/errors.ts";
import { ensureWritableDir, pathExists } from "../../util/files.ts";
import { type Format, type JsonObject, writeVersioned } from "../../util/json.ts";
import { isFinished } from "../build-circuit.ts";
import { type CircuitCollection, openCollection } from "../circuit-files.ts";
import { type ComparedEntry, comparisonText, type ModelFacts } from "../comparison-report.ts";
import { lossSeries, writePlot } from "../curve-files.ts";
import { textDifference, textOfRun } from "../held-out-text.ts";
import { jsonOption } from "../options.ts";
import type { Output } from "../output.ts";
import { type PlotFlags, plotOptions, shortNames } from "../plot-files.ts";
import { examplesText } from "../program.ts";
import { plural } from "../render.ts";

const COMPARISON_FORMAT: Format = { format: "sparse-circuits/comparison", version: 1 };

interface Flags extends PlotFlags {
  readonly task?: string;
  readonly anyAblation?: boolean;
  readonly out?: string;
}

export function register(command: Command, out: Output): void {
  command
    .argument(
      "<runs...>",
      "two or more runs with circuits, or folders of circuits; the others are compared to the first",
    )
    .option("--task <names>", "tasks or groups with commas between them (default: all that the runs have in common)")
    .option("--any-ablation", "compare circuits that were made with different ablations too")
    .option("--out <dir>", "folder for compare.json, curves.csv and the plot curves.svg (default: nothing is written)");
  plotOptions(command);
  jsonOption(command);
  command.addHelpText(
    "after",
    examplesText([
      ["circuit compare runs/sparse runs/dense", "how many times more edges the second one needs"],
      ["circuit compare runs/a runs/b runs/c --out comparison", "the curves on one plot too"],
      ["circuit compare runs/a runs/b --task quotes,brackets", "over the tasks of two groups"],
    ]),
  );
  command.action((places: readonly string[], flags: Flags) => compare(places, flags, out));
}

async function compare(places: readonly string[], flags: Flags, out: Output): Promise<void> {
  const twice = places.find((place, i) => places.indexOf(place) < i);
  if (places.length < 2 || twice !== undefined) {
    throw inputError(
      "compare-runs",
      `expected two or more different runs, but received ${twice === undefined ? `${places[0]} alone` : `${twice} twice`}`,
      "For example `circuit compare runs/sparse runs/dense`.",
    );
  }
  const models = places.map(openModel);
  const { tasks, leftOut } = commonTasks(models, flags.task);
  const entries = models.map(({ place, facts, circuits }) => ({
    ...{ name: place, ...facts },
    circuits: tasks.map((task) => ({ task, circuit: circuits.get(task) })),
  }));
  const ablations = checkAblations(entries, flags.anyAblation ?? false, out);
  const comparison = compareModels(entries);
  tellOtherText(models, out);
  tellUnequal(entries, comparison, out);
  const result = {
    ...{ tasks, leftOut, target: comparison.target, ablations },
    runs: entries.map((entry, i) => runFields(entry, comparison.curves[i]!, comparison.target)),
  };
  out.line(comparisonText(entries, comparison, out.style));
  for (const text of [...leftOut.map(leftOutText), ...unsolvedTexts(entries, comparison)]) out.line(`\n${text}`);
  const files = flags.out === undefined ? [] : await write(flags.out, flags, result, entries, comparison);
  if (files.length > 0) out.line(`\nwritten ${files.join(", ")}`);
  out.done({ ...result, files });
}

interface OpenedModel extends CircuitCollection {
  readonly facts: ModelFacts;
  /** Tasks that it was trained for, or has a circuit of. */
  readonly tasks: ReadonlySet<string>;
}

function openModel(place: string): OpenedModel {
  const collection = openCollection(place);
  const { run, circuits } = collection;
  const report: JsonObject = run && pathExists(run.paths.report) ? readReport(run) : {};
  const weights = (report.weights ?? {}) as JsonObject;
  const number = (value: unknown): number | null => (typeof value === "number" ? value : null);
  return {
    ...collection,
    tasks: new Set([...circuits.keys(), ...Object.keys(report.tasks ?? {})]),
    facts: {
      heldOutLoss: number(report.valLoss),
      density: number(weights.density),
      nonzeros: number(weights.nonzeros),
    },
  };
}

/** A task that is not compared, and why. */
interface LeftOut {
  readonly task: string;
  /** Models that know nothing of it; none when no model has a circuit of it. */
  readonly missing: readonly string[];
}

/**
 * The tasks that all models know and one has a circuit of. A model that was trained for a task and has no circuit of it
 * keeps it among them: it leaves that model's numbers undefined, rather than making them those of the easy tasks.
 */
function commonTasks(models: readonly OpenedModel[], typed: string | undefined) {
  const all = [...new Set(models.flatMap(({ tasks }) => [...tasks]))].sort();
  const wanted = typed === undefined ? all : namesOf(typed, all);
  const tasks: string[] = [];
  const leftOut: LeftOut[] = [];
  for (const task of wanted) {
    const missing = models.filter((model) => !model.tasks.has(task)).map(({ place }) => place);
    if (missing.length === 0 && models.some(({ circuits }) => circuits.has(task))) tasks.push(task);
    else leftOut.push({ task, missing });
  }
  if (tasks.length > 0) return { tasks, leftOut };
  const has = models.map(({ place, circuits }) => `${place} has ${[...circuits.keys()].join(", ") || "none"}`);
  throw inputError(
    "compare-tasks",
    `there is no task to compare${typed === undefined ? "" : ` among ${typed}`}: of circuits, ${has.join("; ")}`,
    `Find them with \`circuit extract ${models.find(({ circuits }) => circuits.size === 0)?.place ?? models[0]!.place}\`.`,
  );
}

/** What the models call so, or else what the registry does. */
function namesOf(typed: string, known: readonly string[]): string[] {
  const names = typed.split(",").map((name) => name.trim());
  return names.flatMap((name) => (known.includes(name) ? [name] : findTasks(name).map((task) => task.name)));
}

/** What stands in the place of ablated nodes, by model. Refuses several kinds: under one, circuits are smaller. */
function checkAblations(entries: readonly ComparedEntry[], any: boolean, out: Output): Record<string, string[]> {
  const of = entries.map(({ name, circuits }) => [
    name,
    [...new Set(circuits.flatMap(({ circuit }) => (circuit ? ablationName(circuit) : [])))],
  ]);
  const kinds = Object.fromEntries(of) as Record<string, string[]>;
  if (new Set(Object.values(kinds).flat()).size < 2) return kinds;
  const which = Object.entries(kinds).map(([name, each]) => `${name} ${each.join(" and ")}`);
  if (!any) {
    throw inputError(
      "compare-ablation",
      `the circuits were made with different ablations: ${which.join(", ")}`,
      "Extract them with the same --ablation, or compare them all the same with --any-ablation.",
    );
  }
  out.notice(`the circuits were made with different ablations, which alone changes their sizes: ${which.join(", ")}`);
  return kinds;
}

/** Held-out losses stand side by side: says so where they are not of the same text. */
function tellOtherText(models: readonly OpenedModel[], out: Output): void {
  const [first, ...others] = models.flatMap(({ place, run, facts }) =>
    run && facts.heldOutLoss !== null ? [{ place, text: textOfRun(run) }] : [],
  );
  for (const { place, text } of others) {
    const what = textDifference(first!.text, text, [`in ${first!.place}`, `in ${place}`]);
    if (what !== undefined) out.notice(`the held-out losses are of different text: ${what}`);
  }
}

/** Says what makes numbers side by side mean less than it seems. */
function tellUnequal(entries: readonly ComparedEntry[], { target }: Comparison, out: Output): void {
  const circuits = entries.flatMap(({ name, circuits }) => circuits.map((one) => ({ name, ...one })));
  if (target === null) {
    const each = circuits.flatMap(({ name, task, circuit }) => (circuit ? `${name} ${task} ${circuit.target}` : []));
    out.notice(
      `the circuits have different targets, so that only those at equal task loss are compared: ${each.join(", ")}`,
    );
  }
  const pruned = new Set(circuits.flatMap(({ name, circuit }) => (circuit?.removedEdges.length ? [name] : [])));
  const others = entries.filter(({ name }) => !pruned.has(name)).map(({ name }) => name);
  if (pruned.size > 0 && others.length > 0) {
    out.notice(
      `single edges were removed from the circuits of ${[...pruned].join(", ")} and not from those of ${others.join(", ")}`,
    );
  }
  for (const { name, task, circuit } of circuits) {
    if (!circuit || isFinished(circuit)) continue;
    out.notice(`the search for ${task} in ${name} was interrupted: its circuit is the best so far, not the smallest`);
  }
}

function leftOutText({ task, missing }: LeftOut): string {
  const why = missing.length === 0 ? "no run has a circuit of it" : `not a task of ${missing.join(", ")}`;
  return `Left out: ${task}, ${why}.`;
}

/** Why a model has no mean. */
function unsolvedTexts(entries: readonly ComparedEntry[], { tasks }: Comparison): string[] {
  return entries.flatMap(({ name, circuits }) => {
    const unsolved = unsolvedTasks(circuits);
    if (unsolved.length === 0) return [];
    const solved = tasks.filter((task) => !unsolved.includes(task));
    const rest = solved.length > 0 ? `, or leave it out with --task ${solved.join(",")}` : "";
    return [
      `${name} has no mean: ${plural(unsolved.length, "task")} not solved, ${unsolved.join(", ")}. ` +
        `Find what is missing with \`circuit extract ${name} --task ${unsolved.join(",")}\`${rest}.`,
    ];
  });
}

/** A model in the result and in compare.json. */
function runFields({ circuits, ...facts }: ComparedEntry, curve: readonly ComparedPoint[], target: number | null) {
  const own = curve.find((point) => point.target === target);
  return {
    ...facts,
    circuits: Object.fromEntries(
      circuits.map(({ task, circuit }) => [
        task,
        circuit
          ? {
              ...{ nodes: circuit.counts.nodes, edges: circuit.counts.edges },
              ...{ target: circuit.target, taskLoss: circuit.taskLoss },
              ...{ solved: isSolved(circuit), finished: isFinished(circuit) },
            }
          : null,
      ]),
    ),
    nodes: own?.nodes ?? null,
    edges: own?.edges ?? null,
    ratio: own?.ratio ?? null,
    unsolved: unsolvedTasks(circuits),
    curve,
  };
}

async function write(
  dir: string,
  flags: PlotFlags,
  result: { readonly ablations: Readonly<Record<string, readonly string[]>> },
  entries: readonly ComparedEntry[],
  { curves, tasks }: Comparison,
): Promise<string[]> {
  ensureWritableDir(dir);
  const json = path.join(dir, "compare.json");
  writeVersioned(json, COMPARISON_FORMAT, result);
  const kinds = [...new Set(Object.values(result.ablations).flat())].join(" or ");
  const plot = {
    title: "Task loss against edges",
    caption: [
      `smallest circuits under ${kinds} ablation; ${tasks.length === 1 ? tasks[0] : `geometric mean over ${tasks.length} tasks`}`,
    ],
    series: shortNames(entries.map(({ name }) => name)).map((name, i) => lossSeries(name, curves[i]!)),
    header: ["run", "target", "nodes", "edges", "ratio", "ratio_low", "ratio_high"],
    rows: entries.flatMap(({ name }, i) =>
      curves[i]!.map(({ target, nodes, edges, ratio }) => [
        ...[name, target, nodes, edges],
        ...[ratio?.mean, ratio?.interval?.[0], ratio?.interval?.[1]],
      ]),
    ),
  };
  const plotted = await writePlot(dir, plot, flags);
  return [json, ...plotted];
}
