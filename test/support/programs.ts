/** Programs of the system that read what we write: TeX, Poppler, Graphviz, networkx. Absent ones are for callers to skip. */
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import { python } from "./python.ts";

function installed(command: string, flag: string): boolean {
  return spawnSync(command, [flag], { stdio: "ignore" }).error === undefined;
}

export const hasLatex = installed("pdflatex", "--version");
export const hasPoppler = installed("pdftoppm", "-v");
export const hasGraphviz = installed("dot", "-V");
export const hasNetworkx = python !== undefined && spawnSync(python, ["-c", "import networkx"]).status === 0;

/** Standard output. @throws what the program said, when it failed. */
export function call(command: string, args: readonly string[], input = ""): string {
  const run = spawnSync(command, args, { input, encoding: "utf8", maxBuffer: 1 << 28 });
  if (run.status !== 0) throw new Error(`${command} ${args.join(" ")}\n${run.stderr}\n${run.stdout.slice(-2000)}`);
  return run.stdout;
}

/** The PDF that pdflatex makes of a document in `folder`. */
export function compile(folder: string, name: string, text: string): Uint8Array {
  fs.writeFileSync(path.join(folder, `${name}.tex`), text);
  const options = ["-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", `-output-directory=${folder}`];
  call("pdflatex", [...options, path.join(folder, `${name}.tex`)]);
  return fs.readFileSync(path.join(folder, `${name}.pdf`));
}

/** By how many points lines of the document compiled last are wider than its text. */
export function overfull(folder: string, name: string): number[] {
  const log = fs.readFileSync(path.join(folder, `${name}.log`), "latin1");
  return [...log.matchAll(/Overfull \\hbox \(([\d.]+)pt/g)].map((m) => Number(m[1]));
}
