/** Results as text. */

import { round } from "./alternate.ts";
import type { Result } from "./compare.ts";
import type { TruthResult } from "./ground-truth/measure.ts";
import type { TruthSummary } from "./ground-truth/summary.ts";
import type { LimitsResult } from "./limits.ts";
import type { OpsResult } from "./ops.ts";
import type { PruningResult } from "./pruning.ts";
import type { ScalingPoint } from "./scaling.ts";
import type { SearchResult } from "./search.ts";
import type { VersionResult } from "./versions.ts";

/** The first column is text and stands left, numbers stand right. */
function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((_, i) => Math.max(...[header, ...rows].map((row) => row[i]!.length)));
  return [header, ...rows]
    .map((row) => row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join("  "))
    .join("\n");
}

/** 1/16 where it is one, else a decimal. */
export function densityText(density: number): string {
  const inverse = Math.round(1 / density);
  if (Math.abs(inverse * density - 1) > 1e-9) return String(round(density, 4));
  return inverse === 1 ? "1" : `1/${inverse}`;
}

const missing = "-";
const ms = (x: number | null): string => (x === null ? missing : x.toFixed(x < 10 ? 2 : 1));

export function compareTable(results: readonly Result[]): string {
  const header = [
    "case",
    "density",
    "mode",
    "ours ms",
    "PyTorch ms",
    "ratio",
    "of fastest",
    "of pairs",
    "of CPU time",
    "ours MB",
    "PyTorch MB",
  ];
  const rows = results.map((r) => [
    r.case,
    densityText(r.density),
    r.mode,
    ms(r.oursMs),
    ms(r.peerMs),
    r.ratio === null ? missing : `${r.ratio.toFixed(2)}x`,
    r.peerMinMs === null ? missing : `${(r.peerMinMs / r.oursMinMs).toFixed(2)}x`,
    r.ratioRange === null ? missing : `${r.ratioRange[0].toFixed(2)}..${r.ratioRange[1].toFixed(2)}`,
    r.peerCpuMs === null ? missing : `${(r.peerCpuMs / r.oursCpuMs).toFixed(2)}x`,
    r.oursRssMb.toFixed(0),
    r.peerRssMb === null ? missing : r.peerRssMb.toFixed(0),
  ]);
  return table(header, rows);
}

export function opsTable(r: OpsResult): string {
  const rows = r.ops.map((op) => [
    op.op,
    String(round(op.calls, 1)),
    op.ms.toFixed(3),
    percent(op.share),
    op.gflops === null ? "" : op.gflops.toFixed(1),
  ]);
  rows.push(["JavaScript", "", r.jsMs.toFixed(3), percent(r.jsShare), ""]);
  rows.push(["step", "", r.stepMs.toFixed(3), "", ""]);
  const title = `${r.case} at density ${densityText(r.density)}, ${r.mode}, ${r.isa}, ${r.threads} threads`;
  return `${title}\n${table(["kernel", "calls", "ms", "share", "GFLOP/s"], rows)}`;
}

const percent = (share: number): string => `${(100 * share).toFixed(1)}%`;
const times = (ratio: number): string => `${ratio.toFixed(2)}x`;

export function pruningTable(results: readonly PruningResult[]): string {
  const header = ["case", "density", "training ms", "pruning ms", "ratio", "of fastest", "of CPU time"];
  const rows = results.map((r) => [
    r.case,
    densityText(r.density),
    ms(r.training.ms),
    ms(r.pruning.ms),
    times(r.ratio),
    times(r.training.minMs / r.pruning.minMs),
    times(r.training.cpuMs / r.pruning.cpuMs),
  ]);
  return table(header, rows);
}

export function versionsTable(results: readonly VersionResult[]): string {
  const header = [
    "case",
    "density",
    "mode",
    "isa",
    "threads",
    "busy",
    "ms",
    "fastest",
    "CPU ms",
    "ratio",
    "of fastest",
  ];
  const rows = results.map((r) => [
    r.case,
    densityText(r.density),
    r.mode,
    r.isa,
    String(r.threads),
    String(r.busy),
    ms(r.ms),
    ms(r.minMs),
    ms(r.cpuMs),
    times(r.ratio),
    times(r.ratioOfFastest),
  ]);
  return table(header, rows);
}

export function scalingTable(points: readonly ScalingPoint[]): string {
  const header = ["series", "width", "density", "nonzeros", "mode", "ms", "fastest", "MB"];
  const rows = points.map((p) => [
    p.series,
    String(p.width),
    densityText(p.density),
    String(p.nonzeros),
    p.mode,
    ms(p.ms),
    ms(p.minMs),
    (p.bytes / 1e6).toFixed(0),
  ]);
  return table(header, rows);
}

const decimal = (x: number | null, digits: number): string => (x === null ? missing : x.toFixed(digits));
const seconds = (x: number): string => x.toFixed(2);

/** Sizes are nodes/edges; precision, recall and AUROC are of nodes, then of edges. */
export function truthTable(results: readonly TruthResult[]): string {
  const header = ["shape", "width", "density", "noise", "seed", "method", "planted", "found"];
  const scores = ["precision", "recall", "AUROC"].flatMap((name) => [name, ""]);
  const rows = results.map((r) => [
    r.shape,
    String(r.width),
    densityText(r.density),
    String(r.noise),
    String(r.seed),
    r.method,
    `${r.plantedNodes}/${r.plantedEdges}`,
    r.nodes === null ? missing : `${r.nodes}/${r.edges}`,
    decimal(r.nodePrecision, 2),
    decimal(r.edgePrecision, 2),
    decimal(r.nodeRecall, 2),
    decimal(r.edgeRecall, 2),
    decimal(r.nodeAuroc, 4),
    decimal(r.edgeAuroc, 4),
    decimal(r.testLoss, 4),
    seconds(r.seconds),
  ]);
  return table([...header, ...scores, "test loss", "seconds"], rows);
}

export function truthSummaryTable(summaries: readonly TruthSummary[]): string {
  const header = ["method", "cases", "planted or smaller", "and inside", "node AUROC", "edge AUROC", "seconds"];
  const rows = summaries.map((s) => [
    s.method,
    String(s.cases),
    percent(s.plantedOrSmaller / s.cases),
    percent(s.inside / s.cases),
    decimal(s.cleanNodeAuroc, 4),
    decimal(s.cleanEdgeAuroc, 4),
    seconds(s.medianSeconds),
  ]);
  return `${table(header, rows)}\nAUROC: means of the cases without noise; seconds: medians.`;
}

export function limitsTable(results: readonly LimitsResult[]): string {
  const rows = results.map((r) => [r.isa, String(r.threads), r.gflops.toFixed(0), r.gbPerSecond.toFixed(1)]);
  return table(["isa", "threads", "GFLOP/s", "GB/s"], rows);
}

export function searchTable(results: readonly SearchResult[]): string {
  const header = ["run", "task", "seed", "way", "nodes", "edges", "loss, fitted", "loss, validation", "seconds"];
  const rows = results.map((r) => [
    r.run,
    r.task,
    String(r.seed),
    r.way,
    r.nodes === null ? "-" : String(r.nodes),
    r.edges === null ? "-" : String(r.edges),
    decimal(r.train ?? Number.NaN, 3),
    decimal(r.val ?? Number.NaN, 3),
    seconds(r.seconds),
  ]);
  return table(header, rows);
}
