/** The benchmark's command line. Everything wrong is an input error that names the nearest right thing. */
import { parseArgs } from "node:util";
import { inputError } from "../src/util/errors.ts";
import { nearest } from "../src/util/nearest.ts";
import { type Case, findCase } from "./cases.ts";

export const USAGE = `npm run bench -- [options]        a training step against PyTorch
npm run bench -- ops [options]    where our step spends its time

  --case S,M,XS       cases to run: S, M, XS, default, tiny (default: S,XS)
  --density 1/16,...  densities instead of the case's own
  --mode exact        how weight gradients are computed; only exact for now
  --threads N         threads of both sides (default: 2, or fewer if the machine has fewer)
  --blas-threads N    threads of PyTorch's matrix products when they are OpenBLAS's (default: 1)
  --steps N           measured steps, 5 or more (default: 7)
  --warmup N          steps before (default: 3)
  --no-peer           our side alone
  --json              one JSON object a line
  --help`;

const COMMANDS = ["compare", "ops"] as const;
export type Command = (typeof COMMANDS)[number];

const FLAGS = {
  case: { type: "string" },
  density: { type: "string" },
  mode: { type: "string" },
  threads: { type: "string" },
  "blas-threads": { type: "string" },
  steps: { type: "string" },
  warmup: { type: "string" },
  "no-peer": { type: "boolean" },
  json: { type: "boolean" },
  help: { type: "boolean" },
} as const;

const MODES = ["exact"] as const;
export type Mode = (typeof MODES)[number];

export interface Options {
  readonly command: Command;
  readonly cases: readonly Case[];
  /** Undefined: each case's own. */
  readonly densities: readonly number[] | undefined;
  readonly mode: Mode;
  readonly threads: number;
  readonly blasThreads: number;
  readonly steps: number;
  readonly warmup: number;
  readonly peer: boolean;
  readonly json: boolean;
  readonly help: boolean;
}

function oneOf<T extends string>(what: string, text: string, names: readonly T[]): T {
  const found = names.find((name) => name === text);
  if (found) return found;
  throw inputError(
    `unknown-${what}`,
    `There is no ${what} "${text}"; there is ${names.join(", ")}`,
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
    const flag = FLAGS[token.name as keyof typeof FLAGS];
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
  return {
    command,
    cases: (text("case") ?? "S,XS").split(",").map((name) => findCase(name.trim())),
    densities: text("density")?.split(",").map(density),
    mode: oneOf("mode", text("mode") ?? "exact", MODES),
    threads: wholeNumber("threads", text("threads"), Math.min(2, available), 1),
    blasThreads: wholeNumber("blas-threads", text("blas-threads"), 1, 1),
    steps: wholeNumber("steps", text("steps"), 7, 5),
    warmup: wholeNumber("warmup", text("warmup"), 3, 1),
    peer: values["no-peer"] !== true,
    json: values.json === true,
    help: values.help === true,
  };
}
