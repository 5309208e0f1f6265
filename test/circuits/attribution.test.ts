/** Attribution graphs: the fields that their viewers ask for, what they trip over, and numbers that are the circuit's. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { attributionGraph } from "../../src/circuits/export/attribution.ts";
import type { Circuit } from "../../src/circuits/schema.ts";
import { unroll, WHOLE } from "../../src/circuits/trace.ts";
import { SITES } from "../../src/model/sites.ts";

import { formatJson } from "../../src/util/json.ts";
import { exampleCircuit, LABELS, nasty, randomCircuit, randomTrace } from "./support.ts";
import { world, worlds } from "./worlds.ts";

const metadataSchema = z.strictObject({
  slug: z.string().regex(/^[A-Za-z0-9-]+$/),
  scan: z.string(),
  prompt: z.string(),
  prompt_tokens: z.array(z.string()).min(1),
  transcoder_list: z.array(z.string()),
  node_threshold: z.number().min(0).max(1),
  schema_version: z.literal(1),
  info: z.strictObject({
    description: z.string(),
    creator_name: z.string(),
    creator_url: z.string(),
    source_urls: z.array(z.string()),
    generator: z.strictObject({ name: z.string(), version: z.string(), url: z.string() }),
    create_time_ms: z.int().min(0),
  }),
});
const layerSchema = z.string().regex(/^(E|\d+)$/);
const count = z.int().min(0);
const node = {
  feature: count,
  layer: layerSchema,
  ctx_idx: count,
  jsNodeId: z.string(),
  influence: z.number().min(0).max(1),
};
const numbers = { activation: z.number(), token_prob: z.number().min(0).max(1), is_target_logit: z.boolean() };
const rest = { ...numbers, run_idx: z.int(), reverse_ctx_idx: z.int() };
const clerp = z.string().min(1);
const graphSchema = z.strictObject({
  metadata: metadataSchema,
  qParams: z.strictObject({
    pinnedIds: z.array(z.string()),
    supernodes: z.array(z.array(z.string())),
    linkType: z.literal("both"),
    clickedId: z.string(),
    sg_pos: z.string(),
  }),
  nodes: z.array(
    z.discriminatedUnion("feature_type", [
      z.strictObject({
        ...node,
        ...rest,
        clerp,
        feature_type: z.literal("cross layer transcoder"),
        node_id: z.string().regex(/^\d+_\d+_\d+$/),
      }),
      z.strictObject({
        ...node,
        ...rest,
        clerp,
        feature_type: z.literal("embedding"),
        node_id: z.string().regex(/^E_\d+_\d+$/),
      }),
      z.strictObject({
        ...node,
        ...rest,
        clerp: z.string().regex(/\(p=\d\.\d+\)/),
        feature_type: z.literal("logit"),
        node_id: z.string().regex(/^\d+_\d+_\d+$/),
      }),
    ]),
  ),
  links: z.array(z.strictObject({ source: z.string(), target: z.string(), weight: z.number() })),
});

describe("attribution graph", () => {
  it("law: fits the schema; ids, places and links are consistent; influence is cumulative", () => {
    fc.assert(
      fc.property(worlds(0.3, 12), ({ seed, ...options }) => {
        const { circuit, traces } = world(seed, options);
        for (const trace of traces) {
          const graph = graphSchema.parse(JSON.parse(JSON.stringify(attributionGraph(circuit, trace))));
          const ids = new Set(graph.nodes.map((n) => n.node_id));
          expect(ids.size).toBe(graph.nodes.length);
          const places = new Set(graph.nodes.map((n) => `${n.layer} ${n.feature} ${n.ctx_idx}`));
          expect(places.size).toBe(graph.nodes.length);
          const order = (id: string): number => (id.startsWith("E") ? -1 : Number.parseInt(id, 10));
          for (const { source, target } of graph.links) {
            expect(ids.has(source) && ids.has(target)).toBe(true);
            expect(order(source)).toBeLessThan(order(target));
          }
          for (const { ctx_idx } of graph.nodes) expect(ctx_idx).toBeLessThan(graph.metadata.prompt_tokens.length);
          const inner = graph.nodes.filter((n) => n.feature_type !== "logit");
          expect(inner.every((n) => n.influence <= graph.metadata.node_threshold)).toBe(true);
          for (const n of inner) {
            if (n.feature_type === "embedding") {
              expect(n.node_id).toBe(`E_${trace.tokens[n.ctx_idx]!.token}_${n.ctx_idx}`);
              continue;
            }
            const [layer, channel] = n.node_id.split("_").map(Number) as [number, number];
            expect(n.feature).toBe(((layer + channel) * (layer + channel + 1)) / 2 + channel);
            expect(n.clerp).toBe(`${Math.floor(layer / 8)}.${SITES[layer % 8]}:${channel}`);
          }
          const logits = graph.nodes.filter((n) => n.feature_type === "logit");
          expect(logits.map((n) => n.layer)).toEqual(["17", "17"]);
          expect(logits.reduce((sum, n) => sum + n.token_prob, 0)).toBeCloseTo(1, 6);
        }
      }),
      { numRuns: 10 },
    );
  });

  it("survives what viewers do with it, on random circuits with any label and token", () => {
    for (const label of [...LABELS, "(p=0.5)", '"', ""]) {
      for (const base of [exampleCircuit(), randomCircuit(4, 60)]) {
        const circuit = nasty(base, label);
        const trace = randomTrace(circuit, 1, 12);
        const named = {
          ...trace,
          answers: trace.answers.map((a, i) => ({ ...a, text: label, circuit: i ? 0.25 : 0.75 })),
        };
        const graph = graphSchema.parse(JSON.parse(formatJson(attributionGraph(circuit, named))));
        // Their pictures need a layer above 0, and take the probability of an answer from its text.
        const features = graph.nodes.filter((n) => n.feature_type === "cross layer transcoder");
        expect(Math.max(...features.map((n) => Number(n.layer)))).toBeGreaterThan(0);
        for (const { clerp, token_prob } of graph.nodes.filter((n) => n.feature_type === "logit")) {
          expect(Number(clerp.split("(p=")[1]!.split(")")[0])).toBeCloseTo(token_prob, 3);
        }
        // Layer and channel are unpaired from the feature.
        for (const { feature, layer, node_id, clerp } of features) {
          const w = Math.floor((Math.sqrt(8 * feature + 1) - 1) / 2);
          const channel = feature - (w * (w + 1)) / 2;
          expect([w - channel, channel]).toEqual([Number(layer), Number(node_id.split("_")[1])]);
          expect(clerp).toContain(circuit.nodes.find((n) => n.channel === channel && clerp.startsWith(n.id))!.id);
        }
        expect(graph.metadata.prompt_tokens.join("")).toBe(graph.metadata.prompt);
      }
    }
  });

  it("links are weights times activations, and times attention from value to write", () => {
    const { circuit, traces } = world(4, { share: 0.4 });
    const trace = traces[0]!;
    const { links } = attributionGraph(circuit, trace);
    const byEnds = new Map(links.map((l) => [`${l.source}>${l.target}`, l.weight]));
    const id = (node: Circuit["nodes"][number], position: number): string =>
      `${node.layer * 8 + SITES.indexOf(node.site)}_${node.channel}_${position}`;
    const byId = new Map(circuit.nodes.map((n) => [n.id, n]));
    const whole = unroll(circuit, trace, WHOLE);
    let [within, across] = [0, 0];
    for (const { source, target, weight } of circuit.edges) {
      const [from, to] = [byId.get(source)!, byId.get(target)!];
      for (const position of whole.positions) {
        if (from.site !== "attn.v") {
          const link = byEnds.get(`${id(from, position)}>${id(to, position)}`);
          if (link !== undefined) within++;
          if (link !== undefined) expect(link).toBeCloseTo(weight * trace.values.get(source)![position]!, 5);
          continue;
        }
        for (let p = 0; p <= position; p++) {
          const link = byEnds.get(`${id(from, p)}>${id(to, position)}`);
          if (link === undefined) continue;
          across++;
          const attention = trace.attention.get(`${from.layer}.${from.head}`)![position]![p]!;
          expect(link).toBeCloseTo(weight * attention * trace.values.get(source)![p]!, 5);
        }
      }
    }
    expect(Math.min(within, across)).toBeGreaterThan(10);
  });
});
