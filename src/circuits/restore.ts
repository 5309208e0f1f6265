/** From a circuit file back to what computes: the kept nodes and removed edges of the model that it is of. */
import { nodeIndexOf } from "../model/sites.ts";
import { inputError } from "../util/errors.ts";
import type { Circuit } from "./schema.ts";
import type { EdgeIndices, Wiring } from "./wiring.ts";

export interface RestoredCircuit {
  /** One byte for each node of the model. */
  readonly kept: Uint8Array;
  /** Indices into the wiring's edges. */
  readonly removed: EdgeIndices;
  /** What the values of scaled nodes are multiplied by, by flat index. */
  readonly scales: ReadonlyMap<number, number>;
}

/** Throws an input error when the circuit has nodes or edges that the model does not have. */
export function restoreCircuit(circuit: Circuit, wiring: Wiring): RestoredCircuit {
  const index = nodeIndexOf(wiring.config);
  const flat = (id: string): number => {
    const n = index(id);
    if (n !== undefined) return n;
    throw inputError(
      "circuit-model",
      `the circuit's node ${id} is not one of the model's`,
      "The circuit is of another model: extract it again from this one.",
    );
  };
  const kept = new Uint8Array(wiring.nodes);
  const scales = new Map<number, number>();
  for (const { id, scale } of circuit.nodes) {
    const n = flat(id);
    kept[n] = 1;
    if (scale !== undefined) scales.set(n, scale);
  }
  const ends = new Set(circuit.removedEdges.map(({ source, target }) => `${flat(source)}>${flat(target)}`));
  const removed = new Set(wiring.edgesOf(kept).filter((e) => ends.has(`${wiring.sources[e]}>${wiring.targets[e]}`)));
  return { kept, removed, scales };
}
