/** What checks are run on, from a stored model, kept nodes and pairs. */
import type { Report } from "../../src/circuits/verification.ts";
import { Wiring } from "../../src/circuits/wiring.ts";
import type { PairBatch } from "../../src/data/pairs.ts";
import { ReferenceEngine } from "../../src/engine/reference.ts";
import { Model } from "../../src/model/model.ts";
import type { StoredModel } from "../../src/model/params.ts";
import { SITES } from "../../src/model/sites.ts";
import type { Ablation } from "../../src/prune/ablation.ts";
import type { Pairs } from "../../src/prune/extract.ts";
import { measureAblation, type TokenBatch } from "../../src/prune/means.ts";
import { Lab, type LabOptions } from "../../src/verify/lab.ts";
import type { Subject } from "../../src/verify/subject.ts";

export interface Made extends Partial<Omit<Subject, "stored" | "ablation" | "pairs" | "circuit">> {
  readonly stored: StoredModel;
  readonly kept: Uint8Array;
  readonly removed?: ReadonlySet<number>;
  readonly scales?: ReadonlyMap<number, number>;
  readonly pairs: (seed: number) => Pairs;
  /** Text that ablation values are over, and on which nodes are looked at. */
  readonly text: readonly TokenBatch[];
  /** Given, or of this kind over the text; by default the mean. */
  readonly ablation?: Ablation | Pick<Ablation, "kind" | "frozenNorm">;
}

export function subjectOf({ stored, kept, removed, scales, pairs, text, ablation, ...rest }: Made): Subject {
  const model = rest.model ?? new Model(new ReferenceEngine(), stored);
  const ablate: Subject["ablate"] = (kind, frozenNorm, of = model) =>
    measureAblation(of, text, { kind, frozenNorm, seed: 0 });
  const own = ablation ?? { kind: "mean", frozenNorm: false };
  return {
    model,
    stored,
    wiring: new Wiring(stored.config, stored.params),
    circuit: { kept, removed: removed ?? new Set(), scales: scales ?? new Map() },
    target: 0.15,
    seed: 0,
    tiedQk: false,
    sites: SITES,
    faithful: false,
    ablation: "draws" in own ? (own as Ablation) : ablate(own.kind, own.frozenNorm),
    ablate,
    pairs,
    places: [],
    heldOut: () => text[0]!,
    tokenText: (token) => `t${token}`,
    modelOf: (other) => new Model(model.engine, other),
    peers: [],
    ...rest,
  };
}

export function labOf(subject: Subject, options: Partial<LabOptions> = {}): Lab {
  return new Lab(subject, { form: "short", seed: 0, ...options });
}

/** The same pairs for all splits and seeds. */
export function always(batch: PairBatch): (seed: number) => Pairs {
  return () => ({ train: batch, val: batch, test: batch });
}

/** Of reports on made-up circuits. */
export const IDENTITY: Report["circuit"] = {
  run: "made up",
  weightsHash: "",
  task: "made up",
  variant: "base",
  nodes: 0,
  edges: 0,
  target: 0.15,
  ablation: "mean",
};
