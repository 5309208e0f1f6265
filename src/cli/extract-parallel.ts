/**
 * Extraction of several tasks at once: each in a process of its own with one thread, since a search is one long chain of
 * small evaluations. The processes say what they do in events, and write the same files as they would alone.
 */
import { type ChildProcess, spawn } from "node:child_process";
import * as path from "node:path";
import { createInterface } from "node:readline";
import { readCircuit } from "../circuits/file.ts";
import { oneLine } from "../circuits/layout/text.ts";
import { type ExitCode, SparseError } from "../util/errors.ts";
import { type Outcome, outcomeFields, printNext, printOutcome } from "./circuit-report.ts";
import type { ExtractableTask, ExtractSource } from "./extract-source.ts";
import type { Output } from "./output.ts";
import { clock } from "./render.ts";
import { indented } from "./verification-report.ts";

export interface ParallelExtraction {
  readonly dir: string;
  readonly source: ExtractSource;
  /** Of each task: the folder of its files, and what to give to `circuit show`. */
  readonly places: readonly { readonly folder: string; readonly show: string }[];
  readonly target: number;
  /** Options of `circuit extract`, as they were given. */
  readonly args: readonly string[];
  readonly jobs: number;
  readonly out: Output;
  readonly signal: AbortSignal;
}

export async function extractInParallel(job: ParallelExtraction): Promise<Outcome[]> {
  const { source, jobs, out, signal, dir, target } = job;
  const started = performance.now();
  out.event({ event: "start", run: dir, tasks: source.tasks.map(({ name }) => name), target, jobs });
  out.line(`${out.style.bold(`Extracting from ${dir}`)}: ${source.tasks.length} tasks, ${jobs} at a time`);
  const outcomes: (Outcome | undefined)[] = source.tasks.map(() => undefined);
  const running = new Map<ChildProcess, string>();
  const told = new Set<string>();
  const stop = (): void => {
    for (const child of running.keys()) child.kill("SIGINT");
  };
  signal.addEventListener("abort", stop);
  const tell = (): void => {
    const done = outcomes.filter((outcome) => outcome !== undefined).length;
    const seconds = (performance.now() - started) / 1000;
    const left = done > 0 ? `, about ${clock((seconds / done) * (source.tasks.length - done))} left` : "";
    out.live(`${done} of ${source.tasks.length} tasks done, now ${[...running.values()].join(", ")}${left}`);
  };
  const timer = setInterval(tell, 500);
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < source.tasks.length && !signal.aborted) {
      const i = next++;
      const task = source.tasks[i]!;
      const { folder, show } = job.places[i]!;
      const outcome = await extractAlone(job, task, folder, { running, told });
      outcomes[i] = outcome;
      out.event({ event: "circuit", ...outcomeFields(outcome) });
      printOutcome(outcome, out);
      const { verification } = outcome.circuit ?? {};
      if (verification) out.line(indented(oneLine(`verified: ${verification.summary}`), out.width));
      printNext(outcome, show, out);
    }
  };
  try {
    await Promise.all(Array.from({ length: jobs }, worker));
  } finally {
    clearInterval(timer);
    signal.removeEventListener("abort", stop);
  }
  return outcomes.filter((outcome) => outcome !== undefined);
}

/** One task in a process of its own. */
async function extractAlone(
  { dir, args, out }: ParallelExtraction,
  task: ExtractableTask,
  folder: string,
  { running, told }: { running: Map<ChildProcess, string>; told: Set<string> },
): Promise<Outcome> {
  const program = [...process.execArgv, process.argv[1]!];
  const own = ["extract", dir, "--task", task.name, "--json", "--threads", "1", "--jobs", "1"];
  // In a group of its own: the terminal's Ctrl-C reaches it once, through this process.
  const child = spawn(process.execPath, [...program, ...own, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  running.set(child, task.name);
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  let done: Done | undefined;
  let failure: SparseError | undefined;
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  for await (const line of createInterface({ input: child.stdout })) {
    const event = JSON.parse(line) as Done | ErrorEvent | Notice | OtherEvent;
    if (event.event === "done") done = event;
    if (event.event === "error") failure = failureOf(event);
    if (event.event === "notice" && !told.has(event.message)) {
      told.add(event.message);
      out.notice(event.message);
    }
  }
  const code = await ended;
  running.delete(child);
  if (!done && !failure) {
    failure = new SparseError(1, "internal", `Task ${task.name}: its process ended with ${code}`, lastLine(stderr));
  }
  const file = path.join(folder, "circuit.json");
  const circuit = done?.circuit ? readCircuit(file) : undefined;
  const { target, fullTaskLoss, seeds, seconds } = done ?? { ...UNKNOWN, target: Number.NaN };
  const interrupted = failure?.exitCode === INTERRUPTED ? undefined : failure;
  const where = circuit && file;
  return { task: task.name, target, circuit, path: where, fullTaskLoss, seeds, seconds, failure: interrupted };
}

type Done = Pick<Outcome, "target" | "fullTaskLoss" | "seeds" | "seconds"> & {
  readonly event: "done";
  readonly circuit: string | null;
};

interface OtherEvent {
  readonly event: "start" | "seed" | "circuit";
}

interface Notice {
  readonly event: "notice";
  readonly message: string;
}

interface ErrorEvent {
  readonly event: "error";
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
  readonly exitCode: ExitCode;
}

const INTERRUPTED = 130;
const UNKNOWN = { fullTaskLoss: { train: Number.NaN, val: Number.NaN, test: Number.NaN }, seeds: [], seconds: 0 };

function failureOf({ exitCode, code, message, hint }: ErrorEvent): SparseError {
  return new SparseError(exitCode, code, message, hint);
}

function lastLine(text: string): string | undefined {
  return text.trim().split("\n").pop() || undefined;
}
