/**
 * How the task loss falls with the edges of the smallest circuits: for one task, and over tasks by the geometric mean
 * (Gao et al. 2025, 2.2 and Figure 2). A mean over tasks is undefined where one of them has no circuit; it is never taken
 * over the others. Numbers only; drawing and writing are the command line's.
 */
import { geometricMean } from "../util/statistics.ts";
import type { Circuit } from "./schema.ts";

/** A task and its circuit; undefined when none was found. */
export interface TaskCircuit {
  readonly task: string;
  readonly circuit: Circuit | undefined;
}

export type CurvePoint = Circuit["curve"][number];

/** The smallest circuits of several tasks at one target. */
export interface PooledPoint {
  /** Task loss that every circuit meets, nats. */
  readonly target: number;
  /** Geometric means over the tasks; null when one of them has no circuit. */
  readonly nodes: number | null;
  readonly edges: number | null;
  /** Tasks without a circuit at this target. */
  readonly missing: readonly string[];
}

/** Whether the circuit meets its target on pairs that the search did not fit, so far as they were scored. */
export function isSolved({ target, taskLoss }: Circuit): boolean {
  const reached = taskLoss.val ?? taskLoss.test ?? taskLoss.train;
  return reached !== null && reached <= target;
}

/** Tasks without a circuit that meets its target. */
export function unsolvedTasks(circuits: readonly TaskCircuit[]): string[] {
  return circuits.flatMap(({ task, circuit }) => (circuit && isSolved(circuit) ? [] : [task]));
}

/** What stands in an ablated node's place, as far as it changes the sizes of circuits. */
export function ablationName({ ablation: { kind, frozenNorm } }: Circuit): string {
  return frozenNorm ? `${kind} with frozen norms` : kind;
}

/**
 * The circuit's curve, strictest target last. A circuit that meets its target is the point there, and at looser targets
 * too where it is smaller than what was found for them.
 */
export function curveOf(circuit: Circuit): CurvePoint[] {
  const { target, counts, taskLoss, curve } = circuit;
  const others = curve.filter((point) => point.target !== target);
  const itself = { target, nodes: counts.nodes, edges: counts.edges, taskLoss };
  const points = isSolved(circuit)
    ? [itself, ...others.map((p) => (p.target > target && isSmaller(itself, p) ? { ...itself, target: p.target } : p))]
    : others;
  return points.sort((a, b) => b.target - a.target);
}

function isSmaller(a: CurvePoint, b: CurvePoint): boolean {
  return a.edges < b.edges || (a.edges === b.edges && a.nodes < b.nodes);
}

/** All targets at which one of the circuits has a point, strictest last. */
export function targetsOf(circuits: readonly TaskCircuit[]): number[] {
  const all = circuits.flatMap(({ circuit }) => (circuit ? curveOf(circuit) : []));
  return [...new Set(all.map(({ target }) => target))].sort((a, b) => b - a);
}

/** The smallest circuit found at a target. */
export function pointAt(circuit: Circuit | undefined, target: number): CurvePoint | undefined {
  return circuit && curveOf(circuit).find((point) => point.target === target);
}

/** Of at least one task. */
export function pooledPoint(circuits: readonly TaskCircuit[], target: number): PooledPoint {
  const points = circuits.map(({ task, circuit }) => ({ task, point: pointAt(circuit, target) }));
  const missing = points.flatMap(({ task, point }) => (point ? [] : [task]));
  const mean = (of: "nodes" | "edges"): number | null =>
    missing.length > 0 ? null : geometricMean(points.map(({ point }) => point![of]));
  return { target, nodes: mean("nodes"), edges: mean("edges"), missing };
}
