/** Joins what the search found with the structure of the circuit: the content of circuit.json. */
import { createHash } from "node:crypto";
import { CIRCUIT_FORMAT, CIRCUIT_VERSION, type Circuit, type CircuitNode } from "../circuits/schema.ts";
import { circuitStructure } from "../circuits/structure.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import type { EngineInfo } from "../engine/engine.ts";
import type { Params, StoredModel } from "../model/params.ts";
import { siteSpecs } from "../model/sites.ts";
import type { Candidate } from "../prune/candidate.ts";
import type { DrivingToken } from "../prune/drivers.ts";
import type { Extraction, PairSplit, Pairs, SplitScore } from "../prune/extract.ts";
import { maskOf } from "../prune/kept.ts";
import { packageVersion } from "../runs/env.ts";

/** Name of the last stage of a search that was interrupted. */
export const STOPPED = "stopped";

export interface CircuitParts {
  readonly runName: string;
  readonly model: StoredModel;
  readonly tokenizer: Tokenizer;
  readonly task: string;
  readonly pairs: Pairs;
  readonly target: number;
  readonly ablation: "mean" | "zero";
  readonly ablationTokens: number;
  /** Ablation values, flat site order. */
  readonly fill: Float32Array;
  readonly chosen: Candidate;
  readonly extraction: Extraction;
  readonly scores: Readonly<Record<PairSplit, SplitScore>>;
  /** Of the unpruned model. */
  readonly full: Readonly<Record<PairSplit, SplitScore>>;
  /** Rise of the training loss without a kept node, by flat index. */
  readonly importance: ReadonlyMap<number, number>;
  readonly drivers: ReadonlyMap<number, readonly DrivingToken[]>;
  readonly method: string;
  /** The seed that found it, and all that were tried. */
  readonly seed: number;
  readonly seeds: readonly number[];
  readonly evaluations: number;
  readonly engine: EngineInfo;
}

const bySplit = <T>(scores: Readonly<Record<PairSplit, SplitScore>>, pick: (s: SplitScore) => T) => ({
  train: pick(scores.train),
  val: pick(scores.val),
  test: pick(scores.test),
});

export function buildCircuit(parts: CircuitParts): Circuit {
  const { model, tokenizer, pairs, extraction, chosen } = parts;
  const { config, params } = model;
  const structure = circuitStructure(config, params, maskOf(chosen.kept, parts.fill.length), {
    tokenText: (token) => tokenizer.decode([token]),
    answerTokens: new Set([...pairs.test.right, ...pairs.test.wrong]),
    promptTokens: contrastTokens(pairs),
  });
  const flat = siteSpecs(config);
  const indexOf = (node: { layer: number; site: string; channel: number }): number =>
    flat.find((s) => s.layer === node.layer && s.site === node.site)!.offset + node.channel;
  const nodes: CircuitNode[] = structure.nodes.map((node) => {
    const index = indexOf(node);
    const reads = parts.drivers.get(index)?.map((d) => ({ ...d, tokenText: tokenizer.decode([d.token]) }));
    return {
      ...node,
      meanActivation: parts.fill[index]!,
      importance: parts.importance.get(index) ?? null,
      ...(reads === undefined ? {} : { reads }),
    };
  });
  const { search } = extraction;
  return {
    format: CIRCUIT_FORMAT,
    version: CIRCUIT_VERSION,
    model: {
      run: parts.runName,
      layers: config.layers,
      heads: config.heads,
      headWidth: config.headWidth,
      width: config.width,
      neurons: config.neurons,
      vocabSize: config.vocabSize,
      positionChannels: config.positionChannels,
      weightsHash: weightsHash(params),
    },
    task: {
      name: parts.task,
      variant: "base",
      pairs: { train: pairs.train.rows / 2, val: pairs.val.rows / 2, test: pairs.test.rows / 2 },
    },
    ablation: { kind: parts.ablation, split: "calib", tokens: parts.ablationTokens },
    target: parts.target,
    taskLoss: bySplit(parts.scores, (s) => s.taskLoss),
    pairAccuracy: bySplit(parts.scores, (s) => s.pairAccuracy),
    fullTaskLoss: bySplit(parts.full, (s) => s.taskLoss),
    nodes,
    edges: structure.edges,
    links: structure.links,
    embedding: structure.embedding,
    unembedding: structure.unembedding,
    counts: structure.counts,
    calibrated: extraction.calibrated
      ? {
          nodes: extraction.calibrated.nodes,
          edges: extraction.calibrated.edges,
          taskLoss: extraction.calibrated.taskLoss.test,
          taskLosses: extraction.calibrated.taskLoss,
          scale: extraction.calibrated.scale,
          shift: [...extraction.calibrated.shift.values()],
          shiftTokens: [...extraction.calibrated.shift.keys()],
          kept: extraction.calibrated.kept,
        }
      : null,
    curve: [],
    search: {
      method: parts.method,
      seeds: [...parts.seeds],
      candidates: parts.evaluations,
      stages: stageRecords(parts),
      oneMinimal: chosen.minimal && !search.stopped,
    },
    faithfulness: {},
    provenance: {
      seed: parts.seed,
      toolVersion: packageVersion(),
      engine: `${parts.engine.name} ${parts.engine.isa}`,
    },
  };
}

/** Size after each stage; STOPPED at the end marks a search that was not finished. */
function stageRecords({ extraction: { search }, chosen, fill }: CircuitParts): Circuit["search"]["stages"] {
  const { nodes, edges, loss } = chosen;
  const all = search.stopped ? [...search.stages, { stage: STOPPED, nodes, edges, loss }] : search.stages;
  return all.map(({ stage, ...after }, i) => ({
    name: stage,
    nodesBefore: all[i - 1]?.nodes ?? fill.length,
    nodesAfter: after.nodes,
    ...(i > 0 ? { edgesBefore: all[i - 1]!.edges } : {}),
    edgesAfter: after.edges,
    taskLoss: after.loss,
  }));
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

/** SHA-256 over all parameters in order. */
function weightsHash(params: Params): string {
  const hash = createHash("sha256");
  for (const [name, values] of params) {
    hash.update(name);
    hash.update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  }
  return hash.digest("hex");
}
