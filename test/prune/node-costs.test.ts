/** What the full model loses without single nodes, found by leaving out groups: against leaving out each, and against draws. */
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { Model } from "../../src/model/model.ts";
import type { SiteSpec } from "../../src/model/sites.ts";
import { type Evaluator, lossOfMargins } from "../../src/prune/evaluator.ts";
import { countKept, without } from "../../src/prune/kept.ts";
import { MaskedModel } from "../../src/prune/masked-model.ts";
import { NodeCosts } from "../../src/prune/node-costs.ts";
import { Rng } from "../../src/util/rng.ts";
import { fastest } from "../support/engines.ts";
import { pruningFixture } from "./pruning-fixture.ts";

const specs = [
  { name: "0.attn.act_in", layer: 0, site: "attn.act_in", width: 100, offset: 0 },
  { name: "0.mlp.post_act", layer: 0, site: "mlp.post_act", width: 300, offset: 100 },
] as const satisfies readonly SiteSpec[];
const NODES = 400;

/** A model whose loss is 0.01 nats, and more by `costs[n]` without node n. */
function modelOf(costs: ReadonlyMap<number, number>): Evaluator & { scored: number } {
  return {
    scored: 0,
    score(kept) {
      this.scored++;
      const loss = 0.01 + [...costs].reduce((sum, [n, cost]) => sum + (kept[n] ? 0 : cost), 0);
      const margins = new Float64Array(2).fill(-Math.log(Math.expm1(loss)));
      return { loss: lossOfMargins(margins), margins };
    },
  };
}

/** How many nodes have to be added when the cheapest come first. */
function needed(costs: NodeCosts, kept: Uint8Array, most: number): number {
  const out = kept.slice();
  let count = 0;
  for (const [n] of costs.dearest.toReversed()) {
    if (costs.outside(out) <= most) break;
    if (out[n]) continue;
    out[n] = 1;
    count++;
  }
  return count;
}

const nodes = (most: number) => fc.uniqueArray(fc.integer({ min: 0, max: NODES - 1 }), { maxLength: most });
const costly = nodes(12).chain((list) =>
  fc
    .array(fc.double({ min: 0.02, max: 2, noNaN: true }), { minLength: list.length, maxLength: list.length })
    .map((costs) => new Map(list.map((n, i) => [n, costs[i]!] as const))),
);

describe("of a model whose nodes' costs add up", () => {
  it("are those nodes, found in fewer passes than there are nodes", () => {
    fc.assert(
      fc.property(costly, fc.double({ min: 0.003, max: 2.1, noNaN: true }), (costs, least) => {
        const model = modelOf(costs);
        const above = NodeCosts.of(model, specs).above(least);
        expect([...above.keys()].filter((n) => above[n])).toEqual(
          [...costs.keys()].filter((n) => costs.get(n)! >= least - 1e-9).sort((a, b) => a - b),
        );
        expect(model.scored).toBeLessThan(NODES / 2);
      }),
    );
  });

  it("outside of a circuit are what as many random nodes cost on average, site by site", () => {
    const costs = new Map([3, 50, 77, 120, 250, 399].map((n, i) => [n, 0.1 * (i + 1)]));
    const found = NodeCosts.of(modelOf(costs), specs);
    const rng = Rng.of("circuit of twenty");
    const circuit = [
      ...rng.sample([...Array(100).keys()], 12),
      ...rng.sample([...Array(300).keys()], 8).map((n) => n + 100),
    ];
    const kept = Uint8Array.from({ length: NODES }, (_, n) => (circuit.includes(n) ? 1 : 0));
    const rest = (from: number, to: number) => [...kept.keys()].filter((n) => n >= from && n < to && !kept[n]);
    const draws = 20_000;
    let sum = 0;
    for (let draw = 0; draw < draws; draw++) {
      for (const n of [...rng.sample(rest(0, 100), 12), ...rng.sample(rest(100, 400), 8)]) sum += costs.get(n) ?? 0;
    }
    expect(found.outside(kept)).toBeCloseTo(sum / draws, 2);
    expect(found.outside(kept)).toBeGreaterThan(0.02);
  });

  it("of a large circuit are counted as if it had fifty nodes", () => {
    const found = NodeCosts.of(modelOf(new Map([[399, 1]])), specs);
    const kept = (count: number) => Uint8Array.from({ length: NODES }, (_, n) => (n >= 100 && n < 100 + count ? 1 : 0));
    expect(found.outside(kept(40))).toBeCloseTo(40 / 260, 6);
    expect(found.outside(kept(100))).toBeCloseTo((100 / 200) * (50 / 100), 6);
    expect(found.outside(kept(0))).toBe(0);
  });

  it("are within what is allowed once the circuit has what is worth most, and no more than that", () => {
    fc.assert(
      fc.property(costly, nodes(40), fc.double({ min: 0.001, max: 0.1, noNaN: true }), (costs, circuit, most) => {
        const found = NodeCosts.of(modelOf(costs), specs);
        const kept = Uint8Array.from({ length: NODES }, (_, n) => (circuit.includes(n) ? 1 : 0));
        const completed = found.completed(kept, most);
        expect(found.outside(completed)).toBeLessThanOrEqual(most);
        const added = [...completed.keys()].filter((n) => completed[n] && !kept[n]);
        for (const n of added) expect(costs.has(n)).toBe(true);
        // No more than if the cheapest were added first.
        expect(added.length).toBeLessThanOrEqual(needed(found, kept, most));
        for (const n of circuit) expect(completed[n]).toBe(1);
        if (found.outside(kept) <= most) expect(added).toEqual([]);
      }),
    );
  });
});

describe("of a real model", () => {
  const { stored, batch, fill } = pruningFixture();
  const engine = fastest.open();
  afterAll(() => engine.dispose());
  const model = new MaskedModel(new Model(engine, stored), fill);

  it("are what leaving out each node gives", () => {
    const evaluator = model.evaluator(batch);
    const all = new Uint8Array(fill.length).fill(1);
    const full = evaluator.score(all).loss;
    const alone = Float64Array.from(all, (_, n) => evaluator.score(without(all, [n])).loss - full);
    const found = NodeCosts.of(evaluator, model.specs);
    for (const least of [0.005, 0.02, 0.1]) {
      expect(countKept(found.above(least)), `${least}`).toBeGreaterThan(0);
      expect(found.above(least)).toEqual(Uint8Array.from(alone, (cost) => (cost >= least ? 1 : 0)));
    }
  });
});
