/** A circuit as monospace text for a terminal: what it is, its nodes with what each reads and writes, its edges. */
import { wrapWords } from "../util/text.ts";
import { editText } from "./edit.ts";
import { scaleMark, shortName } from "./graph.ts";
import { reportedLoss } from "./layout/frame.ts";
import { cellWidth, formatWeight, oneLine, padCells, truncate, visibleToken } from "./layout/text.ts";
import type { Circuit, CircuitNode } from "./schema.ts";

const NARROWEST = 40;
/** Of what the header says, after what it is called. */
const INDENT = 11;
/** Most lines that a node takes. */
const MOST_LINES = 5;

/**
 * Lines of at most `width` cells (default 100, at least 40), without line ends. Long lists are cut;
 * everything is in the circuit file.
 */
export function circuitTable(circuit: Circuit, options: { width?: number } = {}): string[] {
  const width = Math.max(NARROWEST, options.width ?? 100);
  const lines = [...header(circuit, width), ""];
  if (circuit.nodes.length === 0) lines.push("The circuit is empty: no node is kept.");
  else lines.push(...nodeLines(circuit, width), "", ...edgeLines(circuit, width));
  return lines.map((line) => truncate(line, width).trimEnd());
}

function header(circuit: Circuit, width: number): string[] {
  const { task, counts, target, model } = circuit;
  const reached = reportedLoss(circuit.taskLoss);
  const full = reportedLoss(circuit.fullTaskLoss);
  const loss = reached === undefined ? "not measured" : `${reached.value.toFixed(4)} on ${reached.split}`;
  const dropped = counts.nodesBeforeDropping - counts.nodes;
  const lines = [
    `task       ${oneLine(task.name)}${task.variant === "" ? "" : ` (${oneLine(task.variant)})`}`,
    `model      ${oneLine(model.run)}: ${model.layers} layers, width ${model.width}, ${model.heads} heads of ${model.headWidth}, ${model.neurons} neurons`,
    `circuit    ${counts.nodes} nodes, ${counts.edges} edges`,
    `task loss  ${loss}${full === undefined ? "" : `; full model ${full.value.toFixed(4)}`}; target ${Number(target.toPrecision(4))}`,
  ];
  const { verification } = circuit;
  const summary = verification ? oneLine(verification.summary) : "not since it was last changed: circuit verify";
  lines.push(...wrapWords(summary, width - INDENT).map((line, n) => (n === 0 ? "verified" : "").padEnd(INDENT) + line));
  if (dropped > 0) {
    lines.push(
      `dropped    ${dropped} nodes and ${counts.edgesBeforeDropping - counts.edges} edges without a path from input to output`,
    );
  }
  for (const [i, { taskLoss, nodes, edges, ...made }] of circuit.edits.entries()) {
    const after = reportedLoss(taskLoss);
    const then = after === undefined ? "" : `, task loss ${after.value.toFixed(4)} on ${after.split}`;
    lines.push(`${i === 0 ? "edits    " : "         "}  ${editText(made)}: ${nodes} nodes, ${edges} edges${then}`);
  }
  return lines;
}

/** Nodes under a heading for each site; columns: name, importance, mean, reads, writes, driving tokens and label. */
function nodeLines(circuit: Circuit, width: number): string[] {
  const names = new Map(circuit.nodes.map((n) => [n.id, shortName(circuit, n)]));
  const reads = new Map<string, string[]>();
  const writes = new Map<string, string[]>();
  const add = (map: Map<string, string[]>, id: string, text: string): void => {
    const list = map.get(id);
    if (list === undefined) map.set(id, [text]);
    else list.push(text);
  };
  // Names are unique within a row only; across rows the site says which channel, and it is known for each column.
  for (const { source, target, weight } of byMagnitude(circuit)) {
    add(reads, target, `${names.get(source)!} ${formatWeight(weight)}`);
    add(writes, source, `${names.get(target)!} ${formatWeight(weight)}`);
  }
  for (const { kind, source, target } of circuit.links) {
    if (kind === "residual") {
      add(reads, target, `from ${origin(source)}`);
      add(writes, source, `to ${origin(target)}`);
    } else if (kind === "query-key") {
      add(writes, source, `times ${names.get(target)!}`);
      add(writes, target, `times ${names.get(source)!}`);
    }
  }
  tokenEntries(circuit, add, reads, writes);

  const shown = (node: CircuitNode): string => names.get(node.id)! + scaleMark(node);
  const nameCells = Math.max(4, ...circuit.nodes.map((node) => cellWidth(shown(node))));
  const rest = width - (2 + nameCells + 2 + 9 + 2 + 8 + 2 + 4);
  const listCells = Math.max(8, Math.floor(rest / 3));
  const row = (name: string, rise: string, mean: string, lists: readonly (readonly string[])[]): string[] => {
    const wrapped = lists.map((items) => wrap(items, listCells));
    const height = Math.max(...wrapped.map((w) => w.length));
    return Array.from({ length: height }, (_, i) =>
      [
        `  ${padCells(i === 0 ? name : "", nameCells)}`,
        (i === 0 ? rise : "").padStart(9),
        (i === 0 ? mean : "").padStart(8),
        ...wrapped.map((w) => padCells(w[i] ?? "", listCells)),
      ].join("  "),
    );
  };
  const lines = row("node", "loss rise", "mean", [["reads"], ["writes"], ["driven by"]]);
  let group = "";
  for (const node of circuit.nodes) {
    const name = `${node.layer}.${node.site}`;
    if (name !== group) lines.push(name);
    group = name;
    const rise = node.importance === null ? "-" : node.importance.toFixed(4);
    const lists = [reads.get(node.id) ?? ["-"], writes.get(node.id) ?? ["-"], drivenBy(node)];
    lines.push(...row(shown(node), rise, node.meanActivation.toFixed(3), lists));
  }
  return lines;
}

/** Items packed into lines of at most `cells`; after a few lines, how many more there are. */
function wrap(items: readonly string[], cells: number): string[] {
  const lines: string[] = [];
  for (const [i, item] of items.entries()) {
    const text = i < items.length - 1 ? `${item},` : item;
    const last = lines[lines.length - 1];
    if (last !== undefined && cellWidth(last) + 1 + cellWidth(text) <= cells)
      lines[lines.length - 1] = `${last} ${text}`;
    else if (lines.length === MOST_LINES - 1 && i < items.length - 1) return [...lines, `+ ${items.length - i} more`];
    else lines.push(text);
  }
  return lines;
}

function drivenBy(node: CircuitNode): string[] {
  const tokens = (node.reads ?? []).map((read) => visibleToken(read.tokenText));
  return node.label === undefined || node.label === "" ? tokens : [`[${oneLine(node.label)}]`, ...tokens];
}

/** `0.mlp`, the sublayer of a node id. */
function origin(id: string): string {
  return id.split(".").slice(0, 2).join(".");
}

/**
 * Tokens that the embedding puts into a read channel, and that the unembedding makes of a written one: answers alone
 * if there are any.
 */
function tokenEntries(
  circuit: Circuit,
  add: (map: Map<string, string[]>, id: string, text: string) => void,
  reads: Map<string, string[]>,
  writes: Map<string, string[]>,
): void {
  const answers = circuit.unembedding.filter((e) => e.answer);
  const unembedding = answers.length > 0 ? answers : circuit.unembedding;
  for (const node of circuit.nodes) {
    if (node.site.endsWith("act_in")) {
      for (const e of circuit.embedding) {
        if (e.channel === node.channel) add(reads, node.id, `${visibleToken(e.tokenText)} ${formatWeight(e.weight)}`);
      }
    } else if (node.site.endsWith("resid_delta")) {
      for (const e of unembedding) {
        if (e.channel === node.channel) add(writes, node.id, `${visibleToken(e.tokenText)} ${formatWeight(e.weight)}`);
      }
    }
  }
}

function byMagnitude(circuit: Circuit): Circuit["edges"] {
  return [...circuit.edges].sort((a, b) => Math.abs(b.weight) - Math.abs(a.weight));
}

function edgeLines(circuit: Circuit, width: number): string[] {
  if (circuit.edges.length === 0) return ["no edges"];
  const ends = Math.max(...circuit.edges.flatMap((e) => [e.source.length, e.target.length]), 6);
  const cells = Math.min(ends, Math.floor((width - 16) / 2));
  const line = (source: string, target: string, weight: string): string =>
    `  ${padCells(source, cells)}  ${padCells(target, cells)}  ${weight.padStart(10)}`;
  return [
    line("source", "target", "weight"),
    ...circuit.edges.map((e) => line(e.source, e.target, e.weight.toFixed(4))),
  ];
}
