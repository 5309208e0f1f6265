/**
 * How the nodes of a whole model are wired, as flat arrays made once, so that a search can count edges and follow paths in
 * thousands of circuits. What an edge is: edges.ts; what a path is: connect.ts.
 */
import { attentionWidth, type ModelConfig } from "../model/config.ts";
import { WPE } from "../model/names.ts";
import { SITES, type Site, type SiteSpec, siteSpecs } from "../model/sites.ts";
import { embedding, forEachEdge, type Params, unembedding } from "./edges.ts";
import { type KeptNodes, keptMask, keptSites } from "./kept.ts";

const READ = 1;
const WRITE = 2;
const PATTERN = 3;
const VALUE = 4;
/** What is linked to a node of a role by the same place. */
const OTHER_END: Readonly<Record<number, number>> = {
  [READ]: WRITE,
  [WRITE]: READ,
  [PATTERN]: VALUE,
  [VALUE]: PATTERN,
};

/** The matrix whose output each site is, within its layer; reads are the output of none. */
const MATRIX: Readonly<Record<Site, number>> = {
  "attn.act_in": -1,
  "attn.q": 0,
  "attn.k": 0,
  "attn.v": 0,
  "attn.resid_delta": 1,
  "mlp.act_in": -1,
  "mlp.post_act": 2,
  "mlp.resid_delta": 3,
};

/** Indices of edges in the order of all nonzero weights (`Wiring.sources`). */
export type EdgeIndices = ReadonlySet<number>;

export class Wiring {
  readonly config: ModelConfig;
  readonly nodes: number;
  /** Flat indices of the ends of every edge; edges in the order of `forEachEdge`, that is by target. */
  readonly sources: Int32Array;
  readonly targets: Int32Array;
  readonly weights: Float32Array;
  /** Edges into node n are incoming[n] .. incoming[n + 1] - 1 of `byTarget`; likewise out of it. */
  private readonly incoming: Int32Array;
  private readonly byTarget: Int32Array;
  private readonly outgoing: Int32Array;
  private readonly bySource: Int32Array;
  private readonly specs: readonly SiteSpec[];
  private readonly role: Uint8Array;
  /** Residual channel of reads and writes; layer * heads + head of queries, keys and values. */
  private readonly place: Int32Array;
  private readonly isInput: Uint8Array;
  private readonly isOutput: Uint8Array;
  private readonly heads: number;
  private readonly channels: number;

  /**
   * @param params the four matrices of each block, `transformer.wte.weight` (V, D), and `lm_head.weight` (V, D) unless
   *   tied; `transformer.wpe.weight` (T, D) counts if positions are added
   */
  constructor(config: ModelConfig, params: Params) {
    const specs = siteSpecs(config);
    this.specs = specs;
    const last = specs[specs.length - 1]!;
    this.config = config;
    this.nodes = last.offset + last.width;
    this.heads = config.layers * Math.ceil(attentionWidth(config) / config.headWidth);
    this.channels = config.width;
    this.role = new Uint8Array(this.nodes);
    this.place = new Int32Array(this.nodes);
    this.isInput = new Uint8Array(this.nodes);
    this.isOutput = new Uint8Array(this.nodes);
    const readable = embeddedChannels(config, params);
    const visible = nonzeroColumns(unembedding(config, params), config.width);
    for (const { site, layer, offset, width } of specs) {
      for (let c = 0; c < width; c++) {
        const n = offset + c;
        if (site === "attn.act_in" || site === "mlp.act_in") {
          this.role[n] = READ;
          this.place[n] = c < config.width ? c : -1;
          this.isInput[n] = c >= config.width ? 1 : readable[c]!;
        } else if (site === "attn.resid_delta" || site === "mlp.resid_delta") {
          this.role[n] = WRITE;
          this.place[n] = c;
          this.isOutput[n] = visible[c]!;
        } else if (site !== "mlp.post_act") {
          this.role[n] = site === "attn.v" ? VALUE : PATTERN;
          this.place[n] = layer * config.heads + Math.floor(c / config.headWidth);
        }
      }
    }
    const offsets = new Map(
      specs.map(({ layer, site, offset }) => [layer * SITES.length + SITES.indexOf(site), offset]),
    );
    const flat = (layer: number, site: (typeof SITES)[number], c: number): number =>
      offsets.get(layer * SITES.length + SITES.indexOf(site))! + c;
    const [sources, targets, weights]: [number[], number[], number[]] = [[], [], []];
    forEachEdge(config, params, keptSites(config, new Uint8Array(this.nodes).fill(1)), (e) => {
      sources.push(flat(e.layer, e.sourceSite, e.sourceChannel));
      targets.push(flat(e.layer, e.targetSite, e.targetChannel));
      weights.push(e.weight);
    });
    this.sources = Int32Array.from(sources);
    this.targets = Int32Array.from(targets);
    this.weights = Float32Array.from(weights);
    [this.incoming, this.byTarget] = grouped(this.targets, this.nodes);
    [this.outgoing, this.bySource] = grouped(this.sources, this.nodes);
  }

  /** Which matrix an edge is of: 4 * layer + 0 to 3 for c_attn, attention's c_proj, c_fc and the MLP's c_proj. */
  matrixOf(edge: number): number {
    const target = this.targets[edge]!;
    const { layer, site } = this.specs.find(({ offset, width }) => target < offset + width)!;
    return 4 * layer + MATRIX[site];
  }

  /** Indices of the edges between kept nodes, ascending. */
  edgesOf(kept: Uint8Array, removed?: EdgeIndices): number[] {
    const edges: number[] = [];
    this.forEachKept(kept, removed, (e) => edges.push(e));
    return edges.sort((a, b) => a - b);
  }

  /** Number of edges between kept nodes. */
  countEdges(kept: Uint8Array, removed?: EdgeIndices): number {
    let count = 0;
    this.forEachKept(kept, removed, () => count++);
    return count;
  }

  /** Nodes that share a weight with node n, write what it reads or read what it writes, or have to do with its pattern. */
  neighbours(n: number): number[] {
    const { role, place, incoming, byTarget, outgoing, bySource } = this;
    const found: number[] = [];
    for (let i = incoming[n]!; i < incoming[n + 1]!; i++) found.push(this.sources[byTarget[i]!]!);
    for (let i = outgoing[n]!; i < outgoing[n + 1]!; i++) found.push(this.targets[bySource[i]!]!);
    const other = OTHER_END[role[n]!];
    for (let m = 0; m < this.nodes; m++) if (role[m] === other && place[m] === place[n]) found.push(m);
    return found;
  }

  private forEachKept(kept: Uint8Array, removed: EdgeIndices | undefined, visit: (edge: number) => void): void {
    const { incoming, byTarget, sources } = this;
    for (let n = 0; n < kept.length; n++) {
      if (!kept[n]) continue;
      for (let i = incoming[n]!; i < incoming[n + 1]!; i++) {
        const e = byTarget[i]!;
        if (kept[sources[e]!] && !removed?.has(e)) visit(e);
      }
    }
  }

  /** The kept nodes that are on a path from input to output. Idempotent. */
  connected(keptNodes: KeptNodes, removed?: EdgeIndices): Uint8Array {
    let kept = keptMask(this.config, keptNodes);
    for (;;) {
      const onPath = this.onPath(kept, removed);
      let same = true;
      for (let n = 0; n < kept.length && same; n++) same = kept[n] === onPath[n];
      if (same) return kept;
      kept = onPath;
    }
  }

  /** One pass forward, one backward; flat order is an order of computation. */
  private onPath(kept: Uint8Array, removed: EdgeIndices | undefined): Uint8Array {
    const { role, place, sources, targets, incoming, byTarget, outgoing, bySource } = this;
    const fed = new Uint8Array(kept.length);
    const written = new Uint8Array(this.channels);
    const patterned = new Uint8Array(this.heads);
    for (let n = 0; n < kept.length; n++) {
      if (!kept[n]) continue;
      let gets = this.isInput[n] === 1;
      if (role[n] === READ) gets ||= place[n]! >= 0 && written[place[n]!] === 1;
      else if (role[n] === VALUE) gets ||= this.config.sink && patterned[place[n]!] === 1;
      for (let i = incoming[n]!; i < incoming[n + 1]! && !gets; i++) {
        const e = byTarget[i]!;
        gets = fed[sources[e]!] === 1 && !removed?.has(e);
      }
      if (!gets) continue;
      fed[n] = 1;
      if (role[n] === WRITE) written[place[n]!] = 1;
      else if (role[n] === PATTERN) patterned[place[n]!] = 1;
    }
    const reaches = new Uint8Array(kept.length);
    const read = new Uint8Array(this.channels);
    const used = new Uint8Array(this.heads);
    for (let n = kept.length - 1; n >= 0; n--) {
      if (!fed[n]) continue;
      let ends = this.isOutput[n] === 1;
      if (role[n] === WRITE) ends ||= read[place[n]!] === 1;
      else if (role[n] === PATTERN) ends ||= used[place[n]!] === 1;
      for (let i = outgoing[n]!; i < outgoing[n + 1]! && !ends; i++) {
        const e = bySource[i]!;
        ends = reaches[targets[e]!] === 1 && !removed?.has(e);
      }
      if (!ends) continue;
      reaches[n] = 1;
      if (role[n] === READ && place[n]! >= 0) read[place[n]!] = 1;
      else if (role[n] === VALUE) used[place[n]!] = 1;
    }
    return reaches;
  }
}

/** Residual channels that tokens, or positions added to them, write to. */
function embeddedChannels(config: ModelConfig, params: Params): Uint8Array {
  const channels = nonzeroColumns(embedding(config, params), config.width);
  const positions = config.positions === "added" ? params.get(WPE) : undefined;
  if (positions !== undefined) {
    for (const [c, nonzero] of nonzeroColumns(positions, config.width).entries()) channels[c]! |= nonzero;
  }
  return channels;
}

function nonzeroColumns(matrix: Float32Array, columns: number): Uint8Array {
  const nonzero = new Uint8Array(columns);
  for (let i = 0; i < matrix.length; i++) if (matrix[i] !== 0) nonzero[i % columns] = 1;
  return nonzero;
}

/** Indices of `keys` grouped by key: those of key k are at [start[k], start[k + 1]). */
function grouped(keys: Int32Array, count: number): [start: Int32Array, order: Int32Array] {
  const start = new Int32Array(count + 1);
  for (const k of keys) start[k + 1]!++;
  for (let k = 0; k < count; k++) start[k + 1]! += start[k]!;
  const next = start.slice();
  const order = new Int32Array(keys.length);
  for (let i = 0; i < keys.length; i++) order[next[keys[i]!]!++] = i;
  return [start, order];
}
