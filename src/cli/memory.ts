/** Refuses a job that needs more memory than there is, before it allocates, and tells of one that needs more than is free. */
import type { MemoryEstimate } from "../engine/sizing.ts";
import { inputError } from "../util/errors.ts";
import { type Memory, readMemory } from "../util/memory.ts";

/** Validation pairs that tell how long prompts are. */
export const PROBED_PAIRS = 16;

/** Node's interpreter and compiled code. */
const NODE_BYTES = 100e6;

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(bytes < 1e10 ? 1 : 0)} GB`;

export interface Job {
  /** "Training". */
  readonly name: string;
  readonly estimate: MemoryEstimate;
  /** What to make smaller when weights need most, or else activations. */
  readonly lower: { readonly weights: string; readonly activations: string };
}

/** `notice` gets one line when the job may have to wait for memory that others hold. */
export function checkMemory(
  { name, estimate: { weights, activations, host }, lower }: Job,
  notice: (text: string) => void,
  { total, free }: Memory = readMemory(),
): void {
  const needed = weights + activations + host + NODE_BYTES;
  const need = `${name} needs about ${gigabytes(needed)} of memory`;
  const smaller = weights + host > activations ? lower.weights : lower.activations;
  if (needed > total) {
    throw inputError(
      "memory",
      `${need}, but there are ${gigabytes(total)} in all: ${gigabytes(weights)} for weights with gradients and ` +
        `moments, ${gigabytes(activations)} for activations, ${gigabytes(host)} for copies of the values`,
      `Lower ${smaller}.`,
    );
  }
  if (needed > free) notice(`${need}, but ${gigabytes(free)} are free now; to need less, lower ${smaller}`);
}
