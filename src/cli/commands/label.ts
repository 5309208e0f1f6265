/** `circuit label`: names what nodes of a circuit do, for figures and tables. */
import * as path from "node:path";
import type { Command } from "commander";
import { serializeCircuit } from "../../circuits/file.ts";
import { type Labels, labelled, labelsOf } from "../../circuits/labels.ts";
import { oneLine } from "../../circuits/layout/text.ts";
import { circuitNode } from "../../circuits/node-name.ts";
import { inputError } from "../../util/errors.ts";
import { writeFileAtomic } from "../../util/files.ts";
import { CIRCUIT, openCircuits, type StoredCircuit } from "../circuit-files.ts";
import { collect, jsonOption } from "../options.ts";
import type { Output } from "../output.ts";
import { examplesText } from "../program.ts";
import { rewritePage } from "../verify-task.ts";

interface LabelFlags {
  readonly task?: string;
  readonly remove?: readonly string[];
}

/** Characters; figures show fewer and have the rest in tooltips. */
const LONGEST = 200;

const ABOUT = `
Without names the labels are listed. A node is named by its id (0.attn.v:30), as figures show it (V.0.30), or as in the
paper (0.attn.v.head0.ch30). Figures, tables and the report page show labels; nothing is computed from them, and edits and
a new extraction from the same weights keep those of the nodes that stay.
`;

export function register(command: Command, out: Output): void {
  command
    .argument("<run>", "a run with circuits, such as runs/quotes, or the folder of a circuit.json")
    .argument("[names...]", 'a node and its label, or pairs such as V.0.30="quote detector"; an empty label removes')
    .option("--task <name>", "the task whose circuit it is, of several")
    .option("--remove <node>", "remove a node's label; repeatable", collect);
  jsonOption(command);
  command.addHelpText(
    "after",
    ABOUT +
      examplesText([
        ['circuit label runs/quotes V.0.30 "which quote it was"', "name a node"],
        ['circuit label runs/quotes 0.attn.v:30="which quote" 34="any quote"', "several"],
        ["circuit label runs/quotes --remove V.0.30", "take a name away"],
        ["circuit label runs/quotes", "the names that there are"],
      ]),
  );
  command.action((run: string, names: readonly string[], flags: LabelFlags) => label(run, names, flags, out));
}

async function label(run: string, names: readonly string[], flags: LabelFlags, out: Output): Promise<void> {
  const { task, dir, circuit } = onlyOne(run, openCircuits(run, flags.task));
  const file = path.join(dir, CIRCUIT);
  const changes = new Map<string, string>();
  const removed = flags.remove ?? [];
  for (const [name, text] of [...labelPairs(names), ...removed.map((name) => [name, ""] as const)]) {
    const { id } = circuitNode(name, circuit);
    if (changes.has(id)) throw inputError("node-twice", `${id} is named twice`, "Give each node one label.");
    changes.set(id, checked(id, text.trim()));
  }
  const all = new Map([...labelsOf(circuit), ...changes]);
  const labels: Labels = new Map([...all].filter(([, text]) => text !== ""));
  if (changes.size > 0) {
    const changed = { ...circuit, nodes: labelled(circuit.nodes, labels) };
    writeFileAtomic(file, serializeCircuit(changed));
    for (const written of [file, await rewritePage(dir, changed)]) if (written) out.line(`written ${written}`);
  }
  for (const { id } of circuit.nodes) if (labels.has(id)) out.line(`  ${id}  ${oneLine(labels.get(id)!)}`);
  if (labels.size === 0) out.line(`${task} has no labels`);
  out.done({ task, labels: Object.fromEntries(labels), circuit: file });
}

function onlyOne(run: string, circuits: readonly StoredCircuit[]): StoredCircuit {
  if (circuits.length === 1) return circuits[0]!;
  throw inputError(
    "circuit-several",
    `${run} has ${circuits.length} circuits, and one is labelled at a time`,
    `Choose with --task: ${circuits.map(({ task }) => task).join(", ")}.`,
  );
}

/** `NODE TEXT`, or pairs `NODE=TEXT`. No name of a node has `=` in it. */
function labelPairs(words: readonly string[]): (readonly [name: string, text: string])[] {
  if (words.length === 2 && !words[0]!.includes("=")) return [[words[0]!, words[1]!]];
  return words.map((word) => {
    const at = word.indexOf("=");
    if (at >= 0) return [word.slice(0, at), word.slice(at + 1)];
    throw inputError(
      "label-pair",
      `expected a node and its label, but received "${word}"`,
      'Such as V.0.30 "which quote", or V.0.30="which quote" for several; quote labels with spaces.',
    );
  });
}

function checked(id: string, text: string): string {
  if (text.length <= LONGEST) return text;
  throw inputError(
    "label-long",
    `${id}: expected a label of at most ${LONGEST} characters but received ${text.length}`,
    "Shorten it.",
  );
}
