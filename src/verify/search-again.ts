/** Another search for a circuit, as the one that found the circuit: for controls and for stability. */
import { Wiring } from "../circuits/wiring.ts";
import type { Model } from "../model/model.ts";
import type { StoredModel } from "../model/params.ts";
import type { Ablation } from "../prune/ablation.ts";
import type { Candidate } from "../prune/candidate.ts";
import type { Pairs } from "../prune/extract.ts";
import { extractorOf } from "./extractor.ts";
import type { Lab } from "./lab.ts";

export interface SearchAgain {
  readonly model: Model;
  readonly stored: StoredModel;
  readonly ablation: Ablation;
  readonly pairs: Pairs;
  readonly seed: number;
}

/** As `circuit extract` searches by default. */
const KICKS = 120;

/** The smallest circuit that reaches the target on training pairs and holds on others; undefined when there is none. */
export async function searchAgain(
  lab: Lab,
  { model, stored, ablation, pairs, seed }: SearchAgain,
): Promise<Candidate | undefined> {
  const wiring = new Wiring(stored.config, stored.params);
  const { target, tiedQk, sites } = lab.subject;
  const faithful = lab.faithful({ model, ablation, seed });
  const extractor = extractorOf(model, ablation, pairs, wiring, { sites, faithful });
  const { signal } = lab.options;
  const { search } = await extractor.run({
    target,
    seed,
    tiedQk,
    gateRuns: 1,
    kicks: KICKS,
    pruneEdges: false,
    calibrated: false,
    curve: false,
    signal,
  });
  await lab.breathe();
  return search.best;
}
