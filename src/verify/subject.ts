/** What is verified: a circuit, the model that it is of, and the prompts and texts to try them on. */
import type { RestoredCircuit } from "../circuits/restore.ts";
import type { Wiring } from "../circuits/wiring.ts";
import type { PairBatch } from "../data/pairs.ts";
import type { Model } from "../model/model.ts";
import type { StoredModel } from "../model/params.ts";
import type { Site } from "../model/sites.ts";
import type { Ablation, AblationKind } from "../prune/ablation.ts";
import type { Pairs } from "../prune/extract.ts";
import type { TokenBatch } from "../prune/means.ts";

/** Other prompts of the task: harder ones, longer ones, or those of a probe at one of its values. */
export interface Place {
  readonly name: string;
  /** Held-out pairs; undefined where they do not fit the model's context or tokenizer. */
  readonly pairs: (count: number) => PairBatch | undefined;
  /** Pairs to search on; the task's variants only, since a probe's values are too narrow. */
  readonly searchable?: ((seed: number) => Pairs | undefined) | undefined;
}

export interface Subject {
  readonly model: Model;
  readonly stored: StoredModel;
  readonly wiring: Wiring;
  readonly circuit: RestoredCircuit;
  /** Task loss that the circuit was to reach, nats. */
  readonly target: number;
  /** Seed of its search. */
  readonly seed: number;
  readonly tiedQk: boolean;
  /** Sites whose nodes were pruned. */
  readonly sites: readonly Site[];
  /** Whether it was searched for as a faithful one. */
  readonly faithful: boolean;
  /** The ablation that it was found under. */
  readonly ablation: Ablation;
  /** The values of another ablation, from the same text. */
  readonly ablate: (kind: AblationKind, frozenNorm: boolean, model?: Model) => Ablation;
  /** Pairs as a search with a seed gets them. */
  readonly pairs: (seed: number) => Pairs;
  readonly places: readonly Place[];
  /** Text of the corpus that the model was not trained on, at most so many tokens; undefined where there is none. */
  readonly heldOut: ((tokens: number) => TokenBatch) | undefined;
  readonly tokenText: (token: number) => string;
  /** A model of the same shape with other weights, on the same engine. */
  readonly modelOf: (stored: StoredModel) => Model;
  /** Nodes and edges of other runs' circuits for the task, by run: other training seeds. */
  readonly peers: readonly { readonly run: string; readonly nodes: number; readonly edges: number }[];
}
