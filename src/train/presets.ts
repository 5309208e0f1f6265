/** Settings that suit a group of tasks, between the defaults and what the user asks for. Why: docs/RESULTS.md. */
import type { TaskSpec } from "../data/task.ts";
import type { TrainOverrides } from "./config.ts";

/** Width, density and learning rate that learn every group; half the density of width 64 at a lower loss. */
const width = 128;
const sparsity = { density: 1 / 64, lr: 4e-2 } as const;

/** Densities from which the rate of a dense model is the better one, and that rate. */
export const DENSE = { from: 1 / 2, lr: 3e-3 } as const;

/** For decisions that depend on where in the line or block a token stands. */
function ordered(profile: string, steps: number): TrainOverrides {
  return {
    model: { width, positions: "sinusoid-channels", positionChannels: 16 },
    training: { steps, ...sparsity },
    data: { profile },
  };
}

/** Tasks of several groups in one model. */
const several = ordered("full", 10_000);

export const PRESETS = {
  quotes: {
    model: { width },
    training: { steps: 2000, ...sparsity, lr: 6e-2 },
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
  all: { ...several, model: { ...several.model, layers: 3, sink: true } },
  none: {},
} as const satisfies Record<string, TrainOverrides>;

export type PresetName = keyof typeof PRESETS;
export const PRESET_NAMES = Object.keys(PRESETS) as PresetName[];

/** The preset of the tasks' group or, of several groups, that of all tasks; none for a group without one. */
export function presetOf(tasks: readonly TaskSpec[]): PresetName {
  const [group, ...others] = new Set(tasks.map((task) => task.group));
  if (others.length > 0) return "all";
  return PRESET_NAMES.find((name) => name === group) ?? "none";
}
