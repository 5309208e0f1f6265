/** Several threads of one process have engines of their own, which share the pool of the native one. */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { expect, test } from "vitest";
import { natives } from "../support/engines.ts";

function weight(threads: number): Promise<string> {
  const worker = new Worker(new URL("../support/engine-worker.mjs", import.meta.url), {
    workerData: { threads, steps: 60, size: 256 },
  });
  return new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
}

test.runIf(natives.length > 0)(
  "engines of different worker threads and thread counts do not disturb each other",
  async () => {
    const most = availableParallelism();
    const alone = await weight(1);
    const together = await Promise.all([1, most, 1, most].map(weight));
    for (const bytes of together) expect(bytes).toBe(alone);
  },
);
