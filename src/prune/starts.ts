/** Where a search begins: rankings of all nodes by attribution, and the circuits that learned gates go through. */
import { setImmediate } from "node:timers/promises";
import type { PairBatch } from "../data/pairs.ts";
import { type AttributionOptions, attributionOrders } from "./attribution.ts";
import type { Evaluator } from "./evaluator.ts";
import { type EdgeList, GATES, Gates } from "./gates.ts";
import { countKept } from "./kept.ts";
import type { MaskGradient } from "./masked-model.ts";
import { firstPairs, rowsOf } from "./pair-scores.ts";

/** Steps of the integrated gradients that rank the nodes, and the training pairs that they are over. */
const ATTRIBUTION_STEPS = [1, 5, 10];
const ATTRIBUTION_PAIRS = 64;
/** Pairs of a step of the gates. */
const GATE_PAIRS = 16;
/** A circuit on the way of the gates is noted when it has at most this share of the nodes of the one before. */
const SMALLER = 0.9;
/** Larger ones are only noted when the gates end there: scoring them takes long, and they are poor starts. */
const MANY = 600;

/** Rankings of all nodes, most important first. */
export function rankings(model: MaskGradient, train: PairBatch, options: AttributionOptions): Promise<Int32Array[]> {
  const some = firstPairs(train, ATTRIBUTION_PAIRS);
  return attributionOrders(model, some, ATTRIBUTION_STEPS, options);
}

export interface GateRun extends AttributionOptions {
  readonly order: Int32Array;
  readonly edges: EdgeList;
  readonly connected: (kept: Uint8Array) => Uint8Array;
  /** Scores what the gates keep. */
  readonly score: Evaluator;
  readonly target: number;
  readonly seed: number;
}

/**
 * Ever smaller connected circuits, each with a task loss of at most `worst`, that a run of gates went through; fewer when
 * the signal ends it.
 */
export async function gateCircuits(
  model: MaskGradient,
  train: PairBatch,
  { order, edges, connected, score, target, seed, signal, progress }: GateRun,
): Promise<Uint8Array[]> {
  const gates = new Gates(model, edges, order, { target, seed });
  const circuits: Uint8Array[] = [];
  const rows = 2 * GATE_PAIRS;
  let fewest = Number.POSITIVE_INFINITY;
  let ended = signal?.aborted ?? false;
  for (let i = 0; i < GATES.steps && !ended; i++) {
    const at = (i * rows) % train.rows;
    gates.step(rowsOf(train, at, Math.min(train.rows, at + rows)));
    const kept = connected(gates.kept());
    const nodes = countKept(kept);
    ended = i + 1 === GATES.steps || (signal?.aborted ?? false);
    if (nodes <= SMALLER * fewest && (nodes <= MANY || ended) && score.score(kept).loss <= target) {
      fewest = nodes;
      circuits.push(kept);
    }
    progress?.(i + 1, GATES.steps);
    await setImmediate();
  }
  return circuits;
}
