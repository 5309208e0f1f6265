/** Refuses a job that needs more memory than there is, before it allocates. */
import * as os from "node:os";
import type { MemoryEstimate } from "../engine/sizing.ts";
import { inputError } from "../util/errors.ts";

/** Validation pairs that tell how long prompts are. */
export const PROBED_PAIRS = 16;

/** Node's interpreter and compiled code. */
const NODE_BYTES = 100e6;

/** Memory that this process may still take: what is free, within the limit of its container. */
export function availableMemory(): number {
  // Elsewhere "free" leaves out what the system would give up at once.
  const free = process.platform === "linux" ? os.freemem() : os.totalmem();
  const limit = process.constrainedMemory() ?? 0;
  return limit > 0 ? Math.min(free, limit) : free;
}

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(bytes < 1e10 ? 1 : 0)} GB`;

/** `job`: "Training". `lower`: what to make smaller when weights need most, or else activations. */
export function checkMemory(
  job: string,
  { weights, activations, host }: MemoryEstimate,
  lower: { readonly weights: string; readonly activations: string },
  available = availableMemory(),
): void {
  const needed = weights + activations + host + NODE_BYTES;
  if (needed <= available) return;
  throw inputError(
    "memory",
    `${job} needs about ${gigabytes(needed)} of memory, but ${gigabytes(available)} are available: ` +
      `${gigabytes(weights)} for weights with gradients and moments, ${gigabytes(activations)} for activations, ` +
      `${gigabytes(host)} for copies of the values`,
    `Lower ${weights + host > activations ? lower.weights : lower.activations}, or free memory.`,
  );
}
