/** The benchmark: `npm run bench`. Results on stdout, everything else on stderr; exit code 2 for wrong usage. */
import { availableParallelism, cpus, loadavg } from "node:os";
import { createEngine } from "../src/engine/select.ts";
import { SparseError } from "../src/util/errors.ts";
import { checkAgreement } from "./agreement.ts";
import { compare, type Result } from "./compare.ts";
import { profile } from "./ops.ts";
import { type Options, parseOptions, USAGE } from "./options.ts";
import { compareTable, densityText, opsTable } from "./render.ts";
import { findTorch, SLOW_BLAS, TORCH_MISSING } from "./sides.ts";

const say = (text: string): void => void process.stderr.write(`${text}\n`);
const print = (text: string): void => void process.stdout.write(`${text}\n`);

function machine(): string {
  const load = loadavg()[0]!.toFixed(1);
  return `${cpus()[0]?.model.trim() ?? "unknown CPU"}, ${availableParallelism()} cores, load ${load} before the start`;
}

async function comparison(options: Options): Promise<void> {
  const { engine } = createEngine({ engine: "native", threads: options.threads });
  const { isa, threads } = engine.info;
  say(`${machine()}; ours: ${isa}, ${threads} threads`);
  const python = options.peer ? findTorch() : undefined;
  if (options.peer && python === undefined) say(TORCH_MISSING);
  if (python !== undefined) {
    await checkAgreement(engine, python, options);
    say("Both sides compute the same step (losses and weights of 8 steps on a small model).");
  }
  const results: Result[] = [];
  for (const c of options.cases) {
    for (const density of options.densities ?? c.densities) {
      say(`${c.name} at density ${densityText(density)} ...`);
      const result = await compare(c, density, options, python);
      results.push(result);
      if (options.json) print(JSON.stringify(result));
    }
  }
  if (!options.json) print(compareTable(results));
  const first = results.find((r) => r.torch !== null);
  if (!first) return;
  say(`PyTorch ${first.torch}, ${first.threads} threads; BLAS: ${first.blas}, ${first.blasThreads} of them`);
  if (!results.every((r) => r.blasFast !== false)) say(SLOW_BLAS);
}

function ops(options: Options): void {
  const { engine } = createEngine({ engine: "native", threads: options.threads });
  for (const c of options.cases) {
    for (const density of options.densities ?? c.densities) {
      const result = profile(engine, c, density, options);
      print(options.json ? JSON.stringify(result) : `${opsTable(result)}\n`);
    }
  }
}

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2), availableParallelism());
  if (options.help) print(USAGE);
  else if (options.command === "ops") ops(options);
  else await comparison(options);
}

try {
  await main();
} catch (error) {
  if (error instanceof SparseError) {
    say(`error: ${error.message}${error.hint ? `\n${error.hint}` : ""}`);
    process.exitCode = error.exitCode;
  } else {
    say(`error: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  }
}
