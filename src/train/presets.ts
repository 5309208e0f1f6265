/** Settings that suit a group of tasks, between the defaults and what the user asks for. Why: docs/RESULTS.md. */
import type { TaskSpec } from "../data/task.ts";
import type { TrainOverrides } from "./config.ts";

/** Width, density and learning rate that learn every group; half the density of width 64 at a lower loss. */
const width = 128;
const sparsity = { density: 1 / 64, lr: 4e-2 } as const;

/** For decisions that depend on where in the line or block a token stands. */
function ordered(profile: string, steps: number): TrainOverrides {
  return {
    model: { width, positions: "sinusoid-channels", positionChannels: 16 },
    training: { steps, ...sparsity },
    data: { profile },
  };
}

const PRESETS: Readonly<Record<string, TrainOverrides>> = {
  quotes: {
    model: { width },
    training: { steps: 1500, ...sparsity, density: 1 / 128 },
    data: { profile: "quotes" },
  },
  binding: ordered("binding", 3000),
  /** Counting open brackets needs a place for attention to rest where there are none. */
  brackets: { model: { width, sink: true }, training: { steps: 1500, ...sparsity }, data: { profile: "brackets" } },
  files: ordered("files", 2000),
  loops: ordered("loops", 2000),
  conditions: ordered("conditions", 2000),
  functions: ordered("functions", 2000),
  strings: ordered("strings", 2000),
};

/** Tasks of several groups in one model. */
const several = ordered("full", 10_000);
const SEVERAL: TrainOverrides = { ...several, model: { ...several.model, layers: 3, sink: true } };

/** The preset of the tasks' group; no settings at all for a group without one. */
export function presetOf(tasks: readonly TaskSpec[]): TrainOverrides {
  const [group, ...others] = new Set(tasks.map((task) => task.group));
  return others.length > 0 ? SEVERAL : (PRESETS[group ?? ""] ?? {});
}
