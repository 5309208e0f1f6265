/** Settings that suit a group of tasks, between the defaults and what the user asks for. Why: docs/RESULTS.md. */
import type { TaskSpec } from "../data/task.ts";
import type { TrainOverrides } from "./config.ts";

const PRESETS: Readonly<Record<string, TrainOverrides>> = {
  quotes: {
    model: { width: 128 },
    training: { steps: 1500, density: 1 / 128, lr: 4e-2 },
    data: { profile: "quotes" },
  },
  binding: {
    model: { positions: "sinusoid-channels", positionChannels: 16 },
    training: { steps: 3000, density: 1 / 16, lr: 4e-2 },
    data: { profile: "binding" },
  },
  brackets: {
    model: { sink: true },
    training: { steps: 1500, density: 1 / 16, lr: 1e-2, anneal: "linear" },
    data: { profile: "brackets" },
  },
};

/** The preset of the tasks' group; no settings at all for tasks of several groups or of a group without one. */
export function presetOf(tasks: readonly TaskSpec[]): TrainOverrides {
  const groups = new Set(tasks.map((task) => task.group));
  const [group] = groups;
  return groups.size === 1 && group !== undefined ? (PRESETS[group] ?? {}) : {};
}
