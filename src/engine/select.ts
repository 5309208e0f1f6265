/**
 * Which engine runs. `auto` takes the native one and falls back to the reference with a notice that says why and what
 * to do. Any other choice is that engine or an error: `native`, `reference`, `tensorflow` on the best TensorFlow.js
 * backend that is installed, `tensorflow:<backend>` on that one. TensorFlow.js is loaded for the last two alone.
 */
import { availableParallelism } from "node:os";
import { inputError, SparseError } from "../util/errors.ts";
import type { Engine, EngineName } from "./engine.ts";
import { checkThreads } from "./limits.ts";
import { loadNativeEngine } from "./native/engine.ts";
import { ReferenceEngine } from "./reference.ts";
import { TENSORFLOW_BACKENDS, type TensorflowBackend } from "./tensorflow/names.ts";

export type EngineChoice = "auto" | EngineName | `tensorflow:${TensorflowBackend}`;

export const ENGINE_CHOICES: readonly EngineChoice[] = [
  "auto",
  "native",
  "reference",
  "tensorflow",
  ...TENSORFLOW_BACKENDS.map((name) => `tensorflow:${name}` as const),
];

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

const TENSORFLOW_FIX =
  "With an NVIDIA GPU: npm install @tensorflow/tfjs-node-gpu (CUDA 11.2, cuDNN 8.1, Node 20 or 22). " +
  "Without: npm install @tensorflow/tfjs @tensorflow/tfjs-backend-wasm. Or use --engine native.";

/**
 * Throws an input error for a thread count that the machine cannot give, and when an engine that is demanded is not
 * there or does not start. `load` throws an Error with the reason when the addon is missing.
 */
export async function createEngine(
  options: EngineOptions,
  load: typeof loadNativeEngine = loadNativeEngine,
): Promise<SelectedEngine> {
  const { engine: choice, threads } = options;
  if (threads !== undefined) checkAvailable(threads);
  if (choice === "auto" || choice === "native") return nativeEngine(choice, threads, load);
  if (choice === "reference") return { engine: new ReferenceEngine() };
  const [, backend] = choice.split(":") as [string, TensorflowBackend?];
  return { engine: await tensorflowEngine(backend) };
}

async function tensorflowEngine(name: TensorflowBackend | undefined): Promise<Engine> {
  const missing = (error: unknown): Error =>
    inputError("tensorflow-missing", "TensorFlow.js is not installed", TENSORFLOW_FIX, error);
  const { startTensorflow } = await import("./tensorflow/engine.ts").catch((error: NodeJS.ErrnoException) => {
    throw error.code === "ERR_MODULE_NOT_FOUND" ? missing(error) : error;
  });
  return startTensorflow(name);
}

/** The native engine or, for `auto`, what stands in for it. */
function nativeEngine(
  choice: "auto" | "native",
  threads: number | undefined,
  load: typeof loadNativeEngine = loadNativeEngine,
): SelectedEngine {
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
