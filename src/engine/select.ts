/**
 * Which engine runs. `auto` takes the native one and falls back to the reference with a notice that says why and what
 * to do; `native` makes its absence an error.
 */
import { availableParallelism } from "node:os";
import { inputError, SparseError } from "../util/errors.ts";
import type { Engine, EngineName } from "./engine.ts";
import { checkThreads } from "./limits.ts";
import { loadNativeEngine } from "./native/engine.ts";
import { ReferenceEngine } from "./reference.ts";

export type EngineChoice = "auto" | EngineName;

export interface EngineOptions {
  readonly engine: EngineChoice;
  /** Default: all cores. The reference engine runs on one whatever is asked. */
  readonly threads?: number | undefined;
}

export interface SelectedEngine {
  readonly engine: Engine;
  /** What the user should be told, if the engine is not the one they would expect. */
  readonly notice?: string;
}

const FIX =
  "Build it with a C++17 compiler at hand: `npm run install` in a checkout, `npm rebuild sparse-circuits` else.";

/**
 * Throws an input error for a thread count that the machine cannot give, and when the native engine is demanded but
 * not there. `load` throws an Error with the reason when the addon is missing.
 */
export function createEngine(options: EngineOptions, load: typeof loadNativeEngine = loadNativeEngine): SelectedEngine {
  const { engine: choice, threads } = options;
  if (threads !== undefined) checkAvailable(threads);
  if (choice === "reference") return { engine: new ReferenceEngine() };
  try {
    return { engine: load(threads === undefined ? {} : { threads }) };
  } catch (error) {
    // The addon is there and the wish is at fault, such as an instruction set that there is not.
    if (error instanceof SparseError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    if (choice === "native") {
      throw inputError("native-engine-missing", `The native engine cannot be loaded: ${reason}`, FIX, error);
    }
    const notice = `The native engine cannot be loaded (${reason}); the reference engine runs instead, many times slower. ${FIX}`;
    return { engine: new ReferenceEngine(), notice };
  }
}

function checkAvailable(threads: number): void {
  checkThreads(threads);
  const available = availableParallelism();
  if (threads > available) {
    throw inputError(
      "threads",
      `Asked for ${threads} threads but this machine has ${available}`,
      `Choose 1 to ${available}, or leave the option out to use all.`,
    );
  }
}
