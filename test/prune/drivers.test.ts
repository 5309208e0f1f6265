/** Driving tokens against a direct computation from recorded activations. */
import { describe, expect, it } from "vitest";
import { ReferenceEngine } from "../../src/engine/reference.ts";
import { Tape } from "../../src/engine/tape.ts";
import { finalHidden } from "../../src/model/forward.ts";
import { Model } from "../../src/model/model.ts";
import { initParams } from "../../src/model/names.ts";
import { siteSpecs } from "../../src/model/sites.ts";
import { drivingTokens } from "../../src/prune/drivers.ts";
import { meanActivations, type TokenBatch } from "../../src/prune/means.ts";
import { Rng } from "../../src/util/rng.ts";
import { config as stored } from "../support/stored-run.ts";

const config = { ...stored, vocabSize: 12 };
const model = new Model(new ReferenceEngine(), { config, params: initParams(config, 5) });
const rng = Rng.of("drivers");
/** Token 11 never occurs, token 10 only twice. */
const text: TokenBatch[] = Array.from({ length: 3 }, (_, i) => {
  const ids = Int32Array.from({ length: 6 * 8 }, () => rng.int(0, 9));
  if (i === 0) ids.fill(10, 0, 2);
  return { ids, tokens: { batch: 6, length: 8 } };
});

/** Activations of a node at every token of the text. */
function activations(node: number): { token: number; value: number }[] {
  const spec = siteSpecs(config).find((s) => node >= s.offset && node < s.offset + s.width)!;
  return text.flatMap(({ ids, tokens }) => {
    const tape = new Tape(model.engine, "nothing");
    const out: { token: number; value: number }[] = [];
    finalHidden(tape, model, ids, tokens, {
      record: (name, x) => {
        if (name !== spec.name) return;
        const values = model.engine.read(x);
        ids.forEach((token, n) => {
          out.push({ token, value: values[n * spec.width + node - spec.offset]! });
        });
      },
    });
    tape.free();
    return out;
  });
}

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

describe("driving tokens", () => {
  const nodes = siteSpecs(config).map((s) => s.offset + s.width - 1);
  const found = drivingTokens(model, nodes, text, 3);
  const means = meanActivations(model, text);

  it.each(nodes)("of node %i are those at which it stands out most from its mean", (node) => {
    const all = activations(node);
    const overall = mean(all.map((a) => a.value));
    expect(means[node]).toBeCloseTo(overall, 5);
    const expected = [...new Set(all.map((a) => a.token))]
      .map((token) => ({ token, values: all.filter((a) => a.token === token).map((a) => a.value) }))
      .filter(({ values }) => values.length >= 5)
      .map(({ token, values }) => ({ token, value: mean(values), difference: Math.abs(mean(values) - overall) }))
      .sort((a, b) => b.difference - a.difference);
    const drivers = found.get(node)!;
    const shown = expected.slice(0, 3).filter((e) => e.difference > 0 && e.difference >= expected[0]!.difference / 10);
    expect(drivers.map((d) => d.token)).toEqual(shown.map((e) => e.token));
    for (const [i, { value }] of drivers.entries()) expect(value).toBeCloseTo(shown[i]!.value, 5);
  });

  it("leave out rare tokens, and nodes that nobody asked for", () => {
    expect([...found.keys()].sort((a, b) => a - b)).toEqual(nodes);
    for (const drivers of found.values()) for (const { token } of drivers) expect(token).toBeLessThan(10);
  });

  it("are none for a node that is constant", () => {
    const silent = initParams(config, 5);
    for (const [name, values] of silent) if (name.includes("c_attn")) values.fill(0);
    const quiet = new Model(new ReferenceEngine(), { config, params: silent });
    const query = siteSpecs(config).find((s) => s.site === "attn.q")!.offset;
    expect(drivingTokens(quiet, [query], text, 3).get(query)).toEqual([]);
  });
});
