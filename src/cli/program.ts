/**
 * The frame of both programs: commands that load when they are used, help, exit codes, and errors in one form.
 *
 * Exit codes: 0 done; 1 a defect of the tool; 2 wrong usage or bad input; 3 the job ran and missed its goal; 130
 * interrupted.
 */
import { Command, type CommanderError } from "commander";
import { packageVersion } from "../runs/env.ts";
import { inputError } from "../util/errors.ts";
import { nearest } from "../util/nearest.ts";
import { stopRunningJob } from "./interrupt.ts";
import { Output } from "./output.ts";

/** What the module of a command exports: adds arguments, options, help and the action to its command. */
export interface CommandModule {
  readonly register: (command: Command, out: Output) => void;
}

interface CommandEntry {
  readonly name: string;
  /** One line for the program's help. */
  readonly summary: string;
  /** What the command does; none for a word that only groups others. */
  readonly load?: () => Promise<CommandModule>;
  /** Commands under this word, such as `corpus stats`. */
  readonly commands?: readonly CommandEntry[];
}

export interface ProgramSpec {
  readonly name: string;
  readonly description: string;
  /** Shown after the program's help. */
  readonly examples: readonly Example[];
  readonly commands: readonly CommandEntry[];
}

/** A command line and what it does. */
export type Example = readonly [line: string, what: string];

const EXIT_CODES = `
Exit codes: 0 done, 1 defect of the tool, 2 wrong usage or bad input, 3 goal not reached, 130 interrupted.`;

/** Text for `addHelpText("after", ...)`. */
export function examplesText(examples: readonly Example[]): string {
  const width = Math.max(...examples.map(([line]) => line.length));
  return ["", "Examples:", ...examples.map(([line, what]) => `  ${line.padEnd(width)}  ${what}`)].join("\n");
}

/** Runs a program and sets the exit code of the process; never throws. */
export async function runProgram(spec: ProgramSpec, argv: readonly string[] = process.argv.slice(2)): Promise<void> {
  const { stdout, stderr, env } = process;
  for (const stream of [stdout, stderr]) stream.on("error", onStreamError);
  const out = new Output({ json: argv.includes("--json"), stdout, stderr, env });
  await execute(spec, argv, out);
  process.exitCode = out.exitCode;
}

/** Runs a program on an output, which then has the exit code; help goes to the process's streams. */
export async function execute(spec: ProgramSpec, argv: readonly string[], out: Output): Promise<void> {
  try {
    const words = withoutHelpCommand(spec.commands, argv);
    const program = await buildProgram(spec, words, out);
    await program.parseAsync([...words], { from: "user" });
  } catch (error) {
    if (error instanceof Shown) out.exitCode = error.exitCode;
    else out.fail(error);
  }
}

let pipeEnded = false;

/** The reader of a pipe went away (`| head`): a job stops as on Ctrl-C, anything else is over. */
function onStreamError(error: NodeJS.ErrnoException): void {
  if (error.code !== "EPIPE") throw error;
  if (pipeEnded) return;
  pipeEnded = true;
  if (!stopRunningJob()) process.exit(0);
}

/** Help or version was printed and nothing is left to do. */
class Shown extends Error {
  readonly exitCode: number;
  constructor(exitCode: number) {
    super("shown");
    this.exitCode = exitCode;
  }
}

/** The commands of a program; only the one that `argv` names has its options. */
async function buildProgram(spec: ProgramSpec, argv: readonly string[], out: Output): Promise<Command> {
  const program = new Command(spec.name)
    .description(spec.description)
    .version(packageVersion(), "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .helpCommand("help [command]", "print the help of a command")
    .addHelpText("after", `${examplesText(spec.examples)}\n${EXIT_CODES}`)
    .showSuggestionAfterError(false)
    .configureOutput({ outputError: () => {} });
  program.exitOverride((error) => onCommanderExit(error, program));
  await addCommands(program, spec.commands, argv, out);
  return program;
}

/** `help corpus stats` and `corpus help stats` as `corpus stats --help`: commander's own `help` knows one word. */
function withoutHelpCommand(entries: readonly CommandEntry[], [typed, ...rest]: readonly string[]): string[] {
  if (typed === undefined) return [];
  if (typed === "help" && entries.some(({ name }) => name === rest[0])) return [...rest, "--help"];
  const under = entries.find(({ name }) => name === typed)?.commands;
  return [typed, ...(under ? withoutHelpCommand(under, rest) : rest)];
}

async function addCommands(
  parent: Command,
  entries: readonly CommandEntry[],
  [typed, ...rest]: readonly string[],
  out: Output,
): Promise<void> {
  for (const { name, summary, load, commands = [] } of entries) {
    const command = parent.command(name).summary(summary).description(summary);
    command.helpOption("-h, --help", "print this help");
    command.exitOverride((error) => onCommanderExit(error, command));
    await addCommands(command, commands, name === typed ? rest : [], out);
    if (name === typed) (await load?.())?.register(command, out);
  }
}

const USAGE = 2;

/** Commander's ways to leave as the tool's own: usage errors name the nearest valid word. */
function onCommanderExit(error: CommanderError, command: Command): never {
  const { code, exitCode } = error;
  if (exitCode === 0) throw new Shown(0);
  // A program without a command prints its help.
  if (code === "commander.help") throw new Shown(USAGE);
  const message = error.message.replace(/^error: /, "");
  throw inputError(code.replace("commander.", "usage-"), message, usageHint(code, message, command), error);
}

function usageHint(code: string, message: string, command: Command): string {
  const typed = /'([^']*)'/.exec(message)?.[1] ?? "";
  const see = `See \`${fullName(command)} --help\`.`;
  const names =
    code === "commander.unknownOption"
      ? command
          .createHelp()
          .visibleOptions(command)
          .map(({ long }) => long)
      : code === "commander.unknownCommand"
        ? command.commands.map((sub) => sub.name())
        : [];
  const near = nearest(
    typed.replace(/=.*/, ""),
    names.filter((name) => name !== undefined),
  );
  return near === undefined ? see : `Did you mean "${near}"? ${see}`;
}

function fullName(command: Command): string {
  return command.parent === null ? command.name() : `${fullName(command.parent)} ${command.name()}`;
}
