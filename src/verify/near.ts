/**
 * Whether a verdict is near a threshold: whether the 95% interval of the loss that it rests on holds one, so that other
 * pairs, or with draws another seed, might have given another verdict. Said beside the verdict, which stays as it is.
 */
import type { CheckName, Figure } from "../circuits/verification.ts";
import { type Finding, nats } from "./check.ts";
import { CHANCE } from "./needed.ts";

/** In the summary. */
export const NEAR = "near the threshold";

const needed = [CHANCE.weak * Math.LN2, CHANCE.pass * Math.LN2];
/** Of checks whose first figure is a loss with an interval: between which losses the verdict changes. */
const LIMITS: Readonly<Partial<Record<CheckName, (target: number) => readonly number[]>>> = {
  sufficiency: (target) => [target],
  necessity: () => needed,
  "weight necessity": () => needed,
  interchange: (target) => [target, 2 * target],
  relaxation: (target) => [target, 2 * target],
  binarisation: (target) => [target, 4 * target],
};

/** The finding, with what it is near to in its reason and its brief. */
export function withNearness(name: CheckName, finding: Finding, target: number): Finding {
  const [loss] = finding.figures;
  const limit = LIMITS[name]?.(target).find((at) => loss && holds(loss, at));
  if (limit === undefined) return finding;
  const { brief, reason } = finding;
  return {
    ...finding,
    brief: `${brief}, ${NEAR}`,
    reason: `${reason}; ${NEAR} ${nats(limit)}: 95% interval ${nats(loss!.low!)} to ${nats(loss!.high!)}`,
  };
}

const holds = ({ low, high }: Figure, at: number): boolean =>
  low !== undefined && high !== undefined && low < at && at < high;
