/**
 * The edges of a circuit: nonzero weights between two kept nodes that one matrix of a block connects (paper section 2,
 * footnote 3). Biases, norms, embedding, unembedding and bigram table give no edges, nor does a write to a residual
 * channel that is read later. One neuron that reads one channel and writes one channel is 3 nodes and 2 edges.
 */
import { attentionWidth, type ModelConfig, readWidth } from "../model/config.ts";
import { LM_HEAD, WTE } from "../model/names.ts";
import { nodeId, type Site } from "../model/sites.ts";
import { assert } from "../util/errors.ts";
import { type KeptNodes, type KeptSites, keptSites } from "./kept.ts";
import type { CircuitEdge } from "./schema.ts";

/** Parameters by the release's state-dict names, row-major, matrices (out, in). */
export type Params = ReadonlyMap<string, Float32Array>;

/** A rectangle of a matrix whose rows are one site's channels and whose columns are another's. */
interface Block {
  readonly matrix: string;
  readonly source: Site;
  readonly target: Site;
  /** Row of the matrix that holds the target's channel 0. */
  readonly firstRow: number;
  readonly rows: number;
  readonly columns: number;
}

/** The rectangles of a layer's four matrices, in the order q, k, v, attention output, neurons, MLP output. */
function blocks(config: ModelConfig, layer: number): Block[] {
  const prefix = `transformer.h.${layer}`;
  const [width, attention, read, neurons] = [config.width, attentionWidth(config), readWidth(config), config.neurons];
  const qkv = (["attn.q", "attn.k", "attn.v"] as const).map((target, i) => ({
    matrix: `${prefix}.attn.c_attn.weight`,
    source: "attn.act_in" as const,
    target,
    firstRow: i * attention,
    rows: 3 * attention,
    columns: read,
  }));
  const plain = (name: string, source: Site, target: Site, rows: number, columns: number): Block => ({
    matrix: `${prefix}.${name}.weight`,
    source,
    target,
    firstRow: 0,
    rows,
    columns,
  });
  return [
    ...qkv,
    plain("attn.c_proj", "attn.v", "attn.resid_delta", width, attention),
    plain("mlp.c_fc", "mlp.act_in", "mlp.post_act", neurons, read),
    plain("mlp.c_proj", "mlp.post_act", "mlp.resid_delta", width, neurons),
  ];
}

/** A matrix by name, with its size checked. */
function matrixOf(params: Params, name: string, rows: number, columns: number): Float32Array {
  const values = params.get(name);
  assert(values !== undefined, `parameter ${name} is missing`);
  const size = rows * columns;
  assert(values.length === size, `expected ${name} with ${rows} x ${columns} values but received ${values.length}`);
  return values;
}

/** A nonzero weight between two kept nodes of one layer. */
export interface SiteEdge {
  readonly matrix: string;
  readonly layer: number;
  readonly sourceSite: Site;
  readonly sourceChannel: number;
  readonly targetSite: Site;
  readonly targetChannel: number;
  readonly weight: number;
}

/** Calls `visit` for each edge, layer by layer, matrix by matrix, target channel by target channel. */
export function forEachEdge(
  config: ModelConfig,
  params: Params,
  kept: KeptSites,
  visit: (edge: SiteEdge) => void,
  /** Called for each matrix even if it has no edges. */
  enter?: (matrix: string) => void,
): void {
  for (let layer = 0; layer < config.layers; layer++) {
    for (const block of blocks(config, layer)) {
      const { matrix, source, target, columns } = block;
      const values = matrixOf(params, matrix, block.rows, columns);
      enter?.(matrix);
      const sources = kept.channels(layer, source);
      for (const row of kept.channels(layer, target)) {
        const start = (block.firstRow + row) * columns;
        for (const column of sources) {
          const weight = values[start + column]!;
          if (weight === 0) continue;
          visit({
            matrix,
            layer,
            sourceSite: source,
            sourceChannel: column,
            targetSite: target,
            targetChannel: row,
            weight,
          });
        }
      }
    }
  }
}

export interface EdgeSet {
  readonly edges: CircuitEdge[];
  /** Number of edges by parameter name, zeros included. */
  readonly perMatrix: Record<string, number>;
}

/**
 * Edges between kept nodes.
 * @param params at least the four matrices of each block: c_attn (3*H*K, Din; rows q, k, v), attention c_proj (D, H*K),
 *   c_fc (F, Din), MLP c_proj (D, F)
 * @param kept flat indices or a mask over the flat order of nodes
 */
export function circuitEdges(config: ModelConfig, params: Params, kept: KeptNodes): EdgeSet {
  const edges: CircuitEdge[] = [];
  const perMatrix: Record<string, number> = {};
  forEachEdge(
    config,
    params,
    keptSites(config, kept),
    ({ matrix, layer, sourceSite, sourceChannel, targetSite, targetChannel, weight }) => {
      perMatrix[matrix]!++;
      edges.push({
        source: nodeId({ layer, site: sourceSite, channel: sourceChannel }),
        target: nodeId({ layer, site: targetSite, channel: targetChannel }),
        weight,
        matrix,
      });
    },
    (matrix) => {
      perMatrix[matrix] ??= 0;
    },
  );
  return { edges, perMatrix };
}

/** (V, D) embedding. */
export function embedding(config: ModelConfig, params: Params): Float32Array {
  return matrixOf(params, WTE, config.vocabSize, config.width);
}

/** (V, D) unembedding; the embedding if the model is tied. */
export function unembedding(config: ModelConfig, params: Params): Float32Array {
  if (config.tiedUnembed) return embedding(config, params);
  return matrixOf(params, LM_HEAD, config.vocabSize, config.width);
}
