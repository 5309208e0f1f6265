/** Reports to show: made-up values, every kind of verdict, plots and tables. */
import {
  CHECKS,
  type CheckName,
  REPORT_FORMAT,
  REPORT_VERSION,
  type Report,
  type ReportCheck,
  VERDICTS,
} from "../../src/circuits/verification.ts";

/** `text` stands wherever a report holds text. */
export function sampleCheck(name: CheckName, over: Partial<ReportCheck> = {}, text = "plain text"): ReportCheck {
  return {
    name,
    verdict: VERDICTS[CHECKS.indexOf(name) % VERDICTS.length]!,
    brief: text,
    reason: `${text} decided ${name}`,
    question: `${text}?`,
    definition: text,
    threshold: text,
    source: text,
    figures: [
      { name: text, value: 0.128, low: 0.0951, high: 0.1632, unit: "nats" },
      { name: "size", value: null, unit: "nodes" },
    ],
    plots: [],
    tables: [],
    ...over,
  };
}

export function samplePlot(text = "plain text"): ReportCheck["plots"][number] {
  const points = [0, 1, 2].map((x) => ({ x, y: x / 4, low: x / 5, high: x / 3 }));
  return { title: text, x: { label: text }, y: { label: text }, level: 0.4, series: [{ name: text, points }] };
}

export function sampleReport(checks: readonly ReportCheck[], text = "plain text"): Report {
  return {
    format: REPORT_FORMAT,
    version: REPORT_VERSION,
    form: "short",
    seed: 0,
    pairs: 1200,
    summary: `summary: ${text}`,
    circuit: {
      ...{ run: text, weightsHash: text, task: text, variant: text, ablation: text },
      ...{ nodes: 13, edges: 1400, target: 0.15 },
    },
    checks: [...checks],
  };
}
