/** What decides whether a part of a model is needed: its loss without the part, and without others of the same size. */
import type { Verdict } from "../circuits/verification.ts";
import { nats, worst } from "./check.ts";

/** Shares of chance, ln 2, that the loss without the part must reach. */
export const CHANCE = { pass: 0.9, weak: 0.5 };
/** Rise of the loss that others may cause, nats. */
export const RISE = { pass: 0.01, weak: 0.05 };

export interface Losses {
  /** Of the model as it is. */
  readonly full: number;
  readonly without: number;
  /** How much more it is without others. */
  readonly rise: number;
}

/** `part` and `others` as the summary calls them. */
export function needed(
  { full, without, rise }: Losses,
  part: string,
  others: string,
): { verdict: Verdict; brief: string } {
  // Without anything to lose, a model fails without any part.
  if (full >= CHANCE.weak * Math.LN2) return { verdict: "fail", brief: "the model fails anyway" };
  const chance = without / Math.LN2;
  return {
    verdict: worst(
      chance >= CHANCE.pass ? "pass" : chance >= CHANCE.weak ? "weak" : "fail",
      rise < RISE.pass ? "pass" : rise < RISE.weak ? "weak" : "fail",
    ),
    brief: chance < CHANCE.pass ? `loss ${nats(without)} without ${part}` : `${others} cost ${nats(rise)}`,
  };
}
