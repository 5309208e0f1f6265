/** Runs the checks of a circuit and says what they found together. */
import {
  CHECKS,
  type CheckName,
  type CheckResult,
  REPORT_FORMAT,
  REPORT_VERSION,
  type Report,
  type ReportCheck,
  type Verdict,
  type Verification,
} from "../circuits/verification.ts";
import type { Check } from "./check.ts";
import { agreement } from "./checks/agreement.ts";
import { binarisation } from "./checks/binarisation.ts";
import { completeness } from "./checks/completeness.ts";
import { curve } from "./checks/curve.ts";
import { generalisation } from "./checks/generalisation.ts";
import { interchange } from "./checks/interchange.ts";
import { minimality } from "./checks/minimality.ts";
import { monosemanticity } from "./checks/monosemanticity.ts";
import { necessity } from "./checks/necessity.ts";
import { nonsenseControl } from "./checks/nonsense-control.ts";
import { otherAblations } from "./checks/other-ablations.ts";
import { randomWeightsControl } from "./checks/random-weights-control.ts";
import { relaxation } from "./checks/relaxation.ts";
import { stability } from "./checks/stability.ts";
import { sufficiency } from "./checks/sufficiency.ts";
import { valueFidelity } from "./checks/value-fidelity.ts";
import { weightNecessity } from "./checks/weight-necessity.ts";
import { Lab } from "./lab.ts";
import { NEAR, withNearness } from "./near.ts";
import type { Subject } from "./subject.ts";

/** By name, in the order of `CHECKS`. */
export const ALL_CHECKS: Readonly<Record<CheckName, Check>> = {
  sufficiency,
  necessity,
  "weight necessity": weightNecessity,
  completeness,
  minimality,
  curve,
  agreement,
  generalisation,
  interchange,
  "value fidelity": valueFidelity,
  relaxation,
  "other ablations": otherAblations,
  "nonsense control": nonsenseControl,
  "random weights control": randomWeightsControl,
  stability,
  binarisation,
  monosemanticity,
};

export interface VerifyOptions {
  readonly form: "short" | "thorough";
  readonly seed: number;
  /** Checks to run; by default all of the thorough form, and those of the short form that search for nothing. */
  readonly only?: readonly CheckName[] | undefined;
  readonly signal?: AbortSignal | undefined;
  /** What checks that are not run again found before. */
  readonly earlier?: readonly ReportCheck[] | undefined;
  readonly progress?: ((check: CheckName, done: number, of: number) => void) | undefined;
}

/** Checks to run, in this order: those that search come last, so that an interrupted verification has all others. */
export function chosenChecks({ form, only }: Pick<VerifyOptions, "form" | "only">): CheckName[] {
  const wanted = CHECKS.filter((name) => only?.includes(name) ?? (form === "thorough" || !ALL_CHECKS[name].searches));
  const searches = (name: CheckName): boolean => ALL_CHECKS[name].searches;
  return [...wanted.filter((name) => !searches(name)), ...wanted.filter(searches)];
}

/**
 * What the checks find. Deterministic for a seed. A report that the signal ends has the checks that were finished, and its
 * summary names the others.
 * @throws the signal's reason when it ends the checks before any is finished.
 */
export async function verify(
  subject: Subject,
  identity: Report["circuit"],
  { form, seed, only, earlier = [], signal, progress }: VerifyOptions,
): Promise<Report> {
  const names = chosenChecks({ form, only });
  let at = 0;
  const lab = new Lab(subject, {
    form,
    seed,
    signal,
    progress: (share) => progress?.(names[at]!, at + share, names.length),
  });
  const checks: ReportCheck[] = [];
  try {
    for (at = 0; at < names.length; at++) checks.push(await result(names[at]!, lab));
  } catch (error) {
    if (!signal?.aborted || checks.length === 0) throw error;
  }
  const ended = names.slice(at);
  checks.push(...earlier.filter(({ name }) => !checks.some((check) => check.name === name)));
  checks.sort((a, b) => CHECKS.indexOf(a.name) - CHECKS.indexOf(b.name));
  return {
    form,
    seed,
    pairs: lab.pairs.rows / 2,
    summary: summaryOf(checks, ended),
    format: REPORT_FORMAT,
    version: REPORT_VERSION,
    circuit: identity,
    checks,
  };
}

async function result(of: CheckName, lab: Lab): Promise<ReportCheck> {
  await lab.breathe();
  const { name, question, definition, threshold, source, run } = ALL_CHECKS[of];
  const {
    brief,
    verdict,
    reason,
    figures,
    plots = [],
    tables = [],
  } = withNearness(of, await run(lab), lab.subject.target);
  return {
    ...{ name, verdict, brief, reason, figures: [...figures] },
    ...{ question, definition, threshold, source, plots: [...plots], tables: [...tables] },
  };
}

/**
 * One line in which every check that did not pass is named: "sufficient, stable; fails interchange (...); weak ...".
 * `ended`: what was to be run when it was interrupted.
 */
function summaryOf(checks: readonly CheckResult[], ended: readonly CheckName[]): string {
  const of = (verdict: Verdict): CheckResult[] => checks.filter((check) => check.verdict === verdict);
  const named = (list: readonly CheckResult[]): string =>
    list.map(({ name, brief }) => `${name} (${brief})`).join(", ");
  const passed = of("pass").map(({ name, brief }) =>
    brief.endsWith(NEAR) ? `${ALL_CHECKS[name].praise} (${NEAR})` : ALL_CHECKS[name].praise,
  );
  const [failed, weak] = [of("fail"), of("weak")];
  const missing = CHECKS.filter((name) => !checks.some((check) => check.name === name));
  const partial = missing.filter((name) => ended.includes(name));
  const notRun = missing.filter((name) => !ended.includes(name));
  return [
    passed.length > 0 ? passed.join(", ") : "passes nothing",
    ...(failed.length > 0 ? [`fails ${named(failed)}`] : []),
    ...(weak.length > 0 ? [`weak in ${named(weak)}`] : []),
    ...(partial.length > 0 ? [`interrupted before ${partial.join(", ")}`] : []),
    ...(notRun.length > 0 ? [`not run: ${notRun.join(", ")}`] : []),
  ].join("; ");
}

/** What circuit.json keeps of a report. */
export function inShort({ form, seed, pairs, summary, checks }: Report): Verification {
  return {
    form,
    seed,
    pairs,
    summary,
    checks: checks.map(({ name, verdict, brief, reason, figures }) => ({ name, verdict, brief, reason, figures })),
  };
}
