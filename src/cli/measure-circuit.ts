/** What is measured of a circuit however it came about, and the part of circuit.json that follows from it. */
import type { RestoredCircuit } from "../circuits/restore.ts";
import type { Circuit, CircuitNode } from "../circuits/schema.ts";
import { circuitStructure } from "../circuits/structure.ts";
import type { Model } from "../model/model.ts";
import { nodeIndexOf } from "../model/sites.ts";
import type { Ablation } from "../prune/ablation.ts";
import { type DrivingToken, drivingTokens } from "../prune/drivers.ts";
import { scaling } from "../prune/evaluator.ts";
import type { Extractor, PairSplit, Pairs, SplitScore } from "../prune/extract.ts";
import { indices } from "../prune/kept.ts";
import type { TokenBatch } from "../prune/means.ts";
import { inputError } from "../util/errors.ts";
import type { ExtractSource } from "./extract-source.ts";
import { nats } from "./render.ts";

/** Tokens listed for a node. */
const DRIVERS = 3;

export interface MeasuredCircuit extends RestoredCircuit {
  readonly scores: Readonly<Record<PairSplit, SplitScore>>;
  /** Rise of the training loss without a kept node, by flat index. */
  readonly importance: ReadonlyMap<number, number>;
  readonly drivers: ReadonlyMap<number, readonly DrivingToken[]>;
}

export function scoresOf(extractor: Extractor, { kept, removed, scales }: RestoredCircuit): MeasuredCircuit["scores"] {
  return extractor.scores(kept, removed, scaling(scales));
}

/** `text`: what the ablation values are over, for the tokens that drive nodes. */
export function measureCircuit(
  extractor: Extractor,
  circuit: RestoredCircuit,
  model: Model,
  text: readonly TokenBatch[],
): MeasuredCircuit {
  const { kept, removed, scales } = circuit;
  return {
    ...circuit,
    scores: scoresOf(extractor, circuit),
    importance: extractor.importance(kept, removed, scaling(scales)),
    drivers: drivingTokens(model, indices(kept), text, DRIVERS),
  };
}

type MeasuredFields = Pick<
  Circuit,
  "taskLoss" | "pairAccuracy" | "nodes" | "edges" | "removedEdges" | "links" | "embedding" | "unembedding" | "counts"
>;

export function measuredFields(
  { stored, tokenText }: Pick<ExtractSource, "stored" | "tokenText">,
  pairs: Pairs,
  ablation: Ablation,
  measured: MeasuredCircuit,
): MeasuredFields {
  const { config, params } = stored;
  const [fill] = ablation.draws;
  const { nodes, edges, removedEdges, links, embedding, unembedding, counts } = circuitStructure(
    config,
    params,
    measured.kept,
    {
      tokenText,
      removed: measured.removed,
      answerTokens: new Set([...pairs.test.right, ...pairs.test.wrong]),
      promptTokens: contrastTokens(pairs),
    },
  );
  const indexOf = nodeIndexOf(config);
  return {
    taskLoss: bySplit(measured.scores, (s) => s.taskLoss),
    pairAccuracy: bySplit(measured.scores, (s) => s.pairAccuracy),
    nodes: nodes.map((node): CircuitNode => {
      const index = indexOf(node.id)!;
      const reads = measured.drivers.get(index)?.map((d) => ({ ...d, tokenText: tokenText(d.token) }));
      const scale = measured.scales.get(index);
      return {
        ...node,
        meanActivation: fill![index]!,
        importance: measured.importance.get(index) ?? null,
        ...(reads === undefined ? {} : { reads }),
        ...(scale === undefined ? {} : { scale }),
      };
    }),
    edges,
    removedEdges,
    links,
    embedding,
    unembedding,
    counts,
  };
}

export function bySplit<T>(scores: MeasuredCircuit["scores"], pick: (s: SplitScore) => T): Record<PairSplit, T> {
  return { train: pick(scores.train), val: pick(scores.val), test: pick(scores.test) };
}

/** How far a loss may be from the stored one: engines round differently, and far less than this. */
const CLOSE = 1e-3;

/** Refuses, as `circuit-scores`, a circuit that does not score as its file says. */
export function checkLosses(stored: Circuit["taskLoss"], found: Partial<Circuit["taskLoss"]>): void {
  for (const split of ["train", "val", "test"] as const) {
    const [expected, actual] = [stored[split], found[split] ?? null];
    if (expected === null || actual === null || Math.abs(expected - actual) <= CLOSE) continue;
    throw inputError(
      "circuit-scores",
      `the circuit's task loss on ${split} pairs is ${nats(actual)}, but its file says ${nats(expected)}`,
      "It was extracted with other pairs or text, or by another version: extract it again.",
    );
  }
}

/** Tokens in which the two prompts of pairs differ. */
function contrastTokens({ test }: Pairs): Set<number> {
  const tokens = new Set<number>();
  for (let row = 0; row + 1 < test.rows; row += 2) {
    for (let t = 0; t < test.length; t++) {
      const a = test.tokens[row * test.length + t]!;
      const b = test.tokens[(row + 1) * test.length + t]!;
      if (a !== b) tokens.add(a).add(b);
    }
  }
  return tokens;
}
