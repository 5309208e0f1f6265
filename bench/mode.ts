/**
 * How a step computes the gradients of weights that are zero: `exact`, in every step, or `every-n`, in every n-th step
 * only. Steps of the second kind cost different times, so what is measured of them is always a whole cycle.
 */
import { DENSE_ABOVE } from "../src/train/step.ts";
import { inputError } from "../src/util/errors.ts";
import { nearest } from "../src/util/nearest.ts";

export type Mode = "exact" | `every-${number}`;

const MOST = 1000;

/** Throws an input error that names the nearest mode. */
export function parseMode(text: string): Mode {
  const every = Number(/^every-(\d+)$/.exec(text)?.[1] ?? Number.NaN);
  if (text === "exact" || (every >= 2 && every <= MOST)) return text as Mode;
  throw inputError(
    "unknown-mode",
    `There is no mode "${text}"; there is exact, and every-n with n from 2 to ${MOST}`,
    `Did you mean "${nearest(text, ["exact", "every-10"])}"?`,
  );
}

/** The modes that differ at a density; `say` is told of the others, which would be the exact one under another name. */
export function modesAt(density: number, modes: readonly Mode[], say: (text: string) => void): readonly Mode[] {
  if (density <= DENSE_ABOVE) return modes;
  for (const mode of modes) {
    if (mode !== "exact") say(`${mode} left out: at density ${density}, over ${DENSE_ABOVE}, all steps are exact`);
  }
  return modes.filter((mode) => mode === "exact");
}

/** Steps after which everything repeats. */
export function cycleOf(mode: Mode): number {
  return mode === "exact" ? 1 : Number(mode.slice("every-".length));
}
