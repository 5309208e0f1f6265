/** A comparison of models for people: sizes by task, the models' means and ratios, and edges at equal task loss. */
import type { ComparedPoint, Comparison, Ratio } from "../circuits/comparison.ts";
import { isSolved, type TaskCircuit } from "../circuits/curves.ts";
import { count, fraction, nats, type Style, table } from "./render.ts";

/** What is known of a model beside its circuits; null where it is not. */
export interface ModelFacts {
  /** Next-token loss on held-out text, nats. */
  readonly heldOutLoss: number | null;
  /** Of all sparse matrices. */
  readonly density: number | null;
  readonly nonzeros: number | null;
}

export interface ComparedEntry extends ModelFacts {
  readonly name: string;
  readonly circuits: readonly TaskCircuit[];
}

const right = (title: string) => ({ title, align: "right" as const });
const or = (text: (x: number) => string, x: number | null): string => (x === null ? "-" : text(x));
/** `12.3`, `120` */
const size = (x: number): string => (x < 100 ? x.toFixed(1) : count(x));

export function comparisonText(entries: readonly ComparedEntry[], comparison: Comparison, style: Style): string {
  const { target, tasks } = comparison;
  const at = target === null ? "their own target" : `task loss ${target}`;
  const over = tasks.length === 1 ? "one task, so without intervals" : `geometric mean over ${tasks.length} tasks`;
  return [
    style.bold(`Smallest circuits at ${at}: nodes / edges`),
    taskTable(entries, tasks, style),
    "",
    style.bold(`Models: edges, ${over}`),
    modelTable(entries, comparison, style),
    "",
    style.bold("Edges at equal task loss, and times those of the first model"),
    lossTable(entries, comparison, style),
  ].join("\n");
}

function taskTable(entries: readonly ComparedEntry[], tasks: readonly string[], style: Style): string {
  const cell = ({ circuits }: ComparedEntry, task: number): string => {
    const { circuit } = circuits[task]!;
    if (circuit === undefined) return "no circuit";
    return `${circuit.counts.nodes} / ${circuit.counts.edges}${isSolved(circuit) ? "" : ` misses ${circuit.target}`}`;
  };
  return table(
    [{ title: "task" }, ...entries.map(({ name }) => right(name))],
    tasks.map((task, t) => [task, ...entries.map((entry) => cell(entry, t))]),
    { style },
  );
}

function modelTable(entries: readonly ComparedEntry[], { curves, target }: Comparison, style: Style): string {
  const columns = ["held-out loss", "density", "nonzero weights", "edges", "times the first", "95% interval"];
  const rows = entries.map(({ name, heldOutLoss, density, nonzeros }, i) => {
    const own = curves[i]!.find((point) => point.target === target);
    return [
      name,
      or(nats, heldOutLoss),
      or(fraction, density),
      or(count, nonzeros),
      or(size, own?.edges ?? null),
      or(size, own?.ratio?.mean ?? null),
      intervalText(own?.ratio?.interval ?? null),
    ];
  });
  return table([{ title: "model" }, ...columns.map(right)], rows, { style });
}

function lossTable(entries: readonly ComparedEntry[], { curves }: Comparison, style: Style): string {
  const targets = curves[0]!.map(({ target }) => target);
  const cell = ({ edges, ratio }: ComparedPoint): string =>
    `${or(size, edges)}${ratio === null ? "" : ` (${ratioText(ratio)})`}`;
  return table(
    [right("task loss"), ...entries.map(({ name }) => right(name))],
    targets.map((target, t) => [String(target), ...curves.map((points) => cell(points[t]!))]),
    { style },
  );
}

function ratioText({ mean, interval }: Ratio): string {
  return `${size(mean)}x${interval === null ? "" : `, ${intervalText(interval)}`}`;
}

function intervalText(interval: Ratio["interval"]): string {
  return interval === null ? "-" : interval.map(size).join(" to ");
}
