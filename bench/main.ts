/** The benchmark: `npm run bench`. Results on stdout, everything else on stderr; exit code 2 for wrong usage. */
import { availableParallelism, cpus, loadavg } from "node:os";
import { createEngine } from "../src/engine/select.ts";
import { SparseError } from "../src/util/errors.ts";
import { checkAgreement } from "./agreement.ts";
import type { Case } from "./cases.ts";
import { compare, type Result } from "./compare.ts";
import { measureTruth, type TruthResult } from "./ground-truth/measure.ts";
import { summarize } from "./ground-truth/summary.ts";
import { measureLimits } from "./limits.ts";
import { type Mode, modesAt } from "./mode.ts";
import { profile } from "./ops.ts";
import { type Command, type Options, parseOptions, USAGE } from "./options.ts";
import { comparePruning } from "./pruning.ts";
import {
  compareTable,
  densityText,
  limitsTable,
  opsTable,
  pruningTable,
  scalingTable,
  searchTable,
  truthSummaryTable,
  truthTable,
  versionsTable,
} from "./render.ts";
import { drawScaling, measureScaling, type ScalingPoint } from "./scaling.ts";
import { compareSearches, type SearchResult } from "./search.ts";
import { findTorch, SLOW_BLAS, TORCH_MISSING } from "./sides.ts";
import { compareIsas, compareThreads } from "./versions.ts";

const say = (text: string): void => void process.stderr.write(`${text}\n`);
const print = (text: string): void => void process.stdout.write(`${text}\n`);
const printLines = (results: readonly object[]): void => {
  for (const result of results) print(JSON.stringify(result));
};

function machine(): string {
  const load = loadavg()[0]!.toFixed(1);
  return `${cpus()[0]?.model.trim() ?? "unknown CPU"}, ${availableParallelism()} cores, load ${load} before the start`;
}

/** What to measure: every case at every density in every mode. `lowest`: only the case's lowest density unless given. */
function* plan(options: Options, lowest = false): Generator<{ c: Case; density: number; mode: Mode }> {
  for (const c of options.cases) {
    for (const density of options.densities ?? (lowest ? c.densities.slice(-1) : c.densities)) {
      for (const mode of modesAt(density, options.modes, say)) {
        say(`${c.name} at density ${densityText(density)}, ${mode} ...`);
        yield { c, density, mode };
      }
    }
  }
}

async function comparison(options: Options): Promise<void> {
  const { engine } = await createEngine(options);
  const { name, isa, threads } = engine.info;
  say(`${machine()}; ours: ${name} (${isa}), ${threads} threads`);
  const python = options.peer ? findTorch() : undefined;
  if (options.peer && python === undefined) say(TORCH_MISSING);
  if (python !== undefined) {
    await checkAgreement(engine, python, options);
    say("Both sides compute the same step (losses and weights of 8 steps on a small model).");
  }
  const results: Result[] = [];
  for (const { c, density, mode } of plan(options)) {
    const result = await compare(c, density, mode, options, python);
    results.push(result);
    if (options.json) printLines([result]);
  }
  if (!options.json) print(compareTable(results));
  const first = results.find((r) => r.torch !== null);
  if (!first) return;
  say(`PyTorch ${first.torch}, ${first.threads} threads; BLAS: ${first.blas}, ${first.blasThreads} of them`);
  if (!results.every((r) => r.blasFast !== false)) say(SLOW_BLAS);
}

const COMMANDS: Record<Command, (options: Options) => Promise<void>> = {
  compare: comparison,
  ops: async (options) => {
    const { engine } = await createEngine(options);
    for (const { c, density, mode } of plan(options)) {
      const result = profile(engine, c, density, mode, options);
      print(options.json ? JSON.stringify(result) : `${opsTable(result)}\n`);
    }
  },
  pruning: async (options) => {
    say(machine());
    const results = [];
    for (const { c, density } of plan(options, true)) results.push(await comparePruning(c, density, options));
    if (options.json) printLines(results);
    else print(pruningTable(results));
  },
  threads: async (options) => {
    say(machine());
    const results = [];
    for (const { c, density, mode } of plan(options, true)) {
      results.push(...(await compareThreads(c, density, mode, options)));
    }
    if (options.json) printLines(results);
    else print(versionsTable(results));
  },
  isa: async (options) => {
    say(machine());
    const results = [];
    for (const { c, density, mode } of plan(options, true)) {
      results.push(...(await compareIsas(c, density, mode, options)));
    }
    if (options.json) printLines(results);
    else print(versionsTable(results));
  },
  scaling: async (options) => {
    say(machine());
    const points: ScalingPoint[] = [];
    for await (const point of measureScaling(options, say)) {
      points.push(point);
      if (options.json) printLines([point]);
    }
    if (!options.json) print(scalingTable(points));
    for (const file of await drawScaling(points, options.out)) say(`wrote ${file}`);
  },
  limits: async (options) => {
    say(machine());
    const results = measureLimits(options);
    if (options.json) printLines(results);
    else print(limitsTable(results));
  },
  "ground-truth": async (options) => {
    say(machine());
    const results: TruthResult[] = [];
    for await (const result of measureTruth({ ...options, densities: options.densities ?? [1 / 16] }, say)) {
      results.push(result);
      if (options.json) printLines([result]);
    }
    const summaries = summarize(results);
    if (options.json) printLines(summaries.map((summary) => ({ summary })));
    else print(`${truthTable(results)}\n\n${truthSummaryTable(summaries)}`);
  },
  search: async (options) => {
    say(machine());
    const results: SearchResult[] = [];
    for await (const result of compareSearches(options, say)) {
      results.push(result);
      if (options.json) printLines([result]);
    }
    if (!options.json) print(searchTable(results));
  },
};

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2), availableParallelism());
  if (options.help) print(USAGE);
  else await COMMANDS[options.command](options);
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
