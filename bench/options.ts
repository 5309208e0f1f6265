/** The benchmark's command line. Everything wrong is an input error that names the nearest right thing. */
import { parseArgs } from "node:util";
import { ENGINE_CHOICES, type EngineChoice } from "../src/engine/select.ts";
import { inputError } from "../src/util/errors.ts";
import { nearest } from "../src/util/nearest.ts";
import { type Case, findCase } from "./cases.ts";
import { type Mode, parseMode } from "./mode.ts";

export const USAGE = `npm run bench -- [options]            a training step against PyTorch
npm run bench -- <command> [options]

  compare   a training step against PyTorch (the default)
  ops       where our step spends its time
  pruning   a pruning step (masks only, no weight gradients) against our training step
  threads   our step on 1, 2, ... all threads
  isa       our step with each instruction set of this machine
  scaling   time and memory against nonzeros and against width, as a table and as plots
  limits    what this machine's cores and memory can do

  --case S,M,XS         cases to run: S, M, XS, default, tiny (default: S,XS; pruning, threads and isa: S)
  --density 1/16,...    densities (default: the case's own; pruning, threads and isa: the lowest of them)
  --mode exact,every-10 how gradients of zero weights are computed: in every step, or in every n-th (default: exact)
  --dense-grad-every N  the same as --mode every-N
  --engine NAME         of our side in compare and ops: native, tensorflow, tensorflow:wasm, ... (default: native)
  --threads N           threads of both sides (default: 2, or fewer if the machine has fewer; threads: all)
  --blas-threads N      threads of PyTorch's matrix products when they are OpenBLAS's (default: 1)
  --steps N             samples, 5 or more (default: 7): a step, or with every-n the mean of n steps
  --warmup N            steps before (default: 3)
  --busy N              of threads: processes that spin beside it (default: 0)
  --out DIR             of scaling: where the plots go (default: docs/figures)
  --no-peer             our side alone
  --json                one JSON object a line
  --help`;

const COMMANDS = ["compare", "ops", "pruning", "threads", "isa", "scaling", "limits"] as const;
export type Command = (typeof COMMANDS)[number];

interface Flag {
  readonly type: "string" | "boolean";
  /** Commands that have it; default: all. */
  readonly of?: readonly Command[];
}

const OF_CASES = ["compare", "ops", "pruning", "threads", "isa"] as const satisfies readonly Command[];

const FLAGS: Readonly<Record<string, Flag>> = {
  case: { type: "string", of: OF_CASES },
  density: { type: "string", of: OF_CASES },
  mode: { type: "string", of: ["compare", "ops", "threads", "isa", "scaling"] },
  "dense-grad-every": { type: "string", of: ["compare", "ops", "threads", "isa", "scaling"] },
  engine: { type: "string", of: ["compare", "ops"] },
  threads: { type: "string" },
  "blas-threads": { type: "string", of: ["compare"] },
  steps: { type: "string" },
  warmup: { type: "string" },
  busy: { type: "string", of: ["threads"] },
  out: { type: "string", of: ["scaling"] },
  "no-peer": { type: "boolean", of: ["compare"] },
  json: { type: "boolean" },
  help: { type: "boolean" },
};

export interface Options {
  readonly command: Command;
  readonly cases: readonly Case[];
  /** Undefined: each case's own. */
  readonly densities: readonly number[] | undefined;
  readonly modes: readonly Mode[];
  readonly engine: EngineChoice;
  readonly threads: number;
  readonly blasThreads: number;
  readonly steps: number;
  readonly warmup: number;
  readonly busy: number;
  readonly out: string;
  readonly peer: boolean;
  readonly json: boolean;
  readonly help: boolean;
}

function oneOf<T extends string>(what: string, text: string, names: readonly T[]): T {
  const found = names.find((name) => name === text);
  if (found) return found;
  throw inputError(
    `unknown-${what}`,
    `There is no ${what} "${text}"; there are ${names.join(", ")}`,
    `Did you mean "${nearest(text, names)}"?`,
  );
}

function wholeNumber(flag: string, text: string | undefined, fallback: number, least: number): number {
  const n = text === undefined ? fallback : Number(text);
  if (Number.isInteger(n) && n >= least) return n;
  throw inputError(
    "option-value",
    `--${flag}: expected a whole number, ${least} or more, but received ${text}`,
    "Correct the value.",
  );
}

/** 0.0625 or 1/16 */
function density(text: string): number {
  const match = /^(\d*\.?\d+)(?:\/(\d+))?$/.exec(text.trim());
  const value = match ? Number(match[1]) / Number(match[2] ?? 1) : Number.NaN;
  if (value > 0 && value <= 1) return value;
  throw inputError(
    "option-value",
    `--density: expected a number over 0 and at most 1 but received "${text}"`,
    "Write 1/16 or 0.0625.",
  );
}

function parse(args: readonly string[]): { values: Partial<Record<string, string | boolean>>; words: string[] } {
  const { values, positionals, tokens } = parseArgs({
    args: [...args],
    options: FLAGS,
    allowPositionals: true,
    strict: false,
    tokens: true,
  });
  for (const token of tokens) {
    if (token.kind !== "option") continue;
    const flag = FLAGS[token.name];
    if (!flag) {
      const near = nearest(token.name, Object.keys(FLAGS));
      throw inputError("unknown-option", `There is no option "${token.rawName}"`, `Did you mean "--${near}"?`);
    }
    if ((flag.type === "string") !== (token.value !== undefined)) {
      const what = flag.type === "string" ? "needs a value" : "takes no value";
      throw inputError("option-value", `Option ${token.rawName} ${what}`, "See --help.");
    }
  }
  return { values, words: positionals };
}

/** `available`: threads of this machine. */
export function parseOptions(args: readonly string[], available: number): Options {
  const { values, words } = parse(args);
  const text = (flag: string): string | undefined => values[flag] as string | undefined;
  const command = oneOf("command", words[0] ?? "compare", COMMANDS);
  if (words.length > 1) throw inputError("unknown-argument", `Unexpected "${words[1]}"`, "See --help.");
  for (const name of Object.keys(values)) {
    const { of } = FLAGS[name]!;
    if (of && !of.includes(command)) {
      throw inputError("option-command", `Option --${name} is not for "${command}"`, `It is for ${of.join(", ")}.`);
    }
  }
  const own = command === "compare" || command === "ops";
  const cases = (text("case") ?? (own ? "S,XS" : "S")).split(",").map((name) => findCase(name.trim()));
  const threads = command === "threads" ? available : Math.min(2, available);
  return {
    command,
    cases,
    densities: text("density")?.split(",").map(density),
    modes: modes(text("mode"), text("dense-grad-every"), command),
    engine: oneOf("engine", text("engine") ?? "native", ENGINE_CHOICES),
    threads: threadCount(wholeNumber("threads", text("threads"), threads, 1), available),
    blasThreads: wholeNumber("blas-threads", text("blas-threads"), 1, 1),
    steps: wholeNumber("steps", text("steps"), 7, 5),
    warmup: wholeNumber("warmup", text("warmup"), 3, 1),
    busy: wholeNumber("busy", text("busy"), 0, 0),
    out: text("out") ?? "docs/figures",
    peer: values["no-peer"] !== true,
    json: values.json === true,
    help: values.help === true,
  };
}

function modes(listed: string | undefined, every: string | undefined, command: Command): Mode[] {
  if (listed !== undefined && every !== undefined) {
    throw inputError("option-value", "--mode and --dense-grad-every say the same", "Give one of them.");
  }
  if (every !== undefined) {
    const n = wholeNumber("dense-grad-every", every, 1, 1);
    return [n === 1 ? "exact" : parseMode(`every-${n}`)];
  }
  return (listed ?? (command === "scaling" ? "exact,every-10" : "exact")).split(",").map((m) => parseMode(m.trim()));
}

function threadCount(n: number, available: number): number {
  if (n <= available) return n;
  throw inputError("threads", `Asked for ${n} threads but this machine has ${available}`, `Choose 1 to ${available}.`);
}
