/** What a job needs against what there is. */
import { expect, it } from "vitest";
import { availableMemory, checkMemory } from "../../src/cli/memory.ts";
import { refused } from "../support/refused.ts";

const LOWER = { weights: "the width", activations: "the batch" };

it("knows what is free", () => {
  expect(availableMemory()).toBeGreaterThan(10e6);
  expect(availableMemory()).toBeLessThan(1e15);
});

it("takes a job that fits", () => {
  checkMemory("Training", { weights: 1e9, activations: 1e9, host: 1e9 }, LOWER, 4e9);
});

it("refuses one that does not with the estimate, what there is, and what needs most", () => {
  const large = refused(() => checkMemory("Training", { weights: 30e9, activations: 1e9, host: 4e9 }, LOWER, 8e9));
  expect(large.message).toContain("Training needs about 35 GB of memory, but 8.0 GB are available");
  expect(large.message).toContain("30 GB for weights with gradients and moments, 1.0 GB for activations, 4.0 GB");
  expect(large.hint).toBe("Lower the width, or free memory.");
  const long = refused(() => checkMemory("Training", { weights: 1e9, activations: 9e9, host: 0 }, LOWER, 8e9));
  expect(long.hint).toContain("the batch");
});
