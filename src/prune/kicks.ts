/** The moves of the local search: how a good circuit is disturbed before nodes are eliminated from it again. */
import type { Rng } from "../util/rng.ts";
import type { Candidate } from "./candidate.ts";
import { maskOf } from "./kept.ts";

export interface KickInputs {
  /** The best circuit, and the best few with it. */
  readonly current: Candidate;
  readonly elite: readonly Candidate[];
  /** Rankings of all nodes, most important first. */
  readonly orders: readonly Int32Array[];
  /** Nodes of an order that do the task together: what is worth adding is among them. */
  readonly startNodes: number;
}

/** One of the best circuits without up to two of its nodes, with others added. */
export function kicked(rng: Rng, inputs: KickInputs): Uint8Array {
  const { current, elite, orders } = inputs;
  const from = rng.bool() ? rng.pick(elite) : current;
  const kept = maskOf(from.kept, orders[0]!.length);
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
