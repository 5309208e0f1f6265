/** Circuits to test with: the model with a planted circuit, an example made from it, and random circuits. */
import { readFileSync } from "node:fs";
import fc from "fast-check";
import type { Params } from "../../src/circuits/edges.ts";
import { CIRCUIT_FORMAT, CIRCUIT_VERSION, type Circuit } from "../../src/circuits/schema.ts";
import { circuitStructure } from "../../src/circuits/structure.ts";
import { headKey, type Trace } from "../../src/circuits/trace.ts";
import type { ModelConfig } from "../../src/model/config.ts";
import { nodeCount, parseNodeId, SITES, siteSpecs } from "../../src/model/sites.ts";
import { Rng } from "../../src/util/rng.ts";

interface Fixture {
  readonly config: ModelConfig;
  readonly params: Record<string, string>;
  readonly masks: Record<
    string,
    {
      readonly kept: "all" | Record<string, number[]>;
      readonly nodes: number;
      readonly edges: number;
      readonly edgesPerMatrix: Record<string, number> | null;
    }
  >;
}

const fixture = JSON.parse(
  readFileSync(new URL("../fixtures/circuits/planted-model.json", import.meta.url), "utf8"),
) as Fixture;

export const plantedConfig = fixture.config;
export const plantedMasks = fixture.masks;
export const plantedParams: Params = new Map(
  Object.entries(fixture.params).map(([name, text]) => {
    const bytes = Buffer.from(text, "base64");
    return [name, new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length))];
  }),
);

/** Flat indices of one of the fixture's masks. */
export function plantedKept(name: string): Set<number> {
  const { kept } = fixture.masks[name]!;
  const set = new Set<number>();
  for (const { name: site, offset, width } of siteSpecs(plantedConfig)) {
    for (const c of kept === "all" ? Array.from({ length: width }, (_, i) => i) : kept[site]!) set.add(offset + c);
  }
  return set;
}

export function keptOf(config: ModelConfig, ids: readonly string[]): Set<number> {
  const set = new Set<number>();
  for (const id of ids) {
    const { layer, site, channel } = parseNodeId(id);
    set.add(siteSpecs(config).find((s) => s.layer === layer && s.site === site)!.offset + channel);
  }
  return set;
}

const TOKENS = [
  "<|end|>",
  '"',
  "'",
  "(",
  ")",
  "x",
  "name",
  "str",
  " print",
  "=",
  "\n",
  "\t",
  "❤️",
  "<script>",
  "a&b",
  "]",
];
const NODE_LABELS: Record<string, string> = {
  "0.mlp.post_act:11": "any quote",
  "0.mlp.post_act:15": "double or single",
  "1.attn.k:5": "where a quote is",
  "1.attn.v:5": "which quote it was",
};

/** The parts of a circuit file that are not structure. */
function frame(
  config: ModelConfig,
): Omit<Circuit, "nodes" | "edges" | "removedEdges" | "links" | "embedding" | "unembedding" | "counts"> {
  const { layers, heads, headWidth, width, neurons, vocabSize, positionChannels } = config;
  return {
    format: CIRCUIT_FORMAT,
    version: CIRCUIT_VERSION,
    curve: [],
    model: {
      run: "planted",
      layers,
      heads,
      headWidth,
      width,
      neurons,
      vocabSize,
      positionChannels,
      weightsHash: "sha256:0123456789abcdef",
    },
    task: { name: "single_double_quote", variant: "base", pairs: { train: 256, val: 64, test: 64 } },
    ablation: { kind: "mean", split: "calib", tokens: 65536, draws: 1, frozenNorm: false },
    target: 0.15,
    taskLoss: { train: 0.0191372, val: 0.02, test: 0.021 },
    pairAccuracy: { train: 1, val: 1, test: 0.984375 },
    fullTaskLoss: { train: 0.0196, val: 0.0203, test: 0.0205 },
    calibrated: { nodes: 12, edges: 9, taskLoss: 1e-3, scale: 1.5, shift: 0 },
    search: {
      method: "continuous-sparsification",
      seeds: [0, 1],
      candidates: 120,
      stages: [{ name: "bisect", nodesBefore: 224, nodesAfter: 12, edgesBefore: 468, edgesAfter: 9, taskLoss: 0.0191 }],
      tiedQk: false,
      sites: [...SITES],
      faithful: false,
      oneMinimal: true,
    },
    edits: [],
    verification: null,
    provenance: { seed: 0, toolVersion: "0.1.0", engine: "reference" },
  };
}

/** The planted circuit as a file: 12 nodes, 9 edges. */
export function exampleCircuit(): Circuit {
  const {
    kept: _,
    dropped: __,
    nodes,
    ...structure
  } = circuitStructure(plantedConfig, plantedParams, plantedKept("planted"), {
    tokenText: (token) => TOKENS[token]!,
    promptTokens: new Set([1, 2]),
    answerTokens: new Set([1, 2]),
    strongest: 1,
    keepDisconnected: true,
  });
  return {
    ...frame(plantedConfig),
    ...structure,
    nodes: nodes.map((node, i) => ({
      ...node,
      meanActivation: 0.1 * (i + 1),
      importance: 0.3 - 0.02 * i,
      ...(NODE_LABELS[node.id] === undefined ? {} : { label: NODE_LABELS[node.id]! }),
      ...(node.site === "mlp.post_act"
        ? {
            reads: [
              { token: 1, tokenText: TOKENS[1]!, value: 1.2 },
              { token: 2, tokenText: TOKENS[2]!, value: 1.1 },
            ],
          }
        : {}),
    })),
  };
}

/** The planted circuit with a curve: edges at each target. */
export function withCurve(edges: Readonly<Record<number, number>>, over: Partial<Circuit> = {}): Circuit {
  const points = Object.entries(edges).sort(([a], [b]) => Number(b) - Number(a));
  const curve = points.map(([text, n]) => {
    const target = Number(text);
    return { target, nodes: n + 1, edges: n, taskLoss: { train: target / 2, val: target, test: target } };
  });
  return { ...exampleCircuit(), curve, ...over };
}

/** A circuit without nodes. */
export function emptyCircuit(): Circuit {
  return {
    ...frame(plantedConfig),
    nodes: [],
    edges: [],
    removedEdges: [],
    links: [],
    embedding: [],
    unembedding: [],
    counts: {
      nodes: 0,
      edges: 0,
      edgesPerMatrix: {},
      nodesBeforeDropping: 0,
      edgesBeforeDropping: 0,
      embeddingEntries: 0,
      unembeddingEntries: 0,
    },
    calibrated: null,
  };
}

export interface RandomModel {
  readonly config: ModelConfig;
  readonly params: Params;
}

/** A model with sparse random weights. */
export function randomModel(seed: number, over: Partial<ModelConfig> = {}, density = 0.1): RandomModel {
  const config: ModelConfig = {
    ...plantedConfig,
    positions: "none",
    layers: 3,
    width: 24,
    heads: 3,
    headWidth: 4,
    neurons: 48,
    vocabSize: 40,
    ...over,
  };
  const rng = Rng.of("random-model", seed);
  const matrix = (size: number): Float32Array =>
    Float32Array.from({ length: size }, () => (rng.float() < density ? rng.normal() * 3 : 0));
  const [d, din, a] = [config.width, config.width + config.positionChannels, config.heads * config.headWidth];
  const params = new Map<string, Float32Array>([
    ["transformer.wte.weight", matrix(config.vocabSize * d)],
    ["lm_head.weight", matrix(config.vocabSize * d)],
  ]);
  for (let l = 0; l < config.layers; l++) {
    params.set(`transformer.h.${l}.attn.c_attn.weight`, matrix(3 * a * din));
    params.set(`transformer.h.${l}.attn.c_proj.weight`, matrix(d * a));
    params.set(`transformer.h.${l}.mlp.c_fc.weight`, matrix(config.neurons * din));
    params.set(`transformer.h.${l}.mlp.c_proj.weight`, matrix(d * config.neurons));
  }
  return { config, params };
}

/** Random distinct flat indices. */
export function randomKept(config: ModelConfig, seed: number, count: number): Set<number> {
  const all = Array.from({ length: nodeCount(config) }, (_, i) => i);
  return new Set(Rng.of("random-kept", seed).sample(all, count));
}

const NASTY = [
  'say "hi"',
  "<script>alert(1)</script>",
  "🎉🎉 emoji 漢字",
  "a & b 'c'",
  "line\nbreak\ttab",
  "\u0000\u001b[31m",
  "",
];

/** A random circuit of about `nodes` nodes (all of them with `keepDisconnected`), with labels that need escaping. */
export function randomCircuit(seed: number, nodes: number, density = 0.15): Circuit {
  const rng = Rng.of("random-circuit", seed);
  const { config, params } = randomModel(
    seed,
    seed % 3 === 0 ? { positionChannels: 4, positions: "learned-channels" } : {},
    density,
  );
  const {
    kept: _,
    dropped: __,
    ...structure
  } = circuitStructure(config, params, randomKept(config, seed, nodes), {
    tokenText: (token) => (token < NASTY.length ? NASTY[token]! : ` tok${token}`),
    answerTokens: new Set([1, 2, 3]),
    keepDisconnected: true,
  });
  return {
    ...frame(config),
    ...structure,
    nodes: structure.nodes.map((node) => ({
      ...node,
      meanActivation: rng.normal(),
      importance: rng.bool() ? rng.float() : null,
      ...(rng.bool(0.3) ? { label: rng.pick(NASTY) } : {}),
      ...(rng.bool(0.3) ? { reads: [{ token: 3, tokenText: rng.pick(NASTY), value: rng.normal() }] } : {}),
    })),
  };
}

/** What a circuit might carry on a prompt of so many tokens: random numbers, attention that sums to at most 1. */
export function randomTrace(circuit: Circuit, seed: number, length: number): Trace {
  const rng = Rng.of("random-trace", seed);
  const { nodes, model } = circuit;
  const vector = (size: number, density: number): Float32Array =>
    Float32Array.from({ length: size }, () => (rng.float() < density ? rng.normal() : 0));
  const heads = new Set(nodes.filter((n) => n.site === "attn.v").map(headKey));
  const row = (query: number): number[] => {
    const weights = Array.from({ length: query + 1 }, () => Math.exp(3 * rng.normal()));
    const total = weights.reduce((a, b) => a + b, rng.float());
    return weights.map((w) => w / total);
  };
  const partners = nodes.flatMap(({ id }) => [id, id.replace(".q:", ".k:"), id.replace(".k:", ".q:")]);
  return {
    name: "random",
    tokens: Array.from({ length }, () => ({
      token: rng.int(0, model.vocabSize - 1),
      text: rng.pick([...NASTY, "x", " =", "name"]),
    })),
    values: new Map(nodes.map(({ id }) => [id, Float64Array.from({ length }, () => 3 * rng.normal())])),
    ablated: new Map(partners.map((id) => [id, rng.normal()])),
    attention: new Map([...heads].map((head) => [head, Array.from({ length }, (_, query) => row(query))])),
    embedding: Array.from({ length }, () => vector(model.width, 0.2)),
    answers: [1, 2].map((token) => ({
      ...{ token, text: rng.pick(NASTY), circuit: 0.5, full: 0.5, right: token === 1 },
      unembedding: vector(model.width, 0.3),
    })),
  };
}

/** Random circuits of 1 to `most` nodes. */
export function circuits(most: number): fc.Arbitrary<Circuit> {
  return fc
    .tuple(fc.integer({ min: 0, max: 1e6 }), fc.integer({ min: 1, max: most }), fc.constantFrom(0.05, 0.15, 0.4))
    .map(([seed, nodes, density]) => randomCircuit(seed, nodes, density));
}

/** The circuit with every free text replaced. */
export const nasty = (circuit: Circuit, label: string): Circuit => ({
  ...circuit,
  task: { ...circuit.task, name: label },
  model: { ...circuit.model, run: label },
  nodes: circuit.nodes.map((n) => ({ ...n, label, reads: [{ token: 0, tokenText: label, value: 1 }] })),
  embedding: circuit.embedding.map((e) => ({ ...e, tokenText: label })),
});

/** Texts that break what does not escape. */
export const LABELS = [
  "say \"hi\" & 'bye'",
  "<script>alert(1)</script>",
  "🎉 漢字 👩‍👩‍👧",
  "]]>",
  "\u0000\u001b\ud800",
  "\\",
  "{|}",
  "a\nb,\r\nc",
  "constructor",
  "\\input{/etc/passwd}\\end{document} $x_1^2$ #1 50% ~é`",
];
