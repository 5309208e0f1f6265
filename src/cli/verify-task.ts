/** Verification of one circuit: gathers what checks need, runs them, and writes what they found beside the circuit. */
import * as path from "node:path";
import { isDeepStrictEqual } from "node:util";
import { serializeCircuit } from "../circuits/file.ts";
import { labelsOf } from "../circuits/labels.ts";
import { reportPage } from "../circuits/report-page.ts";
import { restoreCircuit } from "../circuits/restore.ts";
import type { Circuit } from "../circuits/schema.ts";
import {
  type CheckName,
  type Report,
  type ReportCheck,
  reportSchema,
  type Verification,
} from "../circuits/verification.ts";
import { Wiring } from "../circuits/wiring.ts";
import type { ModelConfig } from "../model/config.ts";
import { Model } from "../model/model.ts";
import type { Ablation } from "../prune/ablation.ts";
import { supports } from "../prune/evaluator.ts";
import type { Pairs } from "../prune/extract.ts";
import { measureAblation, type TokenBatch } from "../prune/means.ts";
import { Pruned } from "../prune/pruned.ts";
import { inputError } from "../util/errors.ts";
import { ensureWritableDir, pathExists, readText, writeFileAtomic } from "../util/files.ts";
import { formatJson } from "../util/json.ts";
import type { Subject } from "../verify/subject.ts";
import { inShort, verify } from "../verify/verify.ts";
import type { ExtractableTask, ExtractSource } from "./extract-source.ts";
import { checkLosses } from "./measure-circuit.ts";
import type { Output } from "./output.ts";

export interface VerifyJob {
  readonly source: ExtractSource;
  readonly task: ExtractableTask;
  readonly circuit: Circuit;
  /** Folder of circuit.json. */
  readonly folder: string;
  readonly model: Model;
  /** Text that ablation values are over. */
  readonly text: readonly TokenBatch[];
  readonly form: "short" | "thorough";
  readonly seed: number;
  readonly only?: readonly CheckName[] | undefined;
  readonly peers: Subject["peers"];
  readonly out: Output;
  readonly signal: AbortSignal;
}

export interface Verified {
  readonly report: Report;
  readonly circuit: Circuit;
  readonly files: { readonly circuit: string; readonly report: string; readonly page: string };
}

/**
 * Writes report.json and report.html, and circuit.json with the short of it; of what the signal has ended, the checks that
 * were finished. Throws the signal's reason where there are none, or where what is stored of another form or seed has more.
 */
export async function verifyTask(job: VerifyJob): Promise<Verified> {
  const { circuit, folder, form, seed, only, signal, out } = job;
  const why = unverifiable(job.source.stored.config);
  if (why !== undefined) throw inputError("verify-unsupported", why, "Extract without checks: --no-verify.");
  ensureWritableDir(folder);
  const subject = subjectOf(job);
  const { test } = subject.pairs(subject.seed);
  const scored = new Pruned(subject.stored, subject.circuit, subject.ablation, test).score();
  checkLosses(circuit.taskLoss, { test: scored.loss });
  const started = performance.now();
  const files = {
    circuit: path.join(folder, "circuit.json"),
    report: path.join(folder, "report.json"),
    page: path.join(folder, "report.html"),
  };
  const identity = identityOf(circuit);
  const stored = circuit.verification;
  const earlier = only && stored ? earlierChecks(job, files.report, identity) : undefined;
  const report = await verify(subject, identity, {
    form,
    seed,
    only,
    earlier,
    signal,
    progress: (check, done, of) => {
      const left =
        done > 0.5 ? `, about ${Math.ceil(((performance.now() - started) / 1000 / done) * (of - done))} s left` : "";
      out.live(`verifying ${circuit.task.name}: ${check}, ${Math.floor(done)} of ${of} checks done${left}`);
    },
  });
  const lacks = (name: CheckName): boolean => !report.checks.some((check) => check.name === name);
  if (signal.aborted && stored?.checks.some(({ name }) => lacks(name))) throw signal.reason;
  const verified: Circuit = { ...circuit, verification: inShort(report) };
  writeFileAtomic(files.page, await reportPage(report, labelsOf(circuit)));
  writeFileAtomic(files.report, formatJson(report));
  writeFileAtomic(files.circuit, serializeCircuit(verified));
  return { report, circuit: verified, files };
}

/** Writes the page again with the circuit's labels; returns its path, or undefined where the report is of another circuit. */
export async function rewritePage(folder: string, circuit: Circuit): Promise<string | undefined> {
  const report = storedReport(path.join(folder, "report.json"));
  if (!report || !isDeepStrictEqual(report.circuit, identityOf(circuit))) return undefined;
  const page = path.join(folder, "report.html");
  writeFileAtomic(page, await reportPage(report, labelsOf(circuit)));
  return page;
}

/** Why the circuits of a model cannot be verified, if they cannot. */
export function unverifiable(config: ModelConfig): string | undefined {
  if (supports(config)) return undefined;
  return "the checks do not compute models with AbsTopK or ReLU on the residual stream";
}

/**
 * What was found before, for the checks that are not run again. Refused where some of it would be lost: what is stored is of another
 * form or seed, or report.json does not say what circuit.json says.
 */
function earlierChecks(
  { circuit, form, seed, only }: VerifyJob,
  file: string,
  identity: Report["circuit"],
): ReportCheck[] {
  const stored = circuit.verification!;
  const others = stored.checks.filter(({ name }) => !only!.includes(name));
  if (others.length === 0) return [];
  if (stored.form !== form || stored.seed !== seed) {
    const flags = `${stored.form === "thorough" ? " --thorough" : ""}${stored.seed === 0 ? "" : ` --seed ${stored.seed}`}`;
    throw inputError(
      "verify-mixed",
      `${circuit.task.name}: the other checks are of the ${stored.form} form with seed ${stored.seed}, and would be lost`,
      flags === "" ? "Leave out --thorough and --seed, or run all checks." : `Add${flags}, or run all checks.`,
    );
  }
  const report = storedReport(file);
  // circuit.json rounds its numbers.
  const said = ({ checks }: Pick<Report, "checks"> | Verification): string[] =>
    checks.map(({ name, verdict, reason }) => `${name}: ${verdict}, ${reason}`);
  const same = report && isDeepStrictEqual([report.circuit, said(report)], [identity, said(stored)]);
  if (same) return report.checks;
  throw inputError(
    "report-damaged",
    `${file} is missing, damaged or of another circuit: what the other checks found would be lost`,
    "Run all checks: leave out --checks.",
  );
}

/** Undefined where it cannot be read any more. */
function storedReport(file: string): Report | undefined {
  if (!pathExists(file)) return undefined;
  try {
    return reportSchema.parse(JSON.parse(readText(file)));
  } catch {
    return undefined;
  }
}

function identityOf({ model, task, counts, target, ablation }: Circuit): Report["circuit"] {
  const norms = ablation.frozenNorm ? ", frozen norms" : "";
  return {
    run: model.run,
    weightsHash: model.weightsHash,
    task: task.name,
    variant: task.variant,
    nodes: counts.nodes,
    edges: counts.edges,
    target,
    ablation: `${ablation.kind}${norms}`,
  };
}

function subjectOf({ source, task, circuit, model, text, peers }: VerifyJob): Subject {
  const { stored } = source;
  const wiring = new Wiring(stored.config, stored.params);
  const [searchSeed = circuit.provenance.seed] = circuit.search.seeds;
  const ablations = new Map<Model, Map<string, Ablation>>();
  const ablate: Subject["ablate"] = (kind, frozenNorm, of = model) => {
    const known = ablations.get(of) ?? new Map<string, Ablation>();
    ablations.set(of, known);
    const measured = known.get(kind) ?? measureAblation(of, text, { kind, frozenNorm, seed: searchSeed });
    known.set(kind, measured);
    return measured.frozenNorm === frozenNorm ? measured : { ...measured, frozenNorm };
  };
  const { kind, frozenNorm } = circuit.ablation;
  const pairs = new Map<number, Pairs>();
  return {
    model,
    stored,
    wiring,
    circuit: restoreCircuit(circuit, wiring),
    target: circuit.target,
    seed: circuit.provenance.seed,
    tiedQk: circuit.search.tiedQk,
    sites: circuit.search.sites,
    faithful: circuit.search.faithful,
    ablation: ablate(kind, frozenNorm),
    ablate,
    pairs: (seed) => {
      const known = pairs.get(seed) ?? task.pairs(seed);
      pairs.set(seed, known);
      return known;
    },
    places: task.places,
    heldOut: source.heldOut,
    tokenText: source.tokenText,
    modelOf: (other) => new Model(model.engine, other),
    peers,
  };
}
