/**
 * Ctrl-C: the first asks the running job to stop between two steps and keep what is finished; a second one ends the
 * process at once. Signals arrive only while a job waits, so a job lets the event loop run between its steps. Written
 * files are whole in either case. The end of the reader of a pipe counts as the first Ctrl-C.
 */
import { setImmediate } from "node:timers/promises";
import { interruptError } from "../util/errors.ts";
import type { Output } from "./output.ts";

const INTERRUPTED = 130;
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

const running = new Set<() => void>();

/** Asks the running job, if there is one, to stop; returns whether there is one. */
export function stopRunningJob(): boolean {
  for (const stop of running) stop();
  return running.size > 0;
}

/** Runs a job with a signal that is set when it should stop. */
export async function interruptible<T>(out: Output, job: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const stop = (): void => controller.abort();
  const onSignal = (): void => {
    if (controller.signal.aborted) process.exit(INTERRUPTED);
    stop();
    if (!out.json) out.notice("stopping after this step; press Ctrl-C again to stop at once");
  };
  running.add(stop);
  for (const name of SIGNALS) process.on(name, onSignal);
  try {
    return await job(controller.signal);
  } finally {
    running.delete(stop);
    for (const name of SIGNALS) process.off(name, onSignal);
  }
}

/** Lets signals, timers and output through; throws when the job was asked to stop. `kept` says what is left of it. */
export async function breathe(signal: AbortSignal, kept = "nothing was written"): Promise<void> {
  await setImmediate();
  if (signal.aborted) throw interruptError(`interrupted: ${kept}`);
}
