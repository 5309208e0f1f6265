/** What a check is: a question about a circuit, how it is answered, and what the answer is. */
import type { CheckName, Figure, Plot, Table, Verdict } from "../circuits/verification.ts";
import type { Lab } from "./lab.ts";

export type { Verdict };

export interface Finding {
  readonly verdict: Verdict;
  /** A few words for the summary, where it did not pass. */
  readonly brief: string;
  /** One line with the numbers that decided. */
  readonly reason: string;
  readonly figures: readonly Figure[];
  readonly plots?: readonly Plot[];
  readonly tables?: readonly Table[];
}

export interface Check {
  readonly name: CheckName;
  readonly question: string;
  readonly definition: string;
  readonly threshold: string;
  readonly source: string;
  /** In the summary, when it passed. */
  readonly praise: string;
  /** Whether it searches for circuits, which takes as long as an extraction: left to the thorough form. */
  readonly searches: boolean;
  run(lab: Lab): Promise<Finding>;
}

/** A finding where there is nothing to judge. */
export function notApplicable(reason: string, tables: readonly Table[] = []): Finding {
  return { verdict: "not applicable", brief: reason, reason, figures: [], tables };
}

/** A verdict by how a number compares with two limits, smaller being better. */
export function below(value: number, pass: number, weak: number): Verdict {
  return value <= pass ? "pass" : value <= weak ? "weak" : "fail";
}

/** The same, larger being better. */
export function above(value: number, pass: number, weak: number): Verdict {
  return below(-value, -pass, -weak);
}

/** The worst of several verdicts; "not applicable" counts only where there is nothing else. */
export function worst(...verdicts: readonly Verdict[]): Verdict {
  const order: readonly Verdict[] = ["not applicable", "pass", "weak", "fail"];
  return verdicts.reduce((a, b) => (order.indexOf(b) > order.indexOf(a) ? b : a), "not applicable");
}

/** How far `at` is on the way from `empty` to `full`, larger being better; null where `full` is no better than `empty`. */
export function faithfulness(at: number, empty: number, full: number): number | null {
  return full - empty > LEAST_WAY ? (at - empty) / (full - empty) : null;
}

/** Less than this is rounding. */
const LEAST_WAY = 1e-6;

export function nats(x: number): string {
  return x.toFixed(x !== 0 && Math.abs(x) < 0.01 ? 4 : 3);
}

export function share(x: number): string {
  return `${(100 * x).toFixed(x === 0 || x === 1 || Math.abs(x) >= 0.1 ? 0 : 1)}%`;
}
