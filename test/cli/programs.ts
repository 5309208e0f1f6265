/** Runs commands inside the test's process, for what needs no process of its own. */

import { Output } from "../../src/cli/output.ts";
import { type CommandModule, execute } from "../../src/cli/program.ts";

export interface Printed {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** An output that remembers, and what it holds. */
export function recorder({ json = false, isTTY = false, rows = 24, env = {} } = {}) {
  const text = { stdout: "", stderr: "" };
  const sink = (name: keyof typeof text) => ({
    isTTY,
    columns: 80,
    rows,
    write: (part: string) => {
      text[name] += part;
    },
  });
  const out = new Output({ json, stdout: sink("stdout"), stderr: sink("stderr"), env });
  return { out, text };
}

const load = (file: string) => () => import(`../../src/cli/commands/${file}.ts`) as Promise<CommandModule>;

function group(name: string, ...commands: readonly string[]) {
  return commands.map((command) => ({ name: command, summary: command, load: load(`${name}-${command}`) }));
}

const SPARSE = [
  ...["train", "eval", "forward", "plot"].map((name) => ({ name, summary: name, load: load(name) })),
  { name: "tasks", summary: "tasks", load: load("tasks"), commands: group("tasks", "show") },
  { name: "corpus", summary: "corpus", commands: group("corpus", "show", "stats") },
  { name: "tokenizer", summary: "tokenizer", commands: group("tokenizer", "train") },
];
const CIRCUIT = [
  ...["extract", "verify", "show", "edit", "label", "compare", "export", "overview"].map((name) => ({
    name,
    summary: name,
    load: load(name),
  })),
  { name: "plot", summary: "plot", load: load("plot-circuit") },
];

const program = (name: string, commands: typeof SPARSE) => {
  const spec = { name, description: "", examples: [[name, ""]] as const, commands };
  return async (...argv: readonly string[]): Promise<Printed> => {
    const { out, text } = recorder({ json: argv.includes("--json") });
    await execute(spec, argv, out);
    return { code: out.exitCode, ...text };
  };
};

/** `sparse`. */
export const run = program("sparse", SPARSE);
/** `circuit`. */
export const runCircuit = program("circuit", CIRCUIT);
