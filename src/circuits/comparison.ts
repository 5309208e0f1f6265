/**
 * Models compared by their smallest circuits for the same tasks: sizes at the circuits' own target and at equal task loss,
 * and how many times more edges a model needs than the first. Every number is over all of the tasks or undefined, so that
 * no two numbers are over different ones. Numbers only: which tasks, and what is comparable, the caller decides.
 */
import { Rng } from "../util/rng.ts";
import { bootstrapInterval, geometricMean } from "../util/statistics.ts";
import { type PooledPoint, pointAt, pooledPoint, type TaskCircuit, targetsOf } from "./curves.ts";

export interface ComparedModel {
  readonly name: string;
  /** Of the same tasks, in the same order, in all models. */
  readonly circuits: readonly TaskCircuit[];
}

/** Edges of a model over those of the first. */
export interface Ratio {
  /** Geometric mean over tasks. */
  readonly mean: number;
  /** 95% bootstrap interval over tasks; null for a single task, which has none. */
  readonly interval: readonly [low: number, high: number] | null;
}

export interface ComparedPoint extends PooledPoint {
  /** Null for the first model, and where either has no circuit, or one without edges, for one of the tasks. */
  readonly ratio: Ratio | null;
}

export interface Comparison {
  readonly tasks: readonly string[];
  /** The one target of all circuits; null when there are several. */
  readonly target: number | null;
  /** By model, at each target that a circuit of any model meets, strictest last. */
  readonly curves: readonly (readonly ComparedPoint[])[];
}

/** Of at least one task. */
export function compareModels(models: readonly ComparedModel[]): Comparison {
  const all = models.flatMap(({ circuits }) => circuits);
  const own = new Set(all.flatMap(({ circuit }) => circuit?.target ?? []));
  const first = models[0]!.circuits;
  return {
    tasks: first.map(({ task }) => task),
    target: own.size === 1 ? [...own][0]! : null,
    curves: models.map(({ circuits }) =>
      targetsOf(all).map((target) => ({
        ...pooledPoint(circuits, target),
        ratio: circuits === first ? null : edgeRatio(first, circuits, target),
      })),
    ),
  };
}

function edgeRatio(first: readonly TaskCircuit[], other: readonly TaskCircuit[], target: number): Ratio | null {
  const ratios = first.map(({ circuit }, i) => {
    const [a, b] = [pointAt(circuit, target)?.edges, pointAt(other[i]!.circuit, target)?.edges];
    return a && b ? b / a : undefined;
  });
  if (!ratios.every((ratio) => ratio !== undefined)) return null;
  return { mean: geometricMean(ratios), interval: bootstrapInterval(ratios, Rng.of("bootstrap")) ?? null };
}
