/** Settings that suit a group of tasks, between the defaults and what the user asks for. Why: docs/RESULTS.md. */
import type { TaskSpec } from "../data/task.ts";
import type { TrainOverrides } from "./config.ts";

/** For decisions that depend on where in the line or block a token stands. */
function ordered(profile: string, steps: number): TrainOverrides {
  return {
    model: { positions: "sinusoid-channels", positionChannels: 16 },
    training: { steps, density: 1 / 16, lr: 4e-2 },
    data: { profile },
  };
}

const PRESETS: Readonly<Record<string, TrainOverrides>> = {
  quotes: {
    model: { width: 128 },
    training: { steps: 1500, density: 1 / 128, lr: 4e-2 },
    data: { profile: "quotes" },
  },
  binding: ordered("binding", 3000),
  brackets: {
    model: { sink: true },
    training: { steps: 1500, density: 1 / 16, lr: 1e-2, anneal: "linear" },
    data: { profile: "brackets" },
  },
  files: ordered("files", 2000),
  loops: ordered("loops", 2000),
  conditions: ordered("conditions", 2000),
  functions: ordered("functions", 2000),
  strings: ordered("strings", 2000),
};

/** Tasks of several groups in one model. */
const SEVERAL: TrainOverrides = {
  ...ordered("full", 6000),
  model: { layers: 3, width: 128, positions: "sinusoid-channels", positionChannels: 16, sink: true },
};

/** The preset of the tasks' group; no settings at all for a group without one. */
export function presetOf(tasks: readonly TaskSpec[]): TrainOverrides {
  const [group, ...others] = new Set(tasks.map((task) => task.group));
  return others.length > 0 ? SEVERAL : (PRESETS[group ?? ""] ?? {});
}
