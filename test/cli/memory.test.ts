/** What a job needs against what there is. */
import { expect, it } from "vitest";
import { checkMemory, type Job } from "../../src/cli/memory.ts";
import { refused } from "../support/refused.ts";

const job = (weights: number, activations: number, host: number): Job => ({
  name: "Training",
  estimate: { weights, activations, host },
  lower: { weights: "the width", activations: "the batch" },
});

function notices(of: Job, memory: { total: number; free: number }): string[] {
  const said: string[] = [];
  checkMemory(of, (text) => said.push(text), memory);
  return said;
}

it("takes a job that fits", () => {
  expect(notices(job(1e9, 1e9, 1e9), { total: 8e9, free: 4e9 })).toEqual([]);
});

it("tells of one that needs more than is free now", () => {
  expect(notices(job(2e9, 1e9, 1e9), { total: 8e9, free: 4e9 })).toEqual([
    "Training needs about 4.1 GB of memory, but 4.0 GB are free now; to need less, lower the width",
  ]);
});

it("refuses one that needs more than there is, with the estimate and what needs most", () => {
  const memory = { total: 8e9, free: 8e9 };
  const large = refused(() => notices(job(30e9, 1e9, 4e9), memory));
  expect(large.message).toContain("Training needs about 35 GB of memory, but there are 8.0 GB in all");
  expect(large.message).toContain("30 GB for weights with gradients and moments, 1.0 GB for activations, 4.0 GB");
  expect(large.hint).toBe("Lower the width.");
  expect(refused(() => notices(job(1e9, 9e9, 0), memory)).hint).toContain("the batch");
});
