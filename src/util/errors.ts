/**
 * Errors that a user can act on. Everything the tool refuses is one of these: what was expected, what was
 * received, and what to do next. Any other exception is a defect of the tool and exits with 1.
 */

/** Exit codes of the command line: 2 wrong usage or bad input, 3 honest failure of the job, 130 interrupted. */
export type ExitCode = 1 | 2 | 3 | 130;

export class SparseError extends Error {
  /** Stable identifier for machines, e.g. `unknown-task`. */
  readonly code: string;
  /** What to do next, one sentence. */
  readonly hint: string | undefined;
  readonly exitCode: ExitCode;

  constructor(exitCode: ExitCode, code: string, message: string, hint?: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "SparseError";
    this.exitCode = exitCode;
    this.code = code;
    this.hint = hint;
  }
}

/** Wrong usage or bad input: exit 2. Nothing was written. */
export function inputError(code: string, message: string, hint?: string, cause?: unknown): SparseError {
  return new SparseError(2, code, message, hint, cause);
}

/** The job ran and honestly failed (task not learned, target not reached): exit 3. Results were written. */
export function goalError(code: string, message: string, hint?: string): SparseError {
  return new SparseError(3, code, message, hint);
}

/** Interrupted by the user: exit 130. Finished work is kept. */
export function interruptError(message: string, hint?: string): SparseError {
  return new SparseError(130, "interrupted", message, hint);
}

/** A programming error inside the tool: a contract between modules was broken. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`internal error: ${message}`);
}
