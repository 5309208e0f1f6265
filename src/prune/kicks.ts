/** The moves of the local search: how a good circuit is disturbed before nodes are eliminated from it again. */
import type { Rng } from "../util/rng.ts";
import type { Candidate } from "./candidate.ts";
import { indices, maskOf } from "./kept.ts";

/** Largest share of a circuit's nodes that go when a larger one is put in their place. */
const SHARE = 1 / 4;

export interface KickInputs {
  /** The best circuit, and the best few with it. */
  readonly current: Candidate;
  readonly elite: readonly Candidate[];
  /** Larger circuits that do the task. */
  readonly larger: readonly Uint8Array[];
  /** Rankings of all nodes, most important first. */
  readonly orders: readonly Int32Array[];
  /** Nodes of an order that do the task together: what is worth adding is among them. */
  readonly startNodes: number;
}

/** One of the best circuits without up to two of its nodes, with others added. */
export function kicked(rng: Rng, inputs: KickInputs): Uint8Array {
  const { current, elite, larger, orders } = inputs;
  const from = rng.bool() ? rng.pick(elite) : current;
  const kept = maskOf(from.kept, orders[0]!.length);
  if (larger.length > 0 && rng.bool()) {
    // What a larger circuit has besides can take the place of some nodes: without them, elimination must go another way.
    for (const n of indices(rng.pick(larger))) kept[n] = 1;
    const most = Math.max(2, Math.ceil(SHARE * from.nodes));
    for (const n of rng.sample(from.kept, Math.min(rng.int(1, most), from.kept.length))) kept[n] = 0;
    return kept;
  }
  for (const n of rng.sample(from.kept, Math.min(rng.int(0, 2), from.kept.length))) kept[n] = 0;
  for (const n of additions(rng, inputs, from)) kept[n] = 1;
  return kept;
}

/** The nodes of another good circuit and a few more, or a few or many from the top of an order. */
function additions(rng: Rng, { elite, orders, startNodes }: KickInputs, from: Candidate): number[] {
  const order = rng.pick(orders);
  const pool = Math.min(order.length, Math.max(64, 4 * from.nodes, startNodes));
  const draw = (count: number): number[] => Array.from({ length: count }, () => order[rng.int(0, pool - 1)]!);
  if (elite.length > 1 && rng.bool(0.4)) return [...rng.pick(elite).kept, ...draw(rng.int(0, 6))];
  return draw(rng.bool() ? rng.int(2, 24) : rng.int(24, 80));
}
