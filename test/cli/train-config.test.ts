/** Settings from a command line: which learning rate a dense model has. */
import * as fs from "node:fs";
import { expect, it } from "vitest";
import { trainSettings } from "../../src/cli/train-config.ts";
import { useTempDir } from "../support/temp.ts";

const temp = useTempDir();

async function lr(flags: Parameters<typeof trainSettings>[0]): Promise<number> {
  return (await trainSettings({ task: "quotes", ...flags })).config.training.lr;
}

it("trains dense models at their own rate, unless one is given", async () => {
  const preset = await lr({});
  expect(preset).toBe(6e-2);
  for (const [density, expected] of [
    [1, 3e-3],
    [1 / 2, 3e-3],
    [0.49, preset],
  ] as const) {
    expect(await lr({ density }), String(density)).toBe(expected);
    expect(await lr({ set: [`training.density=${density}`] }), String(density)).toBe(expected);
  }
  expect(await lr({ density: 1, preset: "none" })).toBe(3e-3);
  expect(await lr({ density: 1, set: ["training.lr=0.01"] })).toBe(0.01);
  expect(await lr({ density: 1 / 64, set: ["training.density=1"] })).toBe(preset);
  fs.writeFileSync(temp("lr.json"), '{"training": {"lr": 0.02}}');
  fs.writeFileSync(temp("density.json"), '{"training": {"density": 1}}');
  expect(await lr({ density: 1, config: temp("lr.json") })).toBe(0.02);
  expect(await lr({ config: temp("density.json") })).toBe(3e-3);
});
