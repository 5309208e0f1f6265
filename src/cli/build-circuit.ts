/** Joins what the search found with the structure of the circuit: the content of circuit.json. */
import { CIRCUIT_FORMAT, CIRCUIT_VERSION, type Circuit } from "../circuits/schema.ts";
import type { EngineInfo } from "../engine/engine.ts";
import { weightsHash } from "../model/params.ts";
import type { Site } from "../model/sites.ts";
import type { Ablation } from "../prune/ablation.ts";
import type { Candidate, Size } from "../prune/candidate.ts";
import type { Extraction, PairSplit, Pairs, SplitScore } from "../prune/extract.ts";
import { packageVersion } from "../runs/env.ts";
import type { ExtractSource } from "./extract-source.ts";
import { bySplit, type MeasuredCircuit, measuredFields } from "./measure-circuit.ts";

/** Name of the last stage of a search that was interrupted. */
const STOPPED = "stopped";

/** Whether a circuit's search was not interrupted. */
export function isFinished({ search }: Circuit): boolean {
  return search.stages.every((stage) => stage.name !== STOPPED);
}

export interface CircuitParts {
  readonly source: Pick<ExtractSource, "name" | "stored" | "tokenText">;
  readonly task: string;
  readonly variant: string;
  readonly pairs: Pairs;
  readonly target: number;
  readonly ablation: Ablation;
  readonly ablationTokens: number;
  readonly chosen: Candidate;
  readonly extraction: Extraction;
  readonly measured: MeasuredCircuit;
  readonly curve: readonly (Size & { target: number; scores: Readonly<Record<PairSplit, SplitScore>> })[];
  /** Of the unpruned model. */
  readonly full: Readonly<Record<PairSplit, SplitScore>>;
  /** The seed that found it, and all that were tried. */
  readonly seed: number;
  readonly seeds: readonly number[];
  readonly evaluations: number;
  readonly tiedQk: boolean;
  readonly sites: readonly Site[];
  readonly faithful: boolean;
  readonly engine: EngineInfo;
}

export function buildCircuit(parts: CircuitParts): Circuit {
  const { source, pairs, extraction, chosen, ablation } = parts;
  const { config, params } = source.stored;
  const { search } = extraction;
  return {
    format: CIRCUIT_FORMAT,
    version: CIRCUIT_VERSION,
    model: {
      run: source.name,
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
      variant: parts.variant,
      pairs: { train: pairs.train.rows / 2, val: pairs.val.rows / 2, test: pairs.test.rows / 2 },
    },
    ablation: {
      kind: ablation.kind,
      split: "calib",
      tokens: parts.ablationTokens,
      draws: ablation.draws.length,
      frozenNorm: ablation.frozenNorm,
    },
    target: parts.target,
    ...measuredFields(source, pairs, ablation, parts.measured),
    fullTaskLoss: bySplit(parts.full, (s) => s.taskLoss),
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
    curve: parts.curve.map(({ scores, ...point }) => ({ ...point, taskLoss: bySplit(scores, (s) => s.taskLoss) })),
    search: {
      method: "gates, attribution, elimination, local search",
      seeds: [...parts.seeds],
      tiedQk: parts.tiedQk,
      sites: [...parts.sites],
      faithful: parts.faithful,
      candidates: parts.evaluations,
      stages: stageRecords(parts),
      oneMinimal: chosen.minimal && !search.stopped && extraction.fewer === undefined,
    },
    edits: [],
    verification: null,
    provenance: {
      seed: parts.seed,
      toolVersion: packageVersion(),
      engine: `${parts.engine.name} ${parts.engine.isa}`,
    },
  };
}

/** Size after each stage; STOPPED at the end marks a search that was not finished. */
function stageRecords({ extraction, chosen, measured }: CircuitParts): Circuit["search"]["stages"] {
  const { search, fewer } = extraction;
  const { nodes, edges, loss } = chosen;
  const all: { stage: string; nodes: number; edges: number; loss: number }[] = [...search.stages];
  if (search.stopped) all.push({ stage: STOPPED, nodes, edges, loss });
  if (fewer) all.push({ stage: "edges", nodes: fewer.nodes, edges: fewer.edges, loss: measured.scores.train.taskLoss });
  return all.map(({ stage, ...after }, i) => ({
    name: stage,
    nodesBefore: all[i - 1]?.nodes ?? measured.kept.length,
    nodesAfter: after.nodes,
    ...(i > 0 ? { edgesBefore: all[i - 1]!.edges } : {}),
    edgesAfter: after.edges,
    taskLoss: after.loss,
  }));
}
