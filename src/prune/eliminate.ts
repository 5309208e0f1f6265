/** Removing nodes from a circuit while it still does the task, each decision exactly evaluated. */
import type { Rng } from "../util/rng.ts";
import { countKept, indices, without } from "./kept.ts";

export interface EliminateOptions {
  /** Task loss of a set of kept nodes, and the largest one allowed. */
  readonly loss: (kept: Uint8Array) => number;
  readonly level: number;
  /** The nodes that have a path from input to output. */
  readonly connected: (kept: Uint8Array) => Uint8Array;
  /** Asked now and then; true ends it early. */
  readonly halted: () => Promise<boolean>;
  /** Disturbs the order of removal a little, so that the same start leads to different circuits. */
  readonly rng?: Rng | undefined;
}

export interface Eliminated {
  readonly kept: Uint8Array;
  /** Whether no single node can go; false when it ended early. */
  readonly minimal: boolean;
}

export interface Removal {
  readonly node: number;
  /** Task loss without the node. */
  readonly loss: number;
}

/** Largest share of the removable nodes removed at once, and the size below which they are tried one by one. */
const CHUNK_SHARE = 0.3;
const ONE_BY_ONE = 24;
/** Relative noise of the removal order. */
const NOISE = 0.1;

/**
 * Removes nodes until no single one can go and all that is left is connected. Undefined when what is connected misses
 * the level, though all together met it: nodes without a path are constants that may matter.
 */
export async function eliminate(start: Uint8Array, options: EliminateOptions): Promise<Eliminated | undefined> {
  const { loss, level, connected, halted, rng } = options;
  let kept = start;
  for (;;) {
    const stop = await halted();
    const ranked = stop ? [] : removals(kept, loss);
    const removable = ranked.filter((r) => r.loss <= level);
    if (removable.length === 0) {
      const rest = connected(kept);
      if (loss(rest) > level) return undefined;
      if (stop || countKept(rest) === countKept(kept)) return { kept: rest, minimal: !stop };
      kept = rest;
      continue;
    }
    const nodes = (rng ? disturbed(removable, rng) : removable).map((r) => r.node);
    kept = ranked.length > ONE_BY_ONE ? withoutChunk(kept, nodes, options) : withoutEach(kept, nodes, options);
  }
}

/** Losses after removing each kept node alone, smallest first. */
export function removals(kept: Uint8Array, loss: (kept: Uint8Array) => number): Removal[] {
  return sorted(indices(kept).map((node) => ({ node, loss: loss(without(kept, [node])) })));
}

function sorted(list: Removal[]): Removal[] {
  return list.sort((a, b) => a.loss - b.loss || a.node - b.node);
}

function disturbed(list: readonly Removal[], rng: Rng): Removal[] {
  return sorted(list.map(({ node, loss }) => ({ node, loss: loss * (1 + NOISE * rng.normal()) })));
}

type Limit = Pick<EliminateOptions, "loss" | "level">;

/** Removes the largest chunk from the front that leaves the level met; each of the nodes may go alone. */
function withoutChunk(kept: Uint8Array, nodes: readonly number[], { loss, level }: Limit): Uint8Array {
  for (let chunk = Math.floor(nodes.length * CHUNK_SHARE); chunk > 1; chunk = Math.floor(chunk / 2)) {
    const trial = without(kept, nodes.slice(0, chunk));
    if (loss(trial) <= level) return trial;
  }
  return without(kept, nodes.slice(0, 1));
}

/** Removes one node after another while the level stays met. */
function withoutEach(kept: Uint8Array, nodes: readonly number[], { loss, level }: Limit): Uint8Array {
  let left = kept;
  for (const node of nodes) {
    const trial = without(left, [node]);
    if (loss(trial) <= level) left = trial;
  }
  return left;
}
