import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { circuitLinks, connectedNodes } from "../../src/circuits/connect.ts";
import { circuitEdges, type Params } from "../../src/circuits/edges.ts";
import { type KeptNodes, keptSites } from "../../src/circuits/kept.ts";
import type { ModelConfig } from "../../src/model/config.ts";
import { nodeId, parseNodeId } from "../../src/model/sites.ts";
import { keptOf, plantedConfig, plantedKept, plantedParams, randomKept, randomModel } from "./support.ts";

const idsOf = (config: ModelConfig, kept: KeptNodes): string[] => keptSites(config, kept).nodes.map(nodeId);

/** What is left of the given nodes of a model. */
function left(config: ModelConfig, params: Params, ids: string[]): string[] {
  return idsOf(config, connectedNodes(config, params, keptOf(config, ids)).kept);
}

/** A 2-layer model of width 4, one head of width 2, 3 neurons; weights from `[parameter, row, column]`. */
function tiny(entries: [string, number, number][], over: Partial<ModelConfig> = {}): [ModelConfig, Params] {
  const config = {
    ...plantedConfig,
    ...{
      layers: 2,
      width: 4,
      heads: 1,
      headWidth: 2,
      neurons: 3,
      vocabSize: 3,
      positions: "none" as const,
      sink: false,
    },
    ...over,
  };
  const [d, a, f] = [config.width, 2, 3];
  const din = d + config.positionChannels;
  const shapes: Record<string, [number, number]> = { "transformer.wte": [3, d], lm_head: [3, d] };
  for (const l of [0, 1]) {
    shapes[`transformer.h.${l}.attn.c_attn`] = [3 * a, din];
    shapes[`transformer.h.${l}.attn.c_proj`] = [d, a];
    shapes[`transformer.h.${l}.mlp.c_fc`] = [f, din];
    shapes[`transformer.h.${l}.mlp.c_proj`] = [d, f];
  }
  const params = new Map(Object.entries(shapes).map(([n, [r, c]]) => [`${n}.weight`, new Float32Array(r * c)]));
  for (const [name, row, column] of entries) params.get(`${name}.weight`)![row * shapes[name]![1] + column] = 1;
  return [config, params];
}

describe("nodes without a path", () => {
  const chain: [string, number, number][] = [
    ["transformer.wte", 0, 0],
    ["transformer.h.0.mlp.c_fc", 1, 0],
    ["transformer.h.0.mlp.c_proj", 2, 1],
    ["transformer.h.1.mlp.c_fc", 0, 2],
    ["transformer.h.1.mlp.c_proj", 3, 0],
    ["lm_head", 1, 3],
  ];
  const path = [
    "0.mlp.act_in:0",
    "0.mlp.post_act:1",
    "0.mlp.resid_delta:2",
    "1.mlp.act_in:2",
    "1.mlp.post_act:0",
    "1.mlp.resid_delta:3",
  ];

  it("keeps a whole path through two layers, and every cut of it loses everything", () => {
    const [config, params] = tiny(chain);
    expect(left(config, params, path)).toEqual(path);
    for (const missing of path) {
      expect(
        left(
          config,
          params,
          path.filter((id) => id !== missing),
        ),
      ).toEqual([]);
    }
    for (const missing of chain) {
      const [, cut] = tiny(chain.filter((e) => e !== missing));
      expect(left(config, cut, path)).toEqual([]);
    }
  });

  it("a read is fed by an earlier write only, not by a later one", () => {
    const [config, params] = tiny([
      ["transformer.wte", 0, 0],
      ["transformer.h.1.mlp.c_fc", 0, 0],
      ["transformer.h.1.mlp.c_proj", 2, 0],
      ["transformer.h.0.mlp.c_fc", 0, 2],
      ["transformer.h.0.mlp.c_proj", 3, 0],
      ["lm_head", 1, 3],
    ]);
    const ids = ["1.mlp.act_in:0", "1.mlp.post_act:0", "1.mlp.resid_delta:2"];
    const backwards = ["0.mlp.act_in:2", "0.mlp.post_act:0", "0.mlp.resid_delta:3"];
    expect(left(config, params, [...ids, ...backwards])).toEqual([]);
  });

  it("position channels are input, biases are not", () => {
    const entries: [string, number, number][] = [
      ["transformer.h.0.mlp.c_fc", 1, 4],
      ["transformer.h.0.mlp.c_proj", 2, 1],
      ["lm_head", 0, 2],
    ];
    const [config, params] = tiny(entries, { positions: "learned-channels", positionChannels: 1 });
    const ids = ["0.mlp.act_in:4", "0.mlp.post_act:1", "0.mlp.resid_delta:2"];
    expect(left(config, params, ids)).toEqual(ids);
    expect(left(config, params, ids.slice(1))).toEqual([]);
  });

  it("added positions are input of the channels they are nonzero in", () => {
    const [config, params] = tiny(chain.slice(1), { positions: "added" });
    expect(left(config, params, path)).toEqual([]);
    const positions = new Float32Array(config.contextLength * config.width);
    positions[config.width] = 1;
    expect(left(config, new Map([...params, ["transformer.wpe.weight", positions]]), path)).toEqual(path);
  });

  it("a tied model writes out through its embedding", () => {
    const [config, params] = tiny([...chain.filter(([name]) => name !== "lm_head"), ["transformer.wte", 2, 3]], {
      tiedUnembed: true,
    });
    expect(left(config, params, path)).toEqual(path);
  });

  describe("attention", () => {
    // Token -> channel 0; q reads 0, k reads 0, v reads 1; v channel 1 -> channel 2 -> unembedding.
    const head: [string, number, number][] = [
      ["transformer.wte", 0, 0],
      ["transformer.wte", 1, 1],
      ["transformer.h.0.attn.c_attn", 0, 0],
      ["transformer.h.0.attn.c_attn", 2, 0],
      ["transformer.h.0.attn.c_attn", 5, 1],
      ["transformer.h.0.attn.c_proj", 2, 1],
      ["lm_head", 0, 2],
    ];
    const pattern = ["0.attn.act_in:0", "0.attn.q:0", "0.attn.k:0"];
    const value = ["0.attn.act_in:1", "0.attn.v:1", "0.attn.resid_delta:2"];
    const all = [
      "0.attn.act_in:0",
      "0.attn.act_in:1",
      "0.attn.q:0",
      "0.attn.k:0",
      "0.attn.v:1",
      "0.attn.resid_delta:2",
    ];

    it("q and k stay only with a v of their head that reaches the output", () => {
      const [config, params] = tiny(head);
      expect(left(config, params, all)).toEqual(all);
      expect(left(config, params, pattern)).toEqual([]);
      expect(left(config, params, value)).toEqual(value);
      const [, silent] = tiny(head.filter(([name]) => !name.endsWith("c_proj")));
      expect(left(config, silent, all)).toEqual([]);
    });

    it("a q without input is dropped, its k stays", () => {
      const [config, params] = tiny(head.filter(([name, row]) => !(name.endsWith("c_attn") && row === 0)));
      expect(left(config, params, all)).toEqual(all.filter((id) => id !== "0.attn.q:0"));
    });

    it("a v without input of its own varies only where a sink takes part of the attention", () => {
      const bare = all.filter((id) => id !== "0.attn.act_in:1");
      const [config, params] = tiny(head);
      expect(left(config, params, bare)).toEqual([]);
      expect(left({ ...config, sink: true }, params, bare)).toEqual(bare);
    });
  });
});

it("the planted circuit loses its constant query and nothing else", () => {
  const { kept, dropped } = connectedNodes(plantedConfig, plantedParams, plantedKept("planted"));
  const before = idsOf(plantedConfig, plantedKept("planted"));
  expect(idsOf(plantedConfig, kept)).toEqual(before.filter((id) => id !== "1.attn.q:5"));
  expect(dropped).toEqual([...keptOf(plantedConfig, ["1.attn.q:5"])]);
});

/** Nodes on a path, by walking the graph of edges and links by name: an independent, slower definition. */
function onPath(config: ModelConfig, params: Params, kept: ReadonlySet<number>): string[] {
  let ids = idsOf(config, kept);
  for (;;) {
    const alive = new Set(ids);
    const arrows: [string, string][] = [
      ...circuitEdges(config, params, kept).edges.map((e): [string, string] => [e.source, e.target]),
      ...circuitLinks(config, kept)
        .filter((l) => l.kind === "residual" || (l.kind === "value" && config.sink))
        .map((l): [string, string] => [l.source, l.target]),
    ].filter(([s, t]) => alive.has(s) && alive.has(t));
    const back = circuitLinks(config, kept)
      .filter((l) => l.kind === "value" && alive.has(l.source) && alive.has(l.target))
      .map((l): [string, string] => [l.target, l.source]);
    const spread = (start: string[], along: [string, string][]): Set<string> => {
      const seen = new Set(start);
      for (let grew = true; grew; ) {
        grew = false;
        for (const [s, t] of along) {
          if (seen.has(s) && !seen.has(t)) {
            seen.add(t);
            grew = true;
          }
        }
      }
      return seen;
    };
    const nonzero = (name: string, c: number): boolean =>
      params.get(name)!.some((w, i) => i % config.width === c && w !== 0);
    const starts = ids.filter((id) => {
      const { site, channel } = parseNodeId(id);
      return site.endsWith("act_in") && (channel >= config.width || nonzero("transformer.wte.weight", channel));
    });
    const ends = ids.filter((id) => {
      const { site, channel } = parseNodeId(id);
      return site.endsWith("resid_delta") && nonzero("lm_head.weight", channel);
    });
    const fed = spread(starts, arrows);
    const reach = spread(ends, [...arrows.map(([s, t]): [string, string] => [t, s]), ...back]);
    const next = ids.filter((id) => fed.has(id) && reach.has(id));
    if (next.length === ids.length) return next;
    ids = next;
  }
}

it("law: exactly the nodes on a path are kept, and dropping is idempotent", () => {
  let [some, dropped] = [0, 0];
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 1e6 }),
      fc.integer({ min: 0, max: 260 }),
      fc.boolean(),
      (seed, count, sink) => {
        const { config, params } = randomModel(seed % 7, { sink }, 0.06);
        const kept = randomKept(config, seed, count);
        const once = connectedNodes(config, params, kept);
        expect(idsOf(config, once.kept)).toEqual(onPath(config, params, kept));
        expect(new Set([...once.dropped, ...[...kept].filter((i) => once.kept[i] === 1)])).toEqual(kept);
        const twice = connectedNodes(config, params, once.kept);
        expect(twice.dropped).toEqual([]);
        expect(twice.kept).toEqual(once.kept);
        some += once.kept.reduce((a, b) => a + b, 0);
        dropped += once.dropped.length;
      },
    ),
    { numRuns: 40 },
  );
  // The law would say nothing if everything, or nothing, were always dropped.
  expect(some).toBeGreaterThan(100);
  expect(dropped).toBeGreaterThan(100);
});

describe("links", () => {
  it("of the planted circuit", () => {
    const text = circuitLinks(plantedConfig, plantedKept("planted")).map((l) => `${l.kind} ${l.source} ${l.target}`);
    expect(text).toEqual([
      "residual 0.mlp.resid_delta:7 1.attn.act_in:7",
      "residual 0.mlp.resid_delta:12 1.attn.act_in:12",
      "query-key 1.attn.q:5 1.attn.k:5",
      "value 1.attn.q:5 1.attn.v:5",
      "value 1.attn.k:5 1.attn.v:5",
    ]);
  });

  it("law: residual links go forward along one channel; attention links stay in one head", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1e6 }), fc.integer({ min: 0, max: 200 }), (seed, count) => {
        const { config } = randomModel(0);
        const kept = randomKept(config, seed, count);
        const ids = idsOf(config, kept);
        for (const { kind, source, target } of circuitLinks(config, kept)) {
          const [s, t] = [parseNodeId(source), parseNodeId(target)];
          expect(ids.indexOf(source)).toBeGreaterThanOrEqual(0);
          expect(ids.indexOf(source)).toBeLessThan(ids.indexOf(target));
          if (kind === "value") expect(Math.floor(s.channel / 4)).toBe(Math.floor(t.channel / 4));
          else expect(s.channel).toBe(t.channel);
          if (kind !== "residual") expect(s.layer).toBe(t.layer);
        }
      }),
      { numRuns: 30 },
    );
  });
});
