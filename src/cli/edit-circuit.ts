/** An edited circuit, measured as `circuit extract` measured the one before: same pairs, ablation and text. */
import type { EditStep } from "../circuits/edit.ts";
import { labelled, labelsOf } from "../circuits/labels.ts";
import type { RestoredCircuit } from "../circuits/restore.ts";
import type { Circuit, CircuitEdit } from "../circuits/schema.ts";
import type { Wiring } from "../circuits/wiring.ts";
import type { Model } from "../model/model.ts";
import { countKept } from "../prune/kept.ts";
import { measureAblation } from "../prune/means.ts";
import { packageVersion } from "../runs/env.ts";
import { extractorOf } from "../verify/extractor.ts";
import type { TaskCircuit } from "./circuit-source.ts";
import type { ExtractSource } from "./extract-source.ts";
import { bySplit, checkLosses, measureCircuit, measuredFields, scoresOf } from "./measure-circuit.ts";

export interface EditJob extends Omit<TaskCircuit, "folder"> {
  readonly source: ExtractSource;
  readonly wiring: Wiring;
  /** The circuit as it is. */
  readonly start: RestoredCircuit;
  /** At least one. */
  readonly steps: readonly EditStep[];
  readonly model: Model;
}

/** @throws input error `circuit-scores` when the circuit does not score as its file says */
export function editCircuit({ circuit, source, task, wiring, start, steps, model }: EditJob): Circuit {
  const text = source.text();
  const { kind, frozenNorm } = circuit.ablation;
  const { provenance, search } = circuit;
  const ablation = measureAblation(model, text, { kind, frozenNorm, seed: search.seeds[0] ?? provenance.seed });
  const pairs = task.pairs(provenance.seed);
  const extractor = extractorOf(model, ablation, pairs, wiring, { sites: search.sites });
  const lossesOf = (of: RestoredCircuit) => bySplit(scoresOf(extractor, of), (s) => s.taskLoss);
  checkLosses(circuit.taskLoss, lossesOf(start));

  const last = steps[steps.length - 1]!.circuit;
  const measured = measureCircuit(extractor, last, model, text);
  const fields = measuredFields(source, pairs, ablation, measured);
  const history = steps.map(({ edit, circuit: { kept, removed, ...rest } }): CircuitEdit => {
    const taskLoss = kept === last.kept ? fields.taskLoss : lossesOf({ kept, removed, ...rest });
    return { ...edit, nodes: countKept(kept), edges: wiring.countEdges(kept, removed), taskLoss };
  });
  const { info } = model.engine;
  return {
    ...circuit,
    ...fields,
    nodes: labelled(fields.nodes, labelsOf(circuit)),
    calibrated: null,
    search: { ...search, oneMinimal: false },
    edits: [...circuit.edits, ...history],
    verification: null,
    provenance: { ...provenance, toolVersion: packageVersion(), engine: `${info.name} ${info.isa}` },
  };
}
