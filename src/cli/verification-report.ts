/** What verification found, on the terminal: a row for each check, and the summary. The figures are in the report's files. */
import { oneLine } from "../circuits/layout/text.ts";
import { allChecks, type Outcome, SIGNS } from "../circuits/verdicts.ts";
import type { Report } from "../circuits/verification.ts";
import { wrapWords } from "../util/text.ts";
import type { Output } from "./output.ts";
import { plural, type Style, table, textWidth } from "./render.ts";

const COLORS: Record<Outcome, Exclude<keyof Style, "bold">> = {
  pass: "green",
  weak: "yellow",
  fail: "red",
  "not applicable": "dim",
  "not run": "dim",
};

const verdictText = (outcome: Outcome): string => `${SIGNS[outcome]} ${outcome}`;
const widest = (texts: readonly string[]): number => Math.max(...texts.map(textWidth));
/** Columns that a reason has on the narrowest terminal. */
const LEAST_REASON = 24;

/** Header, checks that were run, those that were not, summary. */
export function printVerification({ circuit, form, pairs, checks, summary }: Report, out: Output): void {
  const { style, width } = out;
  const { task, run, nodes, edges, target, ablation } = circuit;
  const size = `${plural(nodes, "node")}, ${plural(edges, "edge")}`;
  const facts = `${size}; target ${target}, ${ablation} ablation; ${form} form, ${plural(pairs, "held-out pair")}`;
  out.line(`\n${style.bold(oneLine(`${task} of ${run}`))}  ${oneLine(facts)}`);
  const all = allChecks(checks);
  const done = all.filter(({ check }) => check !== undefined);
  const verdicts = widest(["verdict", ...done.map((c) => verdictText(c.outcome))]);
  const beside = 2 + verdicts + 2 + widest(["check", ...done.map((c) => c.name)]) + 2;
  const rows = done.flatMap(({ name, check, outcome }) =>
    wrapWords(oneLine(check!.reason), Math.max(LEAST_REASON, width - beside)).map((line, i) =>
      i === 0 ? [style[COLORS[outcome]](verdictText(outcome)), name, line] : ["", "", line],
    ),
  );
  const columns = ["verdict", "check", "reason"].map((title) => ({ title }));
  out.line(table(columns, rows, { style }));
  const notRun = all.filter(({ check }) => check === undefined).map(({ name }) => name);
  if (notRun.length > 0) out.line(indented(`${SIGNS["not run"]} not run: ${notRun.join(", ")}`, width));
  out.line(wrapWords(oneLine(summary), width).join("\n"));
}

/** Wrapped to a width, with two spaces before each line. */
export function indented(text: string, width: number): string {
  return wrapWords(text, width - 2)
    .map((line) => `  ${line}`)
    .join("\n");
}
