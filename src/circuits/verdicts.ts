/** Verdicts of a report as words and signs, the same on the terminal and on the page. */
import { CHECKS, type CheckName, type CheckResult, type Verdict } from "./verification.ts";

/** A check that the report lacks is "not run": nobody shall take it for passed. */
export type Outcome = Verdict | "not run";

/** Told apart without colours. */
export const SIGNS: Record<Outcome, string> = {
  pass: "✓",
  weak: "≈",
  fail: "✗",
  "not applicable": "–",
  "not run": "·",
};

/** Every check that there is, in the order of the report, with its result if it was run. */
export function allChecks<Check extends CheckResult>(
  checks: readonly Check[],
): { readonly name: CheckName; readonly check: Check | undefined; readonly outcome: Outcome }[] {
  return CHECKS.map((name) => {
    const check = checks.find((c) => c.name === name);
    return { name, check, outcome: check?.verdict ?? "not run" };
  });
}
