/**
 * The circuit file: one versioned `circuit.json` from which every table, figure and export is made. This file holds
 * its schema and types, nothing else; reading and writing are in file.ts.
 *
 * Units: losses are natural-log cross entropies over a pair's two candidates, averaged over both prompts of a pair
 * (untrained level ln 2); weights and activations are the model's own numbers; counts are plain counts.
 */
import { z } from "zod";
import { nodeId, SITES } from "../model/sites.ts";
import { verificationSchema } from "./verification.ts";

export const CIRCUIT_FORMAT = "sparse-circuits/circuit";
export const CIRCUIT_VERSION = 2;

const count = z.int().min(0);
const channel = z.int().min(0);
/** Null where a split was not evaluated. */
const perSplit = z.strictObject({
  train: z.number().nullable(),
  val: z.number().nullable(),
  test: z.number().nullable(),
});
const site = z.enum(SITES);

const modelSchema = z.strictObject({
  /** Name of the training run, or of the imported folder. */
  run: z.string(),
  layers: count,
  heads: count,
  headWidth: count,
  /** Residual channels, D. */
  width: count,
  /** MLP neurons, F. */
  neurons: count,
  vocabSize: count,
  /** Read-only position channels: act_in channels from `width` on. */
  positionChannels: count,
  /** Hash of all weights, so that a circuit is never shown on another model unnoticed. */
  weightsHash: z.string(),
});

const taskSchema = z.strictObject({
  name: z.string(),
  variant: z.string(),
  /** Contrast pairs in each split the circuit was made and judged with. */
  pairs: z.strictObject({ train: count, val: count, test: count }),
});

const drivingToken = z.strictObject({
  token: count,
  tokenText: z.string(),
  /** The node's activation at that token. */
  value: z.number(),
});

const nodeSchema = z.strictObject({
  /** `<layer>.<site>:<channel>` */
  id: z.string(),
  site,
  layer: count,
  channel,
  /** Of q, k and v channels: floor(channel / headWidth). */
  head: count.optional(),
  /** Mean over the calibration tokens: the value the node has when ablated. */
  meanActivation: z.number(),
  /** How much the task loss rises when this node alone is ablated; null if it was not measured. */
  importance: z.number().nullable(),
  /** Tokens that drive it, strongest first. */
  reads: z.array(drivingToken).optional(),
  /** What its values are multiplied by, where it was scaled by hand. */
  scale: z.number().optional(),
  /** A human's (or a script's) name for what the node does. */
  label: z.string().optional(),
});

const edgeSchema = z.strictObject({
  source: z.string(),
  target: z.string(),
  weight: z.number(),
  /** Parameter name of the matrix that holds the weight. */
  matrix: z.string(),
});

const linkSchema = z.strictObject({
  /**
   * residual: a write to a residual channel that a later node reads; query-key: q and k of one head and channel, which
   * are multiplied; value: q or k of a head with the v channels that its attention pattern moves.
   */
  kind: z.enum(["residual", "query-key", "value"]),
  source: z.string(),
  target: z.string(),
});

const embeddingEntry = z.strictObject({
  token: count,
  tokenText: z.string(),
  /** Residual channel that the token writes to. */
  channel,
  weight: z.number(),
});

const unembeddingEntry = z.strictObject({
  /** Residual channel that is read. */
  channel,
  token: count,
  tokenText: z.string(),
  weight: z.number(),
  /** Whether the token is a candidate answer of the task. */
  answer: z.boolean(),
});

const editSchema = z.strictObject({
  action: z.enum(["remove", "add", "scale"]),
  node: z.string(),
  /** Of scale: what the node's values are multiplied by. */
  factor: z.number().optional(),
  /** Of the circuit with the edit. */
  nodes: count,
  edges: count,
  taskLoss: perSplit,
});

const stageSchema = z.strictObject({
  name: z.string(),
  nodesBefore: count,
  nodesAfter: count,
  edgesBefore: count.optional(),
  edgesAfter: count.optional(),
  taskLoss: z.number().nullable().optional(),
});

const fileSchema = z.strictObject({
  format: z.literal(CIRCUIT_FORMAT),
  version: z.literal(CIRCUIT_VERSION),
  model: modelSchema,
  task: taskSchema,
  ablation: z.strictObject({
    /** What stands in an ablated node's place: its mean over text, nothing, or what it was at some token of text. */
    kind: z.enum(["mean", "zero", "resample"]),
    split: z.literal("calib"),
    /** Pretraining tokens that the values are from. */
    tokens: count,
    /** How many vectors of values: pairs are dealt to them in turn. */
    draws: count.default(1),
    /** Whether norms divided by what they divide by in the full model. */
    frozenNorm: z.boolean().default(false),
  }),
  /** Task loss the search had to reach. */
  target: z.number(),
  taskLoss: perSplit,
  /** Fraction of prompts where the right candidate has the larger logit. */
  pairAccuracy: perSplit,
  /** The unpruned model's task loss. */
  fullTaskLoss: perSplit,
  nodes: z.array(nodeSchema),
  edges: z.array(edgeSchema),
  /** Edges between its nodes that are not the circuit's: they carry what their ablated source would send. */
  removedEdges: z.array(edgeSchema).default(() => []),
  links: z.array(linkSchema),
  /** Entries of the embedding into channels that the circuit reads; a selection, never counted as edges. */
  embedding: z.array(embeddingEntry),
  /** Entries of the unembedding from channels that the circuit writes; a selection, never counted as edges. */
  unembedding: z.array(unembeddingEntry),
  counts: z.strictObject({
    nodes: count,
    edges: count,
    /** By parameter name, zeros included. */
    edgesPerMatrix: z.record(z.string(), count),
    /** Before nodes without a path from input to output were dropped. */
    nodesBeforeDropping: count,
    edgesBeforeDropping: count,
    /** All nonzero entries, of which `embedding` and `unembedding` hold the relevant ones. */
    embeddingEntries: count,
    unembeddingEntries: count,
  }),
  /** The smallest circuit when a scale and a shift of the final logits are fitted too; null if not done. */
  calibrated: z
    .looseObject({
      nodes: count,
      edges: count,
      taskLoss: z.number(),
      scale: z.number(),
      /** One number, or one for each vocabulary entry. */
      shift: z.union([z.number(), z.array(z.number())]),
    })
    .nullable(),
  /** The smallest circuits found for several targets, strictest last: how the task loss falls with the edges. */
  curve: z
    .array(z.strictObject({ target: z.number(), nodes: count, edges: count, taskLoss: perSplit }))
    .default(() => []),
  search: z.strictObject({
    method: z.string(),
    seeds: z.array(z.int()),
    /** Whether query and key of a channel were to stay or go together. */
    tiedQk: z.boolean(),
    /** Sites whose nodes were pruned. */
    sites: z.array(site).default(() => [...SITES]),
    /** Whether the search also asked for other ablations, relaxation and necessity. */
    faithful: z.boolean(),
    /** Masks whose task loss was evaluated. */
    candidates: count,
    stages: z.array(stageSchema),
    /** Whether no single node can be removed without missing the target on the training pairs or failing on the others. */
    oneMinimal: z.boolean(),
  }),
  /** What was changed by hand since, in order. */
  edits: z.array(editSchema).default(() => []),
  /** Whether it is real, as far as that was checked; null if it was not since it was last changed. */
  verification: verificationSchema.nullable(),
  provenance: z.strictObject({ seed: z.int(), toolVersion: z.string(), engine: z.string() }),
});

/** The schema with the laws that relate its fields. */
export const circuitSchema = fileSchema.superRefine((circuit, context) => {
  const refuse = (path: (string | number)[], message: string): void => {
    context.addIssue({ code: "custom", path, message });
  };
  const ids = new Set<string>();
  for (const [i, node] of circuit.nodes.entries()) {
    const expected = nodeId(node);
    if (node.id !== expected) refuse(["nodes", i, "id"], `expected "${expected}" but received "${node.id}"`);
    if (ids.has(node.id)) refuse(["nodes", i, "id"], `"${node.id}" occurs twice`);
    ids.add(node.id);
  }
  for (const list of ["edges", "links"] as const) {
    const seen = new Set<string>();
    for (const [i, edge] of circuit[list].entries()) {
      for (const end of ["source", "target"] as const) {
        if (!ids.has(edge[end])) refuse([list, i, end], `"${edge[end]}" is not a node of the circuit`);
      }
      const pair = `${edge.source}>${edge.target}`;
      if (seen.has(pair)) refuse([list, i], `${edge.source} to ${edge.target} occurs twice`);
      seen.add(pair);
    }
  }
  for (const list of ["nodes", "edges"] as const) {
    const [stated, actual] = [circuit.counts[list], circuit[list].length];
    if (stated !== actual) refuse(["counts", list], `says ${stated} but there are ${actual}`);
  }
});

export type Circuit = z.infer<typeof circuitSchema>;
export type CircuitEdit = Circuit["edits"][number];
export type CircuitNode = Circuit["nodes"][number];
export type CircuitEdge = Circuit["edges"][number];
export type CircuitLink = Circuit["links"][number];
export type EmbeddingEntry = Circuit["embedding"][number];
export type UnembeddingEntry = Circuit["unembedding"][number];
