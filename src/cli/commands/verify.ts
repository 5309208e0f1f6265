/** `circuit verify`: checks whether circuits are real, and writes what it found beside them. */
import type { Command } from "commander";
import { CHECKS, type CheckName, type Report } from "../../circuits/verification.ts";
import { Model } from "../../model/model.ts";
import { goalError, inputError, interruptError, type SparseError } from "../../util/errors.ts";
import { nearest } from "../../util/nearest.ts";
import type { Subject } from "../../verify/subject.ts";
import { chosenChecks } from "../../verify/verify.ts";
import { openCollection } from "../circuit-files.ts";
import { circuitsOf, commandOn, type StoredCircuitFlags, storedCircuitOptions } from "../circuit-source.ts";
import { describeEngine, type EngineFlags, engineOptions, openEngine } from "../engine.ts";
import { pairsSource, runSource } from "../extract-source.ts";
import { interruptible } from "../interrupt.ts";
import { jsonOption, wholeNumber } from "../options.ts";
import type { Output } from "../output.ts";
import { examplesText } from "../program.ts";
import { prepareText } from "../trained-run.ts";
import { printVerification } from "../verification-report.ts";
import { verifyTask } from "../verify-task.ts";

interface VerifyFlags extends EngineFlags, StoredCircuitFlags {
  readonly thorough: boolean;
  readonly checks?: readonly CheckName[];
  readonly seed: number;
  readonly peers: readonly string[];
  readonly strict: boolean;
}

export function register(command: Command, out: Output): void {
  storedCircuitOptions(command);
  command
    .option("--task <name>", "task or group (default: every circuit of the run)")
    .option("--thorough", "more pairs and draws, and the checks that search for circuits again", false)
    .option("--checks <names>", `only these, with commas: ${CHECKS.join(", ")}`, checkNames)
    .option("--seed <n>", "seed of what is drawn at random", wholeNumber("--seed"), 0)
    .option("--peers <runs...>", "other runs of the task, to compare sizes over training seeds", [])
    .option("--strict", "exit with code 3 when a check fails", false);
  engineOptions(command);
  jsonOption(command);
  command.addHelpText(
    "after",
    examplesText([
      ["circuit verify runs/quotes", "the checks that take seconds"],
      ["circuit verify runs/quotes --thorough", "all of them, with controls that search again"],
      ["circuit verify runs/quotes --checks interchange,necessity", "two of them"],
      ["circuit verify runs/quotes --thorough --peers runs/quotes-1 runs/quotes-2", "sizes over training seeds too"],
    ]),
  );
  command.action((dir: string, flags: VerifyFlags) => interruptible(out, (signal) => run(dir, flags, out, signal)));
}

async function run(dir: string, flags: VerifyFlags, out: Output, signal: AbortSignal): Promise<void> {
  const started = performance.now();
  const source =
    flags.pairs === undefined ? await runSource(dir, flags.task, flags.variant) : pairsSource(dir, flags.pairs);
  const found = circuitsOf(dir, source, flags);
  if (source.trained) await prepareText(source.trained.run, source.trained.data, out, signal);
  const form = flags.thorough ? "thorough" : "short";
  if (flags.peers.length > 0 && !(flags.checks?.includes("stability") ?? flags.thorough)) {
    out.notice("--peers is for the check stability, which is not run: add --thorough, or stability to --checks");
  }
  const engine = await openEngine(flags, out);
  const failed: string[] = [];
  try {
    out.line(`${out.style.bold(`Verifying the circuits of ${dir}`)} with the ${describeEngine(engine.info)}`);
    const model = new Model(engine, source.stored);
    const text = source.text();
    for (const { task, folder, circuit } of found) {
      const peers = flags.peers.flatMap((place) => peerOf(place, task.name));
      const { seed, checks: only } = flags;
      const job = { source, task, circuit, folder, model, text, form, seed, only, peers, out, signal } as const;
      const { report, files } = await verifyTask(job).catch((error: unknown) => {
        throw signal.aborted ? interruptError(`interrupted: what was verified of ${task.name} before stays`) : error;
      });
      out.event({ event: "verification", ...report, files });
      printVerification(report, out);
      out.line(`written ${files.report} and ${files.page}`);
      const fails = report.checks.filter(({ name, verdict }) => verdict === "fail" && (only?.includes(name) ?? true));
      const unfinished =
        signal.aborted && interrupted(dir, report, { ...flags, ...(flags.pairs ? {} : { task: task.name }) });
      if (unfinished) throw unfinished;
      if (fails.length > 0) failed.push(`${task.name} (${fails.map(({ name }) => name).join(", ")})`);
    }
  } finally {
    engine.dispose();
  }
  const seconds = (performance.now() - started) / 1000;
  out.done(
    { run: dir, tasks: found.map(({ task }) => task.name), failed, seconds },
    flags.strict ? failure(failed) : undefined,
  );
}

/** Says how to go on with what was not finished; undefined when all was. */
function interrupted(dir: string, { checks, form, seed }: Report, flags: VerifyFlags): SparseError | undefined {
  const left = chosenChecks({ form, only: flags.checks }).filter(
    (name) => !checks.some((check) => check.name === name),
  );
  if (left.length === 0) return undefined;
  const command = [
    commandOn("verify", dir, flags),
    ...(form === "thorough" ? ["--thorough"] : []),
    ...(seed === 0 ? [] : ["--seed", seed]),
    ...["--checks", left.map((name) => name.replaceAll(" ", "-")).join(",")],
  ];
  return interruptError("interrupted: the checks that were finished are kept", `The others: ${command.join(" ")}`);
}

function failure(failed: readonly string[]): SparseError | undefined {
  if (failed.length === 0) return undefined;
  return goalError("verification-failed", `checks failed of ${failed.join(", ")}`, "The reports say why.");
}

/** The size of another run's circuit. */
function peerOf(place: string, task: string): Subject["peers"] {
  const circuit = openCollection(place).circuits.get(task);
  if (circuit) return [{ run: place, nodes: circuit.counts.nodes, edges: circuit.counts.edges }];
  throw inputError(
    "circuit-missing",
    `--peers: ${place} has no circuit of ${task}`,
    "Extract it, or leave the run out.",
  );
}

/** Names of checks with commas between; hyphens may stand for spaces. */
function checkNames(typed: string): readonly CheckName[] {
  return typed.split(",").map((part) => {
    const name = part.trim().toLowerCase().replaceAll("-", " ");
    const known = CHECKS.find((check) => check === name);
    if (known) return known;
    throw inputError(
      "unknown-check",
      `--checks: there is no check "${part.trim()}"`,
      `Did you mean "${nearest(name, CHECKS)}"? Checks: ${CHECKS.join(", ")}.`,
    );
  });
}
