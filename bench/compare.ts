/** Times a case on both sides, ours and PyTorch's. */
import { alternate, round, timingOf } from "./alternate.ts";
import type { Case } from "./cases.ts";
import type { Mode } from "./mode.ts";
import type { Options } from "./options.ts";
import { type PeerInfo, type Side, startOurs, startPeer } from "./sides.ts";

/** One line of `--json`. */
export interface Result {
  readonly case: string;
  readonly density: number;
  readonly mode: Mode;
  /** A step; in a mode with cycles the mean over a cycle. The median of all samples. */
  readonly oursMs: number;
  /** Null, like all of the peer's, when it did not run. */
  readonly peerMs: number | null;
  /** peerMs / oursMs */
  readonly ratio: number | null;
  readonly oursRssMb: number;
  readonly peerRssMb: number | null;
  readonly threads: number;
  /** Processor time of all threads. */
  readonly oursCpuMs: number;
  readonly peerCpuMs: number | null;
  /** Fastest samples: what other jobs of the machine disturbed least. */
  readonly oursMinMs: number;
  readonly peerMinMs: number | null;
  /** Smallest and largest ratio of one of our samples and the peer's that followed it. */
  readonly ratioRange: readonly [number, number] | null;
  readonly isa: string;
  readonly blas: string | null;
  /** The BLAS is an optimised one: with another the ratio says nothing. */
  readonly blasFast: boolean | null;
  readonly blasThreads: number | null;
  readonly torch: string | null;
  /** Samples measured. */
  readonly steps: number;
}

/** `python`: one that has PyTorch; undefined runs our side alone. */
export async function compare(
  c: Case,
  density: number,
  mode: Mode,
  options: Options,
  python: string | undefined,
): Promise<Result> {
  const sides: Side<unknown>[] = [];
  try {
    const ours = await startOurs(c, density, { mode, engine: options.engine, threads: options.threads });
    sides.push(ours);
    let peer: Side<PeerInfo> | undefined;
    if (python !== undefined) {
      peer = await startPeer(python, c, density, options);
      sides.push(peer);
    }
    const [own, other = []] = await alternate(c, peer ? [ours, peer] : [ours], options);
    const mine = timingOf(own!);
    const theirs = peer ? timingOf(other) : undefined;
    const ratios = other.map(({ ms }, i) => ms / own![i]!.ms);
    return {
      case: c.name,
      density,
      mode,
      oursMs: mine.ms,
      peerMs: theirs?.ms ?? null,
      ratio: theirs ? round(theirs.ms / mine.ms, 3) : null,
      oursRssMb: round(await ours.peakMb(), 1),
      peerRssMb: peer ? round(await peer.peakMb(), 1) : null,
      threads: ours.info.threads,
      oursCpuMs: mine.cpuMs,
      peerCpuMs: theirs?.cpuMs ?? null,
      oursMinMs: mine.minMs,
      peerMinMs: theirs?.minMs ?? null,
      ratioRange: peer ? [round(Math.min(...ratios), 2), round(Math.max(...ratios), 2)] : null,
      isa: ours.info.isa,
      blas: peer?.info.blas ?? null,
      blasFast: peer?.info.fast ?? null,
      blasThreads: peer ? options.blasThreads : null,
      torch: peer?.info.torch ?? null,
      steps: options.steps,
    };
  } finally {
    for (const side of sides) await side.close();
  }
}
