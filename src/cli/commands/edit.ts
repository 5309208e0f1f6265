/** `circuit edit`: removes, adds and scales nodes of a circuit by hand, and measures what is left. */
import * as path from "node:path";
import { type Command, Option } from "commander";
import { applyEdits, type Edit, editText } from "../../circuits/edit.ts";
import { serializeCircuit } from "../../circuits/file.ts";
import { nodeNamed } from "../../circuits/node-name.ts";
import { restoreCircuit } from "../../circuits/restore.ts";
import type { Circuit } from "../../circuits/schema.ts";
import { Wiring } from "../../circuits/wiring.ts";
import { Model } from "../../model/model.ts";
import { supports } from "../../prune/evaluator.ts";
import { inputError } from "../../util/errors.ts";
import { ensureWritableDir, pathExists, writeFileAtomic } from "../../util/files.ts";
import { CIRCUIT } from "../circuit-files.ts";
import {
  circuitsOf,
  commandOn,
  type StoredCircuitFlags,
  storedCircuitOptions,
  type TaskCircuit,
} from "../circuit-source.ts";
import { editCircuit } from "../edit-circuit.ts";
import { type EngineFlags, engineOptions, openEngine } from "../engine.ts";
import { pairsSource, runSource } from "../extract-source.ts";
import { breathe, interruptible } from "../interrupt.ts";
import { jsonOption, parseNumber } from "../options.ts";
import type { Output } from "../output.ts";
import { examplesText } from "../program.ts";
import { count, nats, percent, table } from "../render.ts";
import { prepareText } from "../trained-run.ts";

interface EditFlags extends EngineFlags, StoredCircuitFlags {
  readonly out?: string;
}

const ABOUT = `
A node is named by its id, as in figures (98, V.0.30), or by head and channel (0.attn.v.head3.ch2).
Edits apply in the order given. Nodes that they leave without a path from input to output are dropped; a node that is
added without one is refused. A factor is of the values that the node has in the model: --scale NODE=1 undoes a scaling,
--add a removal; labels stay, but those of removed nodes. The file keeps the history of edits. What would change nothing is
refused, since an edit ends the verdicts of \`circuit verify\`.
`;

export function register(command: Command, out: Output): void {
  const edits: Edit[] = [];
  /** The options share a list, so that it has the order of the command line; nodes as they were typed. */
  const editOption = (flags: string, about: string, parse: (text: string) => Edit): Option =>
    new Option(flags, about).argParser((text: string) => edits.push(parse(text)));
  storedCircuitOptions(command);
  command
    .option("--task <name>", "the task whose circuit it is, of several")
    .addOption(
      editOption("--remove <node>", "ablate a node, such as 0.mlp.post_act:12; repeatable", (text) => ({
        action: "remove",
        node: text,
      })),
    )
    .addOption(
      editOption("--add <node>", "keep a node of the model, with all its edges; repeatable", (text) => ({
        action: "add",
        node: text,
      })),
    )
    .addOption(editOption("--scale <node=factor>", "multiply a node's values by a factor; repeatable", parseScale))
    .option("--out <dir>", "folder of circuits for the edited one (default: it takes the place of the old one)");
  engineOptions(command);
  jsonOption(command);
  command.addHelpText(
    "after",
    ABOUT +
      examplesText([
        ["circuit edit runs/quotes --remove 0.mlp.post_act:12", "is this neuron needed?"],
        ["circuit edit runs/quotes --scale 1.attn.v:3=1.3 --out edited", "stronger, as a circuit of its own"],
        ["circuit edit runs/quotes --remove 0.attn.v:3 --add 0.attn.v:4", "one channel for another"],
      ]),
  );
  command.action((run: string, flags: EditFlags) =>
    interruptible(out, (signal) => edit(run, edits, flags, out, signal)),
  );
}

async function edit(
  run: string,
  typed: readonly Edit[],
  flags: EditFlags,
  out: Output,
  signal: AbortSignal,
): Promise<void> {
  if (typed.length === 0) {
    throw inputError("edit-none", "no edit was given", "Give at least one of --remove, --add and --scale.");
  }
  const source =
    flags.pairs === undefined ? await runSource(run, flags.task, flags.variant) : pairsSource(run, flags.pairs);
  const stored = onlyOne(run, circuitsOf(run, source, flags));
  const { task } = stored;
  const edits = typed.map((made) => ({ ...made, node: nodeNamed(made.node, stored.circuit) }));
  const { config, params } = source.stored;
  const wiring = new Wiring(config, params);
  const start = restoreCircuit(stored.circuit, wiring);
  const steps = applyEdits(start, edits, wiring);
  if (!supports(config) && edits.some(({ action }) => action === "scale")) {
    throw inputError(
      "scale-unsupported",
      "nodes of a model whose residual stream is cut cannot be scaled",
      "Leave --scale out.",
    );
  }
  const folder = flags.out === undefined ? stored.folder : path.join(flags.out, task.folder);

  if (source.trained) await prepareText(source.trained.run, source.trained.data, out, signal);
  const engine = await openEngine(flags, out);
  let circuit: Circuit;
  try {
    out.event({ event: "start", run, task: task.name, engine: engine.info });
    out.live("measuring what nodes are on average");
    circuit = editCircuit({ ...stored, source, wiring, start, steps, model: new Model(engine, source.stored) });
  } finally {
    engine.dispose();
  }
  await breathe(signal);
  ensureWritableDir(folder);
  const file = path.join(folder, CIRCUIT);
  writeFileAtomic(file, serializeCircuit(circuit));
  const dropped = steps.slice(edits.length).map(({ edit: { node } }) => node);
  print(stored.circuit, circuit, dropped, out);
  if (pathExists(path.join(folder, "report.json"))) out.notice("report.json and report.html are of the circuit before");
  out.line(`  written ${file}`);
  const circuits = flags.out ?? flags.circuits;
  const next = commandOn("verify", run, { ...flags, ...(circuits === undefined ? {} : { circuits }) });
  out.line(`  next: ${next} (what was verified before the edit no longer counts)`);
  const { nodes, edges } = circuit.counts;
  const { taskLoss, pairAccuracy } = circuit;
  out.done({ task: circuit.task.name, nodes, edges, taskLoss, pairAccuracy, dropped, circuit: file });
}

function onlyOne(run: string, circuits: readonly TaskCircuit[]): TaskCircuit {
  if (circuits.length === 1) return circuits[0]!;
  throw inputError(
    "circuit-several",
    `${run} has ${circuits.length} circuits, and one is edited at a time`,
    `Choose with --task: ${circuits.map(({ task }) => task.name).join(", ")}.`,
  );
}

/** Sizes, losses and accuracies before and after, then every edit there has been. */
function print(before: Circuit, after: Circuit, dropped: readonly string[], out: Output): void {
  const right = (title: string) => ({ title, align: "right" as const });
  const splits = ["train", "val", "test"] as const;
  const both = (name: string, of: (circuit: Circuit) => string): string[] => [name, of(before), of(after)];
  const rows = [
    both("nodes", ({ counts }) => count(counts.nodes)),
    both("edges", ({ counts }) => count(counts.edges)),
    ...splits.map((split) => both(`task loss, ${split}`, ({ taskLoss }) => nats(taskLoss[split] ?? Number.NaN))),
    ...splits.map((split) =>
      both(`pair accuracy, ${split}`, ({ pairAccuracy }) => percent(pairAccuracy[split] ?? Number.NaN)),
    ),
  ];
  out.line(out.style.bold(after.task.name));
  out.line(table([{ title: "" }, right("before"), right("after")], rows, { style: out.style }));
  out.line("  edits so far, with the test task loss after each:");
  for (const { taskLoss, ...made } of after.edits) {
    out.line(`    ${editText(made)}: ${nats(taskLoss.test ?? Number.NaN)}`);
  }
  for (const edit of after.edits.slice(before.edits.length)) out.event({ event: "edit", ...edit });
  if (dropped.length > 0) out.notice(`dropped for want of a path from input to output: ${dropped.join(", ")}`);
  if ((after.taskLoss.val ?? 0) > after.target) out.notice(`above its target ${after.target} on validation pairs`);
}

function parseScale(text: string): Edit {
  const at = text.lastIndexOf("=");
  const factor = at < 0 ? undefined : parseNumber(text.slice(at + 1));
  if (factor !== undefined) return { action: "scale", node: text.slice(0, at), factor };
  throw inputError(
    "option-value",
    `--scale: expected a node and a finite factor, but received "${text}"`,
    "Such as --scale 3.mlp.post_act:1042=1.3.",
  );
}
