/** `circuit export`: figures, graphs and tables of a circuit, each made from circuit.json alone. */
import * as path from "node:path";
import { type Command, Option } from "commander";
import {
  EXPORT_FORMATS,
  type ExportFormat,
  exportCircuit,
  exportFormat,
  LAYOUTS,
  type Layout,
  PALETTE_NAMES,
  type PaletteName,
  PROMPT_HINT,
  whyAbsent,
  whyNotDrawn,
} from "../../circuits/export/index.ts";
import { inputError } from "../../util/errors.ts";
import { ensureWritableDir, writeFileAtomic } from "../../util/files.ts";
import { writeAttribution } from "../attribution-files.ts";
import { openCircuits, type StoredCircuit } from "../circuit-files.ts";
import { type PromptFlags, tracesOf } from "../circuit-prompts.ts";
import { circuitsOf } from "../circuit-source.ts";
import { engineOptions } from "../engine.ts";
import { pairsSource } from "../extract-source.ts";
import { interruptible } from "../interrupt.ts";
import { jsonOption, oneOf, wholeNumber } from "../options.ts";
import type { Output } from "../output.ts";
import { examplesText } from "../program.ts";

interface ExportFlags extends PromptFlags {
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
      "figures: layers (the structure view, on a prompt unrolled), force (free-form, ForceAtlas2; gexf too) or code (attention over a prompt's text)",
      oneOf("--layout", LAYOUTS),
      "layers",
    )
    .option(
      "--palette <name>",
      "colours of figures: default, print (black on white, negative weights dashed) or colorblind",
      oneOf("--palette", PALETTE_NAMES),
      "default",
    )
    .addOption(
      new Option(
        "--prompt <text>",
        "the circuit unrolled on a prompt: figures and attribution graph; answers are the task's two that the model finds likeliest",
      ).conflicts("pair"),
    )
    .option(
      "--pair <n>",
      "the circuit unrolled on both prompts of a test pair, from 0 on: files <task>.pair-<n>-a and -b",
      wholeNumber("--pair"),
    )
    .addOption(
      new Option(
        "--pairs <file>",
        "the pairs of token ids that the circuit was extracted for: <run> is then the folder of a model trained elsewhere",
      ).conflicts("task"),
    )
    .option("--circuits <dir>", "with --pairs: folder of the circuits (default: <run>/circuits)")
    .option("--out <dir>", "folder for the files (default: beside circuit.json)");
  engineOptions(command);
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
        ["circuit export runs/quotes --pair 0 --format pdf", "from token to answer, on both prompts of a pair"],
        ["circuit export runs/quotes --pair 0 --layout code", "where heads look, over the prompt as code"],
        ["circuit export model --pairs pairs.json --pair 0", "of a model trained elsewhere: tokens as their ids"],
        ["circuit export runs/quotes --prompt 'print(\"hi' --format all", "on a prompt of one's own"],
      ]),
    ].join("\n"),
  );
  command.action((run: string, flags: ExportFlags) =>
    interruptible(out, (signal) => exportAll(run, flags, out, signal)),
  );
}

async function exportAll(run: string, flags: ExportFlags, out: Output, signal: AbortSignal): Promise<void> {
  const onPrompt = flags.prompt !== undefined || flags.pair !== undefined;
  const formats = chosenFormats(flags, onPrompt);
  const circuits = storedCircuits(run, flags);
  const files = new Set<string>();
  for (const stored of circuits) {
    const { task, dir, circuit } = stored;
    const folder = flags.out ?? dir;
    ensureWritableDir(folder);
    const reason = whyNotDrawn(circuit);
    if (reason !== undefined && formats.some((f) => f.figure)) out.notice(`${task}: ${reason}.`);
    const traces = onPrompt ? await tracesOf(run, stored, flags, out, signal) : [undefined];
    for (const trace of traces) {
      const options = { ...flags, ...(trace ? { trace } : {}) };
      const absent = formats.some((f) => f.figure) ? whyAbsent(circuit, options) : undefined;
      if (absent !== undefined) out.notice(`${task} on ${trace!.name}: ${absent}`);
      const stem = [task, ...(flags.layout === "layers" ? [] : [flags.layout]), ...(trace ? [trace.name] : [])].join(
        ".",
      );
      for (const { name } of formats) {
        for (const { suffix, content } of await exportCircuit(circuit, name, options)) {
          for (const file of written(folder, `${stem}${suffix}`, name, content)) {
            files.add(file);
            out.line(`written ${file}`);
            out.event({ event: "file", task, format: name, path: file });
          }
        }
      }
    }
  }
  out.done({ files: [...files] });
}

function storedCircuits(run: string, flags: ExportFlags): StoredCircuit[] {
  const { task, pairs, circuits } = flags;
  if (pairs !== undefined) {
    const found = circuitsOf(run, pairsSource(run, pairs), flags);
    return found.map(({ task, folder, circuit }) => ({ task: task.name, dir: folder, circuit }));
  }
  if (circuits === undefined) return openCircuits(run, task);
  throw inputError(
    "export-circuits",
    "--circuits goes with --pairs",
    "Give the folder of a circuit instead of the run.",
  );
}

/** Writes one file of a format, and says which it wrote. */
function written(folder: string, name: string, format: string, content: string | Uint8Array): string[] {
  if (format === "attribution") return writeAttribution(folder, content as string);
  const file = path.join(folder, name);
  writeFileAtomic(file, content);
  return [file];
}

/** `all` stands for those that are of a prompt when there is one, and else for those that are not of a prompt alone. */
function chosenFormats({ format, layout }: ExportFlags, onPrompt: boolean): ExportFormat[] {
  const typed = format.split(",").map((name) => name.trim());
  const fits = (f: ExportFormat): boolean => (onPrompt ? f.prompt !== "no" : f.prompt !== "only");
  const formats = typed.includes("all") ? EXPORT_FORMATS.filter(fits) : [...new Set(typed.map(exportFormat))];
  const other = formats.find((f) => !fits(f));
  if (other !== undefined) {
    throw inputError(
      "export-prompt",
      `${other.name} is ${onPrompt ? "of the circuit, not of a prompt" : "of a circuit on a prompt"}`,
      onPrompt ? "Export it without --prompt and --pair." : PROMPT_HINT,
    );
  }
  if (onPrompt && layout === "force") {
    throw inputError("export-prompt", `--layout ${layout} has no token columns`, "Leave --layout, or the prompt, out.");
  }
  if (!onPrompt && layout === "code") {
    throw inputError("export-prompt", "--layout code shows a circuit over the text of a prompt", PROMPT_HINT);
  }
  return formats;
}
