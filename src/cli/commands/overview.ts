/** `circuit overview`: a whole model's nonzero weights in one picture, the circuits of its tasks in it, and what they share. */
import * as path from "node:path";
import type { Command } from "commander";
import { isSolved } from "../../circuits/curves.ts";
import { PALETTE_NAMES, type PaletteName } from "../../circuits/export/index.ts";
import { overviewCsv, overviewGexf, overviewJson } from "../../circuits/overview/files.ts";
import { type Network, networkOf } from "../../circuits/overview/network.ts";
import { networkPositions } from "../../circuits/overview/positions.ts";
import { networkView } from "../../circuits/overview/view.ts";
import { pdfText } from "../../drawing/pdf.ts";
import { pngBytes } from "../../drawing/png.ts";
import { svgText } from "../../drawing/svg.ts";
import { weightsHash } from "../../model/params.ts";
import { runPaths } from "../../runs/layout.ts";
import { loadModel, openRun } from "../../runs/open.ts";
import { inputError } from "../../util/errors.ts";
import { ensureWritableDir, writeFileAtomic } from "../../util/files.ts";
import { type Format, formatJson } from "../../util/json.ts";
import { nearest } from "../../util/nearest.ts";
import { isFinished } from "../build-circuit.ts";
import { extractedTasks, openCircuits, type StoredCircuit } from "../circuit-files.ts";
import { jsonOption, oneOf } from "../options.ts";
import type { Output } from "../output.ts";
import { overviewText } from "../overview-report.ts";
import { examplesText } from "../program.ts";
import { count, plural } from "../render.ts";

const OVERVIEW_FORMAT: Format = { format: "sparse-circuits/overview", version: 1 };
const FORMATS = ["svg", "pdf", "png", "gexf", "json", "csv"] as const;

interface Flags {
  readonly task?: string;
  readonly format: string;
  readonly palette: PaletteName;
  readonly out?: string;
}

export function register(command: Command, out: Output): void {
  command
    .argument("<run>", "a run, such as runs/all; without circuits its weights alone are drawn")
    .option("--task <names>", "tasks or groups with commas between them (default: every circuit of the run)")
    .option("--format <list>", `formats separated by commas: ${FORMATS.join(", ")}, or all`, "svg,json")
    .option(
      "--palette <name>",
      "colours of circuits: default, colorblind, or print (shades: in how many circuits something is)",
      oneOf("--palette", PALETTE_NAMES),
      "default",
    )
    .option("--out <dir>", "folder for the files (default: <run>/circuits)");
  jsonOption(command);
  command.addHelpText(
    "after",
    examplesText([
      ["circuit overview runs/all", "how disentangled a model of many tasks is"],
      ["circuit overview runs/all --task brackets,quotes --format pdf", "some of its circuits, for a paper"],
      ["circuit overview runs/all --format gexf", "to be explored in Gephi"],
    ]),
  );
  command.action((run: string, flags: Flags) => overview(run, flags, out));
}

async function overview(place: string, flags: Flags, out: Output): Promise<void> {
  const formats = chosenFormats(flags.format);
  const run = openRun(place);
  const { config, params } = loadModel(place);
  const circuits = chosenCircuits(place, flags.task);
  const hash = weightsHash(params);
  const other = circuits.find(({ circuit }) => circuit.model.weightsHash !== hash);
  if (other !== undefined) {
    throw inputError(
      "circuit-model",
      `the circuit of ${other.task} is of another model than ${place}: their weights differ`,
      `Extract it again with \`circuit extract ${place} --task ${other.circuit.task.name}\`.`,
    );
  }
  const folder = flags.out ?? runPaths(place).circuits;
  ensureWritableDir(folder);
  const network = networkOf(
    config,
    params,
    circuits.map(({ task, circuit }) => ({ name: task, circuit })),
  );
  tell(network, place, out);
  const unfinished = circuits
    .filter(({ circuit }) => !isFinished(circuit) || !isSolved(circuit))
    .map(({ task }) => task);
  if (unfinished.length > 0) {
    out.notice(
      `searches that were stopped or missed their target leave larger circuits, which share more: ${unfinished.join(", ")}`,
    );
  }
  const name = path.basename(path.resolve(run.dir));
  out.line(overviewText(network, out.style));
  const files: string[] = [];
  for await (const [suffix, content] of contents(network, name, formats, flags.palette)) {
    const file = path.join(folder, `overview${suffix}`);
    writeFileAtomic(file, content);
    out.event({ event: "file", path: file });
    files.push(file);
  }
  out.line(`\nwritten ${files.join(", ")}`);
  out.done({ ...overviewJson(network, name), files });
}

/** Every circuit there is, or those of the tasks and groups that were typed. */
function chosenCircuits(place: string, typed: string | undefined): StoredCircuit[] {
  const { circuits } = runPaths(place);
  if (typed === undefined) return extractedTasks(circuits).length > 0 ? openCircuits(place, undefined) : [];
  const found = typed.split(",").flatMap((name) => openCircuits(place, name.trim()));
  return [...new Map(found.map((stored) => [stored.task, stored])).values()];
}

/** What was left out of the picture, and what it lacks. */
function tell({ names, edges, shown }: Network, place: string, out: Output): void {
  if (names.length === 0) {
    out.notice(
      `${place} has no circuit yet: its weights are drawn alone. Find circuits with \`circuit extract ${place}\`.`,
    );
  }
  if (shown.edges.length === edges.total) return;
  const lost = edges.total - edges.usedBy[0]!.count - shown.edges.filter((e) => e.circuits.length > 0).length;
  out.notice(
    `${count(edges.total)} nonzero weights are too many to be told apart: the figure and gexf show the heaviest into each site, ${count(shown.edges.length)} in all${lost === 0 ? ", and every circuit" : `, without ${plural(lost, "edge")} of circuits`}. The numbers are of the whole model.`,
  );
}

async function* contents(
  network: Network,
  run: string,
  formats: readonly (typeof FORMATS)[number][],
  palette: PaletteName,
): AsyncGenerator<[suffix: string, content: string | Uint8Array]> {
  const { names } = network;
  const what = names.length === 1 ? `the circuit of ${names[0]!}` : plural(names.length, "circuit");
  const options = { title: names.length === 0 ? `${run}: the model` : `${run}: ${what} in the model`, palette };
  const drawn = formats.some((format) => format !== "json" && format !== "csv");
  const positions = drawn ? networkPositions(network) : [];
  for (const format of formats) {
    if (format === "json") yield [".json", formatJson({ ...OVERVIEW_FORMAT, ...overviewJson(network, run) })];
    else if (format === "gexf") yield [".gexf", overviewGexf(network, positions, options)];
    else if (format === "csv") {
      for (const [part, text] of Object.entries(overviewCsv(network))) yield [`.${part}.csv`, text];
    } else {
      const drawing = networkView(network, positions, options);
      const write = { svg: svgText, pdf: pdfText, png: pngBytes }[format];
      yield [`.${format}`, await write(drawing)];
    }
  }
}

function chosenFormats(typed: string): (typeof FORMATS)[number][] {
  const names = typed.split(",").map((name) => name.trim().toLowerCase());
  if (names.includes("all")) return [...FORMATS];
  const unknown = names.find((name) => !FORMATS.some((format) => format === name));
  if (unknown === undefined) return FORMATS.filter((format) => names.includes(format));
  throw inputError(
    "export-format",
    `unknown format "${unknown}" of an overview: expected one of ${FORMATS.join(", ")}, or all`,
    `Did you mean ${nearest(unknown, FORMATS)}?`,
  );
}
