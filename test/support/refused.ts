/** Expectations about errors and damaged input. */
import { expect } from "vitest";
import { SparseError } from "../../src/util/errors.ts";

/** Runs `work` and returns the input error (exit code 2) that it must throw. */
export function refused(work: () => unknown): SparseError {
  try {
    work();
  } catch (error) {
    if (!(error instanceof SparseError)) throw error;
    expect(error.exitCode).toBe(2);
    expect(error.message).not.toBe("");
    expect(error.hint).toBeTruthy();
    return error;
  }
  throw new Error("expected an input error, but nothing was thrown");
}

/** Whether `work` succeeds; if not it must be an input error, and any other exception fails the test. */
export function readsOrRefuses(work: () => unknown): boolean {
  try {
    work();
    return true;
  } catch (error) {
    if (error instanceof SparseError && error.exitCode === 2) return false;
    throw error;
  }
}
