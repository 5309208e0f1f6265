/**
 * Human names of what nodes do. A label is of a node of a model on a task, so it stays right for as long as weights and task
 * are the same, whatever else is in the circuit. Nothing is computed from labels.
 */
import type { Circuit, CircuitNode } from "./schema.ts";

/** By id; none is empty. */
export type Labels = ReadonlyMap<string, string>;

export function labelsOf({ nodes }: Pick<Circuit, "nodes">): Map<string, string> {
  return new Map(nodes.flatMap(({ id, label }) => (label ? [[id, label] as const] : [])));
}

/** Nodes with these labels and no others. */
export function labelled(nodes: readonly CircuitNode[], labels: Labels): CircuitNode[] {
  return nodes.map(({ label: _, ...node }) => {
    const label = labels.get(node.id);
    return label ? { ...node, label } : node;
  });
}

/** A new circuit with the labels of the one before it, where they mean the same: of the same weights and task. */
export function keepLabels(circuit: Circuit, before: Circuit): Circuit {
  const same = (of: Circuit): string => JSON.stringify([of.model.weightsHash, of.task.name, of.task.variant]);
  return same(circuit) === same(before) ? { ...circuit, nodes: labelled(circuit.nodes, labelsOf(before)) } : circuit;
}
