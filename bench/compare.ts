/** Times a case on both sides, their steps alternating, so that what else the machine does meets both alike. */
import { batchOf, type Case } from "./cases.ts";
import type { Mode, Options } from "./options.ts";
import { type OursInfo, type PeerInfo, type Side, type StepAnswer, startOurs, startPeer } from "./sides.ts";

/** One line of `--json`. */
export interface Result {
  readonly case: string;
  readonly density: number;
  readonly mode: Mode;
  readonly oursMs: number;
  /** Null, like all of the peer's, when it did not run. */
  readonly peerMs: number | null;
  /** peerMs / oursMs */
  readonly ratio: number | null;
  /** Processor time of all threads. */
  readonly oursCpuMs: number;
  readonly peerCpuMs: number | null;
  /** Fastest steps: what other jobs of the machine disturbed least. */
  readonly oursMinMs: number;
  readonly peerMinMs: number | null;
  /** Smallest and largest ratio of one of our steps and the peer's that followed it. */
  readonly ratioRange: readonly [number, number] | null;
  readonly oursRssMb: number;
  readonly peerRssMb: number | null;
  readonly threads: number;
  readonly isa: string;
  readonly blas: string | null;
  /** The BLAS is an optimised one: with another the ratio says nothing. */
  readonly blasFast: boolean | null;
  readonly blasThreads: number | null;
  readonly torch: string | null;
  readonly steps: number;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

const round = (x: number, digits: number): number => Number(x.toFixed(digits));

async function measure(
  c: Case,
  density: number,
  options: Options,
  ours: Side<OursInfo>,
  peer: Side<PeerInfo> | undefined,
): Promise<Result> {
  const own: StepAnswer[] = [];
  const other: StepAnswer[] = [];
  for (let i = 0; i < options.warmup + options.steps; i++) {
    const batch = batchOf(c, i);
    const a = await ours.step(batch);
    const b = await peer?.step(batch);
    for (const { loss } of b ? [a, b] : [a]) {
      if (!Number.isFinite(loss)) throw new Error(`case ${c.name}: the loss of step ${i} is ${loss}`);
    }
    if (i < options.warmup) continue;
    own.push(a);
    if (b) other.push(b);
  }
  const [oursMs, peerMs] = [own.map((s) => s.ms), other.map((s) => s.ms)];
  const ratios = peerMs.map((ms, i) => ms / oursMs[i]!);
  return {
    case: c.name,
    density,
    mode: options.mode,
    oursMs: round(median(oursMs), 3),
    peerMs: peer ? round(median(peerMs), 3) : null,
    ratio: peer ? round(median(peerMs) / median(oursMs), 3) : null,
    oursCpuMs: round(median(own.map((s) => s.cpuMs)), 3),
    peerCpuMs: peer ? round(median(other.map((s) => s.cpuMs)), 3) : null,
    oursMinMs: round(Math.min(...oursMs), 3),
    peerMinMs: peer ? round(Math.min(...peerMs), 3) : null,
    ratioRange: peer ? [round(Math.min(...ratios), 2), round(Math.max(...ratios), 2)] : null,
    oursRssMb: round(await ours.peakMb(), 1),
    peerRssMb: peer ? round(await peer.peakMb(), 1) : null,
    threads: ours.info.threads,
    isa: ours.info.isa,
    blas: peer?.info.blas ?? null,
    blasFast: peer?.info.fast ?? null,
    blasThreads: peer ? options.blasThreads : null,
    torch: peer?.info.torch ?? null,
    steps: options.steps,
  };
}

/** `python`: one that has PyTorch; undefined runs our side alone. */
export async function compare(c: Case, density: number, options: Options, python: string | undefined): Promise<Result> {
  const sides: Side<unknown>[] = [];
  try {
    const ours = await startOurs(c, density, options.threads);
    sides.push(ours);
    const peer = python === undefined ? undefined : await startPeer(python, c, density, options);
    if (peer) sides.push(peer);
    return await measure(c, density, options, ours, peer);
  } finally {
    for (const side of sides) await side.close();
  }
}
