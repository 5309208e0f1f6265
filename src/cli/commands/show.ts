/** `circuit show`: nodes and edges of a circuit as a table. */
import type { Command } from "commander";
import { circuitTable } from "../../circuits/table.ts";
import { openCircuits } from "../circuit-files.ts";
import { jsonOption } from "../options.ts";
import type { Output } from "../output.ts";
import { examplesText } from "../program.ts";

/** Columns when stdout is not a terminal. */
const PIPED_WIDTH = 120;

export function register(command: Command, out: Output): void {
  command
    .argument("<run>", "a run with circuits, such as runs/quotes, or the folder of a circuit.json")
    .option("--task <name>", "task or group (default: every circuit of the run)");
  jsonOption(command);
  command.addHelpText(
    "after",
    examplesText([
      ["circuit show runs/quotes", "what each node reads, writes and responds to"],
      ["circuit show runs/quotes --json", "the circuit file on one line"],
    ]),
  );
  command.action((run: string, flags: { task?: string }) => {
    const circuits = openCircuits(run, flags.task);
    circuits.forEach(({ circuit }, i) => {
      if (i > 0) out.line();
      for (const line of circuitTable(circuit, { width: process.stdout.columns ?? PIPED_WIDTH })) out.line(line);
      out.event({ event: "circuit", circuit });
    });
    out.done({ tasks: circuits.map((c) => c.task) });
  });
}
