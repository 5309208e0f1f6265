/** What native code can index. The model's config refuses most of what is too large; here the rest is, before allocation. */
import { availableParallelism } from "node:os";
import { inputError, type SparseError } from "../util/errors.ts";
import type { TokenShape } from "./engine.ts";

/** Tokens that a sequence is padded to a multiple of. */
export const LANES = 16;
/** Largest side of a matrix: indices of its columns have 16 bits. */
export const MOST_A_SIDE = 65_535;
/** Widest head that attention takes. */
export const WIDEST_HEAD = 256;
/** Entries are counted in 32 bits. */
const MOST_ENTRIES = 2 ** 31 - 1;

/** Throws an input error for more entries than can be indexed. */
export function checkEntries(what: string, shape: readonly number[]): void {
  if (shape.reduce((a, b) => a * b, 1) <= MOST_ENTRIES) return;
  throw inputError(
    "too-large",
    `${what} would have ${shape.join(" x ")} entries, more than the ${MOST_ENTRIES} that can be indexed`,
    "Lower the batch, the context, the width or the vocabulary.",
  );
}

/** Throws an input error for a matrix whose columns or entries cannot be indexed. */
export function checkMatrix(name: string, shape: readonly [number, number]): void {
  if (Math.max(...shape) > MOST_A_SIDE) {
    throw inputError(
      "too-large",
      `${name} would be ${shape.join(" x ")}, over the ${MOST_A_SIDE} a side that can be indexed`,
      "Lower the width, the heads or the neurons.",
    );
  }
  checkEntries(name, shape);
}

/** Throws an input error for an activation whose values, each sequence padded to whole vectors, cannot be indexed. */
export function checkActivation({ batch, length }: TokenShape, width: number): void {
  checkEntries("an activation", [batch, Math.ceil(length / LANES) * LANES, width]);
}

/** Throws an input error for what is no number of threads. */
export function checkThreads(threads: number): void {
  if (Number.isInteger(threads) && threads >= 1) return;
  throw inputError(
    "threads",
    `Expected a whole number of threads, 1 or more, but received ${threads}`,
    `This machine has ${availableParallelism()}.`,
  );
}

export function outOfMemory(cause?: unknown): SparseError {
  return inputError(
    "memory",
    "The native engine did not get the memory it asked for",
    "Lower the batch, the context, the width or the number of layers, or free memory.",
    cause,
  );
}
