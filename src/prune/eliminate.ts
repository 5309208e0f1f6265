/** Removing nodes from a circuit while it still does the task, each decision exactly evaluated. */
import type { Rng } from "../util/rng.ts";
import { countKept, indices, without } from "./kept.ts";

export interface EliminateOptions {
  /** Task loss of a set of kept nodes, and the largest one allowed. */
  readonly loss: (kept: Uint8Array) => number;
  readonly level: number;
  /** The nodes that have a path from input to output. */
  readonly connected: (kept: Uint8Array) => Uint8Array;
  /** The node that must go with a node, if there is one: query and key of a channel when they are tied. */
  readonly partner?: ((node: number) => number | undefined) | undefined;
  /** Nodes that are never removed, one byte each; they go with what cuts them off. */
  readonly stays?: Uint8Array | undefined;
  /** Cheap estimates of how much the loss changes without each node, by flat index: used while a circuit is large. */
  readonly estimate?: ((kept: Uint8Array) => ArrayLike<number>) | undefined;
  /** Asked now and then; true ends it early. */
  readonly halted: () => Promise<boolean>;
  /** Disturbs the order of removal a little, so that the same start leads to different circuits. */
  readonly rng?: Rng | undefined;
}

export interface Eliminated {
  /** Connected, and within the level. */
  readonly kept: Uint8Array;
  /** Whether no single node can go; false when it ended early. */
  readonly minimal: boolean;
}

export interface Removal {
  readonly nodes: readonly number[];
  /** Task loss without the nodes. */
  readonly loss: number;
}

/** Largest share of the removable nodes removed at once, and the size below which they are tried one by one. */
const CHUNK_SHARE = 0.3;
const ONE_BY_ONE = 24;
/** Nodes above which a circuit is large: estimates order the removals. */
export const LARGE = 100;
/** Relative noise of the removal order. */
const NOISE = 0.1;

/**
 * Removes nodes, each with what it cuts off, until no single one can go. Nodes without a path are constants that may
 * matter: where a node can go alone but not with what it cuts off, what is left without it is tried too. Undefined when
 * what is connected in the start misses the level.
 */
export async function eliminate(start: Uint8Array, options: EliminateOptions): Promise<Eliminated | undefined> {
  const { loss, level, connected } = options;
  const rest = connected(start);
  if (loss(rest) > level) return undefined;
  const [kept, stopped] = await removeAll(rest, options, connected);
  if (stopped) return { kept, minimal: false };
  /** Whether some node can go; undefined when it ended before that was known. */
  const canGo = async (mask: Uint8Array): Promise<boolean | undefined> =>
    (await removals(mask, loss, options))?.some((r) => r.loss <= level);
  const more = await canGo(kept);
  if (!more) return { kept, minimal: more === false };
  const [alone, early] = await removeAll(kept, options, (mask) => mask);
  const left = connected(alone);
  const minimal = countKept(left) === countKept(alone) || (loss(left) <= level && (await canGo(left)) === false);
  return minimal && !early ? { kept: left, minimal: true } : { kept, minimal: false };
}

/** Removes until nothing can go; `closed` takes away what else goes with a removal. */
async function removeAll(
  start: Uint8Array,
  options: EliminateOptions,
  closed: (kept: Uint8Array) => Uint8Array,
): Promise<[kept: Uint8Array, stopped: boolean]> {
  const { level, halted, rng } = options;
  const loss = (kept: Uint8Array): number => options.loss(closed(kept));
  let kept = start;
  for (;;) {
    if (await halted()) return [kept, true];
    const fewer = options.estimate && countKept(kept) > LARGE && (await withoutMany(kept, loss, options));
    if (fewer) {
      kept = closed(fewer);
      continue;
    }
    const ranked = await removals(kept, loss, options);
    if (!ranked) return [kept, true];
    const spare = ranked.filter((r) => r.loss <= level);
    if (spare.length === 0) return [kept, false];
    const nodes = (rng ? disturbed(spare, rng) : spare).map((r) => r.nodes);
    kept = closed((ranked.length > ONE_BY_ONE ? withoutChunk : withoutEach)(kept, nodes, loss, level));
  }
}

/** The kept nodes that may go. */
function removable(kept: Uint8Array, stays: Uint8Array | undefined): number[] {
  return indices(kept).filter((n) => !stays?.[n]);
}

/**
 * Losses after removing each kept node that may go alone, or with its partner, smallest first; undefined when it ended
 * early: of a circuit with thousands of nodes they take minutes.
 */
export async function removals(
  kept: Uint8Array,
  loss: (kept: Uint8Array) => number,
  { partner, stays, halted }: Pick<EliminateOptions, "partner" | "stays" | "halted">,
): Promise<Removal[] | undefined> {
  const list: Removal[] = [];
  for (const node of removable(kept, stays)) {
    const other = partner?.(node);
    const both = other !== undefined && kept[other] === 1;
    if (both && other < node) continue;
    if (await halted()) return undefined;
    const nodes = both ? [node, other] : [node];
    list.push({ nodes, loss: loss(without(kept, nodes)) });
  }
  return sorted(list);
}

function sorted(list: Removal[]): Removal[] {
  return list.sort((a, b) => a.loss - b.loss || a.nodes[0]! - b.nodes[0]!);
}

function disturbed(list: readonly Removal[], rng: Rng): Removal[] {
  return sorted(list.map(({ nodes, loss }) => ({ nodes, loss: loss * (1 + NOISE * rng.normal()) })));
}

type Remove = (
  kept: Uint8Array,
  nodes: readonly (readonly number[])[],
  loss: (kept: Uint8Array) => number,
  level: number,
) => Uint8Array;

/** Removes the largest chunk from the front that leaves the level met; each of the nodes may go alone. */
const withoutChunk: Remove = (kept, nodes, loss, level) => {
  for (let chunk = Math.floor(nodes.length * CHUNK_SHARE); chunk > 1; chunk = Math.floor(chunk / 2)) {
    const trial = without(kept, nodes.slice(0, chunk).flat());
    if (loss(trial) <= level) return trial;
  }
  return without(kept, nodes[0]!);
};

/**
 * Removes many nodes at a time, in the order of an estimate: twice as many after each removal that leaves the level met, half
 * as many after each that does not. Undefined when no single one can go, or when it ended early.
 */
async function withoutMany(
  kept: Uint8Array,
  loss: (kept: Uint8Array) => number,
  { level, stays, estimate, halted, rng }: EliminateOptions,
): Promise<Uint8Array | undefined> {
  const change = estimate!(kept);
  const nodes = removable(kept, stays).map((n) => ({ nodes: [n], loss: change[n]! }));
  const order = (rng ? disturbed(nodes, rng) : sorted(nodes)).map((removal) => removal.nodes[0]!);
  let left = kept;
  let chunk = Math.max(1, Math.floor(order.length * CHUNK_SHARE));
  for (let at = 0; at < order.length && !(await halted()); ) {
    const trial = without(left, order.slice(at, at + chunk));
    if (loss(trial) <= level) {
      left = trial;
      at += chunk;
      chunk *= 2;
    } else if (chunk > 1) chunk = Math.floor(chunk / 2);
    else at++;
  }
  return left === kept ? undefined : left;
}

/** Removes one node after another while the level stays met. */
const withoutEach: Remove = (kept, nodes, loss, level) => {
  let left = kept;
  for (const node of nodes) {
    const trial = without(left, node);
    if (loss(trial) <= level) left = trial;
  }
  return left;
};
