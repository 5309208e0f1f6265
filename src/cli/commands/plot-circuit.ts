/** `circuit plot`: task loss against edges, and what the nodes of circuits carry, as figures. */
import * as path from "node:path";
import type { Command } from "commander";
import type { Circuit, CircuitNode } from "../../circuits/schema.ts";
import type { PairBatch } from "../../data/pairs.ts";
import { Model } from "../../model/model.ts";
import { ensureWritableDir, pathExists, writeFileAtomic } from "../../util/files.ts";
import { activationFigure } from "../activation-plot.ts";
import { CIRCUIT, openCollection } from "../circuit-files.ts";
import { circuitsOf, type StoredCircuitFlags, storedCircuitOptions, type TaskCircuit } from "../circuit-source.ts";
import { writeCurves } from "../curve-files.ts";
import { type EngineFlags, engineOptions, openEngine } from "../engine.ts";
import { type ExtractSource, pairsSource, runSource } from "../extract-source.ts";
import { breathe, interruptible } from "../interrupt.ts";
import { nodeActivations } from "../node-activations.ts";
import { jsonOption, wholeNumber } from "../options.ts";
import type { Output } from "../output.ts";
import { type PlotFlags, plotOptions, writePictures } from "../plot-files.ts";
import { visible } from "../probe-report.ts";
import { examplesText } from "../program.ts";
import { prepareText } from "../trained-run.ts";

/** Tokens of held-out text. */
const TEXT_TOKENS = 16_384;

interface Flags extends StoredCircuitFlags, PlotFlags, EngineFlags {
  readonly task?: string;
  readonly nodes: number;
  readonly out?: string;
}

export function register(command: Command, out: Output): void {
  storedCircuitOptions(command);
  command
    .option("--task <name>", "task or group (default: every circuit of the run)")
    .option(
      "--nodes <n>",
      "nodes of a circuit whose activations are drawn, those of most importance; 0 for none",
      wholeNumber("--nodes"),
      24,
    )
    .option("--out <dir>", "folder for the plots (default: beside the circuits)");
  plotOptions(command);
  engineOptions(command);
  jsonOption(command)
    .addHelpText(
      "after",
      examplesText([
        ["circuit plot runs/quotes", "task loss against edges, and the nodes' activations"],
        ["circuit plot runs/quotes --format pdf --palette print", "the same as PDF in black and white"],
        ["circuit plot runs/quotes --nodes 0", "task loss against edges alone"],
      ]),
    )
    .action((dir: string, flags: Flags) => interruptible(out, (signal) => plot(dir, flags, out, signal)));
}

async function plot(dir: string, flags: Flags, out: Output, signal: AbortSignal): Promise<void> {
  const hasModel = flags.pairs !== undefined || pathExists(path.join(dir, "config.json"));
  const files = hasModel ? await plotAll(dir, flags, out, signal) : await plotLosses(dir, flags, out);
  if (files.length === 0) out.notice(`${dir}: nothing to draw`);
  out.done({ run: dir, files });
}

/** Of circuits without their model. */
async function plotLosses(dir: string, flags: Flags, out: Output): Promise<string[]> {
  const circuits = [...openCollection(dir).circuits].map(([task, circuit]) => ({ task, circuit }));
  if (flags.nodes > 0) out.notice(`${dir} has circuits without their run: activations are not drawn`);
  const folder = path.basename(dir) === CIRCUIT ? path.dirname(dir) : dir;
  return writeCurves(flags.out ?? folder, circuits, out, flags);
}

async function plotAll(dir: string, flags: Flags, out: Output, signal: AbortSignal): Promise<string[]> {
  const source =
    flags.pairs === undefined ? await runSource(dir, flags.task, flags.variant) : pairsSource(dir, flags.pairs);
  const circuits = circuitsOf(dir, source, flags);
  const folder = flags.out ?? path.dirname(circuits[0]!.folder);
  const files = await writeCurves(
    folder,
    circuits.map(({ task, circuit }) => ({ task: task.name, circuit })),
    out,
    flags,
  );
  if (flags.nodes === 0) return files;
  if (source.trained) await prepareText(source.trained.run, source.trained.data, out, signal);
  const engine = await openEngine(flags, out);
  try {
    const model = new Model(engine, source.stored);
    for (const each of circuits) {
      await breathe(signal, files.length > 0 ? `written ${files.join(", ")}` : undefined);
      out.live(`activations of ${each.task.name}`);
      const written = await plotActivations(model, source, each, flags, out);
      if (written.length > 0) out.line(`  written ${written.join(", ")}`);
      files.push(...written);
    }
  } finally {
    engine.dispose();
  }
  return files;
}

async function plotActivations(
  model: Model,
  source: ExtractSource,
  { task, folder, circuit }: TaskCircuit,
  flags: Flags,
  out: Output,
): Promise<string[]> {
  const nodes = mostImportant(circuit, flags.nodes);
  if (nodes.length === 0) {
    out.notice(`${task.name}: its circuit has no nodes whose activations could be drawn`);
    return [];
  }
  const { test } = task.pairs(0);
  const text = source.heldOut ? [source.heldOut(TEXT_TOKENS)] : source.text();
  const { figure, csv } = activationFigure(
    circuit,
    nodeActivations(model, nodes, text, test),
    sidesOf(test, source),
    circuit.nodes.length - nodes.length,
  );
  const stem =
    flags.out === undefined ? path.join(folder, "activations") : path.join(flags.out, `${task.folder}.activations`);
  ensureWritableDir(path.dirname(stem));
  writeFileAtomic(`${stem}.csv`, csv);
  return [`${stem}.csv`, ...(await writePictures(stem, figure, flags))];
}

/** In the circuit's order. */
function mostImportant({ nodes }: Circuit, most: number): CircuitNode[] {
  const weight = ({ importance }: CircuitNode): number => importance ?? 0;
  const chosen = new Set([...nodes].sort((a, b) => weight(b) - weight(a)).slice(0, most));
  return nodes.filter((node) => chosen.has(node));
}

/** What the right completion of each side is, where all pairs have the same. */
function sidesOf({ right, rows }: PairBatch, { tokenText }: ExtractSource): [first: string, second: string] {
  const name = (side: 0 | 1, place: string): string => {
    const tokens = new Set(Array.from({ length: rows / 2 }, (_, pair) => right[2 * pair + side]!));
    const [token] = tokens;
    return tokens.size === 1
      ? `prompts to complete with ${visible(tokenText(token!))}`
      : `prompts of the ${place} side`;
  };
  return [name(0, "first"), name(1, "second")];
}
