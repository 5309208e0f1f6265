/** The benchmark's command line. Everything wrong is an input error that names the nearest right thing. */
import { parseArgs } from "node:util";
import { ENGINE_CHOICES, type EngineChoice } from "../src/engine/select.ts";
import { inputError } from "../src/util/errors.ts";
import { nearest } from "../src/util/nearest.ts";
import { type Case, findCase } from "./cases.ts";
import { METHODS, type Method } from "./ground-truth/methods.ts";
import { HEAD_WIDTH, LEAST_WIDTH } from "./ground-truth/plant.ts";
import { SHAPES, type Shape } from "./ground-truth/shapes.ts";
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
  search        ways to find the circuits of trained runs (--run), side by side
  ground-truth  what this tool's search and others find of circuits planted in models

  --case S,M,XS         cases to run: S, M, XS, default, tiny (default: S,XS; pruning, threads and isa: S)
  --density 1/16,...    densities (default: the case's own; pruning, threads and isa: the lowest of them; ground-truth: 1/16)
  --mode exact,every-10 how gradients of zero weights are computed: in every step, or in every n-th (default: exact)
  --dense-grad-every N  the same as --mode every-N
  --engine NAME         of our side in compare and ops: native, tensorflow, tensorflow:wasm, ... (default: native)
  --threads N           threads of both sides (default: 2, or fewer if the machine has fewer; threads: all)
  --blas-threads N      threads of PyTorch's matrix products when they are OpenBLAS's (default: 1)
  --steps N             samples, 5 or more (default: 7): a step, or with every-n the mean of n steps
  --warmup N            steps before (default: 3)
  --busy N              of threads: processes that spin beside it (default: 0)
  --out DIR             of scaling: where the plots go (default: docs/figures)
  --shape copy,...      of ground-truth: copy, binding, counting, and, xor (default: all)
  --width 32,...        of ground-truth: residual channels of the models (default: 32,64,128)
  --noise 0,...         of ground-truth: what distractors write into planted channels, where codes are +-1 (default: 0,0.1)
  --seeds N             of ground-truth: models of each kind; of search: seeds of each way (default: 1)
  --method pruner,...   of ground-truth: pruner, attribution, paper, random (default: all)
  --mask-steps N        of ground-truth, search: steps of the paper's learned masks (default: 300)
  --run runs/a,...      of search: finished runs
  --task NAME           of search: one of the runs' tasks (default: all)
  --no-peer             our side alone
  --json                one JSON object a line
  --help`;

const TIMED = ["compare", "ops", "pruning", "threads", "isa", "scaling", "limits"] as const;
const COMMANDS = [...TIMED, "ground-truth", "search"] as const;
export type Command = (typeof COMMANDS)[number];

interface Flag {
  readonly type: "string" | "boolean";
  /** Commands that have it; default: all. */
  readonly of?: readonly Command[];
}

const OF_CASES = ["compare", "ops", "pruning", "threads", "isa"] as const satisfies readonly Command[];

const FLAGS: Readonly<Record<string, Flag>> = {
  case: { type: "string", of: OF_CASES },
  density: { type: "string", of: [...OF_CASES, "ground-truth"] },
  mode: { type: "string", of: ["compare", "ops", "threads", "isa", "scaling"] },
  "dense-grad-every": { type: "string", of: ["compare", "ops", "threads", "isa", "scaling"] },
  engine: { type: "string", of: ["compare", "ops"] },
  threads: { type: "string" },
  "blas-threads": { type: "string", of: ["compare"] },
  steps: { type: "string", of: TIMED },
  warmup: { type: "string", of: TIMED },
  busy: { type: "string", of: ["threads"] },
  out: { type: "string", of: ["scaling"] },
  shape: { type: "string", of: ["ground-truth"] },
  width: { type: "string", of: ["ground-truth"] },
  noise: { type: "string", of: ["ground-truth"] },
  seeds: { type: "string", of: ["ground-truth", "search"] },
  run: { type: "string", of: ["search"] },
  task: { type: "string", of: ["search"] },
  method: { type: "string", of: ["ground-truth"] },
  "mask-steps": { type: "string", of: ["ground-truth", "search"] },
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
  readonly shapes: readonly Shape[];
  readonly widths: readonly number[];
  readonly noises: readonly number[];
  readonly seeds: number;
  readonly runs: readonly string[];
  readonly task: string | undefined;
  readonly methods: readonly Method[];
  readonly maskSteps: number;
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

function list<T, F>(text: string | undefined, fallback: F, parse: (item: string) => T): T[] | F {
  return text === undefined ? fallback : text.split(",").map((item) => parse(item.trim()));
}

function modelWidth(text: string): number {
  const width = wholeNumber("width", text, 0, LEAST_WIDTH);
  if (width % HEAD_WIDTH === 0) return width;
  throw inputError("option-value", `--width: ${width} is not a multiple of ${HEAD_WIDTH}`, "Heads have that width.");
}

function noise(text: string): number {
  const value = text === "" ? Number.NaN : Number(text);
  if (value >= 0 && value < 1) return value;
  throw inputError(
    "option-value",
    `--noise: expected a number from 0 to under 1 but received "${text}"`,
    "Planted codes are +-1; at 0.1 the models still do their tasks.",
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
    densities: list(text("density"), undefined, density),
    modes: modes(text("mode"), text("dense-grad-every"), command),
    engine: oneOf("engine", text("engine") ?? "native", ENGINE_CHOICES),
    threads: threadCount(wholeNumber("threads", text("threads"), threads, 1), available),
    blasThreads: wholeNumber("blas-threads", text("blas-threads"), 1, 1),
    steps: wholeNumber("steps", text("steps"), 7, 5),
    warmup: wholeNumber("warmup", text("warmup"), 3, 1),
    busy: wholeNumber("busy", text("busy"), 0, 0),
    out: text("out") ?? "docs/figures",
    shapes: list(text("shape"), SHAPES, (name) => oneOf("shape", name, SHAPES)),
    widths: list(text("width"), [32, 64, 128], modelWidth),
    noises: list(text("noise"), [0, 0.1], noise),
    seeds: wholeNumber("seeds", text("seeds"), 1, 1),
    methods: list(text("method"), METHODS, (name) => oneOf("method", name, METHODS)),
    maskSteps: wholeNumber("mask-steps", text("mask-steps"), 300, 1),
    runs: text("run")?.split(",") ?? [],
    task: text("task"),
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
