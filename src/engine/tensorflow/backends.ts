/**
 * The backends of TensorFlow.js that may be installed, best first: which one runs, what each is good at, and what to say
 * when one is missing or does not start. Packages are optional (peerDependencies): this module is only loaded when the
 * engine is asked for.
 */
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import * as tf from "@tensorflow/tfjs";
import { inputError, SparseError } from "../../util/errors.ts";
import type { Selection } from "./largest.ts";
import { TENSORFLOW_BACKENDS, type TensorflowBackend } from "./names.ts";
import { PLAIN, type Products, ROWS_AS_PRODUCT, UNTRANSPOSED } from "./products.ts";

/** A backend that is ready. */
export interface Backend {
  readonly name: TensorflowBackend;
  readonly products: Products;
  readonly selection: Selection;
  readonly threads: number;
  /** Makes it the one that runs: TensorFlow.js has one at a time. */
  use(): void;
}

interface Kind {
  /** What registers it; null for what @tensorflow/tfjs itself brings. */
  readonly package: string | null;
  /** Its name within TensorFlow.js. */
  readonly registered: string;
  readonly products: Products;
  /** Sorting beats 60 passes of comparing and summing on one core; a GPU does such passes quickly and sorts slowly. */
  readonly selection: Selection;
  readonly threads: () => number;
  /** What it needs besides the package. */
  readonly needs: string;
}

const KINDS: Readonly<Record<TensorflowBackend, Kind>> = {
  "node-gpu": {
    package: "@tensorflow/tfjs-node-gpu",
    registered: "tensorflow",
    products: PLAIN,
    selection: "search",
    threads: availableParallelism,
    needs: "It needs Linux or Windows with an NVIDIA GPU, CUDA 11.2 and cuDNN 8.1, and Node 20 or 22.",
  },
  node: {
    package: "@tensorflow/tfjs-node",
    registered: "tensorflow",
    products: PLAIN,
    selection: "sort",
    threads: availableParallelism,
    needs: "It needs Node 20 or 22.",
  },
  wasm: {
    package: "@tensorflow/tfjs-backend-wasm",
    registered: "wasm",
    products: UNTRANSPOSED,
    selection: "sort",
    threads: () => 1,
    needs: "It needs nothing else.",
  },
  cpu: {
    package: null,
    registered: "cpu",
    products: ROWS_AS_PRODUCT,
    selection: "sort",
    threads: () => 1,
    needs: "It needs nothing else.",
  },
};

const require = createRequire(import.meta.url);

function isInstalled(kind: Kind): boolean {
  if (kind.package === null) return true;
  try {
    require.resolve(kind.package);
    return true;
  } catch {
    return false;
  }
}

/** The installed backends, best first; never empty. */
function installedBackends(): TensorflowBackend[] {
  return TENSORFLOW_BACKENDS.filter((name) => isInstalled(KINDS[name]));
}

/**
 * Starts a backend; without a name the best one that is installed.
 *
 * @throws inputError when it is not installed or does not start, with the reason and the next best engine.
 */
export async function startBackend(wanted?: TensorflowBackend): Promise<Backend> {
  const name = wanted ?? installedBackends()[0]!;
  const kind = KINDS[name];
  if (!isInstalled(kind)) {
    const install = `Install it: npm install ${kind.package}`;
    throw inputError(
      "tensorflow-backend-missing",
      `The TensorFlow.js backend ${name} is not installed (package ${kind.package})`,
      `${install}. ${kind.needs} Or use ${nextBest(name)}.`,
    );
  }
  try {
    // The cpu backend would advertise the node backend on stderr.
    tf.env().set("PROD", true);
    if (kind.package !== null) require(kind.package);
    if (!(await tf.setBackend(kind.registered))) throw new Error("TensorFlow.js could not initialise it");
    await tf.ready();
    if (name === "node-gpu") checkGpu();
  } catch (error) {
    throw startError(name, error);
  }
  const { products, selection, threads } = kind;
  return { name, products, selection, threads: threads(), use: () => use(kind.registered) };
}

function use(registered: string): void {
  // Takes effect at once for a backend that has started.
  if (tf.getBackend() !== registered) void tf.setBackend(registered);
}

/** Without a usable device the GPU package computes on the CPU and does not say so. */
function checkGpu(): void {
  const backend = tf.backend() as unknown as { readonly isUsingGpuDevice?: boolean };
  if (backend.isUsingGpuDevice === false) throw new Error("TensorFlow finds no GPU device");
}

function startError(name: TensorflowBackend, error: unknown): Error {
  if (error instanceof SparseError) return error;
  const reason = (error instanceof Error ? error.message : String(error)).split("\n")[0]!;
  return inputError(
    "tensorflow-backend",
    `The TensorFlow.js backend ${name} does not start: ${reason}`,
    `${KINDS[name].needs} Or use ${nextBest(name)}.`,
    error,
  );
}

/** What to use when a backend cannot be: on the CPU nothing of TensorFlow.js is as fast as the native engine. */
function nextBest(name: TensorflowBackend): string {
  const slower = installedBackends().filter((other) => other !== name);
  const other = slower.length > 0 ? `, or --engine tensorflow:${slower[0]}` : "";
  return `--engine native${other}`;
}

/** An error of a kernel: when the device has no memory left, one that says so. */
export function deviceError(error: unknown, { name }: Backend): unknown {
  const text = error instanceof Error ? error.message : String(error);
  if (!/out of memory|OOM|ResourceExhausted|memory access out of bounds|Array buffer allocation/i.test(text))
    return error;
  return inputError(
    "tensorflow-memory",
    `The TensorFlow.js backend ${name} has not enough memory: ${text.split("\n")[0]}`,
    `Lower training.batch, model.width or model.contextLength, or use ${nextBest(name)}.`,
    error,
  );
}
