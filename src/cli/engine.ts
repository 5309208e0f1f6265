/** The options --engine and --threads, and opening the engine that they choose. */
import { availableParallelism } from "node:os";
import { type Command, Option } from "commander";
import type { Engine, EngineInfo } from "../engine/engine.ts";
import { createEngine, ENGINE_CHOICES, type EngineChoice } from "../engine/select.ts";
import { oneOf, wholeNumber } from "./options.ts";
import type { Output } from "./output.ts";
import { plural } from "./render.ts";

export interface EngineFlags {
  readonly engine: EngineChoice;
  readonly threads?: number;
}

/** Adds the two options to a command. */
export function engineOptions(command: Command): Command {
  return command
    .addOption(
      new Option("--engine <name>", `what computes: ${ENGINE_CHOICES.join(", ")}`)
        .default("auto" satisfies EngineChoice, "auto")
        .argParser(oneOf("--engine", ENGINE_CHOICES)),
    )
    .addOption(
      new Option(
        "--threads <n>",
        `threads of the native engine; results do not depend on it (default: all ${availableParallelism()})`,
      ).argParser(wholeNumber("--threads", 1)),
    );
}

/** Opens the chosen engine; says so when it is not the one to expect. The caller disposes of it. */
export async function openEngine({ engine: choice, threads }: EngineFlags, out: Output): Promise<Engine> {
  const { engine, notice } = await createEngine({ engine: choice, threads });
  if (notice !== undefined) out.notice(notice);
  return engine;
}

/** `native engine (avx512, 2 threads)` */
export function describeEngine({ name, isa, threads }: EngineInfo): string {
  return `${name} engine (${isa}, ${plural(threads, "thread")})`;
}
