/** `circuit export`: figures, graphs and tables of a circuit, each made from circuit.json alone. */
import * as path from "node:path";
import type { Command } from "commander";
import {
  EXPORT_FORMATS,
  exportCircuit,
  exportFormat,
  LAYOUTS,
  type Layout,
  PALETTE_NAMES,
  type PaletteName,
  whyNotDrawn,
} from "../../circuits/export/index.ts";
import { ensureWritableDir, writeFileAtomic } from "../../util/files.ts";
import { openCircuits } from "../circuit-files.ts";
import { jsonOption, oneOf } from "../options.ts";
import type { Output } from "../output.ts";
import { examplesText } from "../program.ts";

interface ExportFlags {
  readonly task?: string;
  readonly format: string;
  readonly layout: Layout;
  readonly palette: PaletteName;
  readonly out?: string;
}

export function register(command: Command, out: Output): void {
  const names = EXPORT_FORMATS.map((f) => f.name);
  command
    .argument("<run>", "a run with circuits, such as runs/quotes, or the folder of a circuit.json")
    .option("--task <name>", "task or group (default: every circuit of the run)")
    .option("--format <list>", `formats separated by commas: ${names.join(", ")}, or all`, "svg")
    .option(
      "--layout <name>",
      "positions in figures and gexf: layers (the structure view) or force (free-form, ForceAtlas2)",
      oneOf("--layout", LAYOUTS),
      "layers",
    )
    .option(
      "--palette <name>",
      "colours of figures: default, print (black on white, negative weights dashed) or colorblind",
      oneOf("--palette", PALETTE_NAMES),
      "default",
    )
    .option("--out <dir>", "folder for the files (default: beside circuit.json)");
  jsonOption(command);
  command.addHelpText(
    "after",
    [
      ...EXPORT_FORMATS.map((f) => `  ${f.name.padEnd(7)} ${f.doc}`),
      examplesText([
        ["circuit export runs/quotes --format pdf --palette print", "the figure for a paper"],
        ["circuit export runs/quotes --format all", "everything"],
        ["circuit export runs/quotes --format dot,gexf,csv --out figures", "graphs and tables elsewhere"],
        ["circuit export runs/quotes --layout force", "a free-form overview"],
      ]),
    ].join("\n"),
  );
  command.action((run: string, flags: ExportFlags) => exportAll(run, flags, out));
}

async function exportAll(run: string, flags: ExportFlags, out: Output): Promise<void> {
  const typed = flags.format.split(",").map((name) => name.trim());
  const formats = new Set(typed.includes("all") ? EXPORT_FORMATS : typed.map(exportFormat));
  const circuits = openCircuits(run, flags.task);
  const written: string[] = [];
  for (const { task, dir, circuit } of circuits) {
    const folder = flags.out ?? dir;
    ensureWritableDir(folder);
    const stem = flags.layout === "force" ? `${task}.force` : task;
    const reason = whyNotDrawn(circuit);
    if (reason !== undefined && [...formats].some((f) => f.figure)) out.notice(`${task}: ${reason}.`);
    for (const { name } of formats) {
      for (const { suffix, content } of await exportCircuit(circuit, name, flags)) {
        const file = path.join(folder, `${stem}${suffix}`);
        writeFileAtomic(file, content);
        written.push(file);
        out.line(`written ${file}`);
        out.event({ event: "file", task, format: name, path: file });
      }
    }
  }
  out.done({ files: written });
}
