/** `circuit plot`: activations against a direct computation, their figure and table, and circuits without a run. */
import * as fs from "node:fs";
import { expect, it } from "vitest";
import { serializeCircuit } from "../../src/circuits/file.ts";
import type { CircuitNode } from "../../src/circuits/schema.ts";
import { activationFigure } from "../../src/cli/activation-plot.ts";
import { nodeActivations } from "../../src/cli/node-activations.ts";
import type { PairBatch } from "../../src/data/pairs.ts";
import { ReferenceEngine } from "../../src/engine/reference.ts";
import { Model } from "../../src/model/model.ts";
import { initParams } from "../../src/model/names.ts";
import { nodeId, siteSpecs } from "../../src/model/sites.ts";
import { meanActivations, type TokenBatch } from "../../src/prune/means.ts";
import { Rng } from "../../src/util/rng.ts";
import { exampleCircuit, withCurve } from "../circuits/support.ts";
import { config } from "../support/stored-run.ts";
import { useTempDir } from "../support/temp.ts";
import { runCircuit } from "./programs.ts";

const temp = useTempDir();
const model = new Model(new ReferenceEngine(), { config, params: initParams(config, 5) });
const rng = Rng.of("plot");
const ids = (count: number): Int32Array => Int32Array.from({ length: count }, () => rng.int(0, 9));
const text: TokenBatch[] = [3, 1].map((batch) => ({ ids: ids(8 * batch), tokens: { batch, length: 8 } }));
const specs = siteSpecs(config);
/** The last of each site, with what ablation puts in its place. */
const means = meanActivations(model, text);
const nodes = specs.map(({ layer, site, width, offset }): CircuitNode => {
  const channel = width - 1;
  return {
    id: nodeId({ layer, site, channel }),
    layer,
    site,
    channel,
    meanActivation: means[offset + channel]!,
    importance: 1,
  };
});
/** Pairs that differ from position 2 and from 4 on, the second prompt of the last two tokens longer. */
const pairs: PairBatch = (() => {
  const tokens = ids(4 * 8);
  for (const [pair, first] of [2, 4].entries()) {
    const start = 16 * pair;
    tokens.copyWithin(start + 8, start, start + first);
    tokens[start + 8 + first] = (tokens[start + first]! + 1) % 10;
  }
  return { tokens, rows: 4, length: 8, last: Int32Array.of(5, 7, 6, 6), right: ids(4), wrong: ids(4) };
})();
const FIRST = [2, 2, 4, 4];
const found = nodeActivations(model, nodes, text, pairs);

it("activations on text have the mean of the ablation; of prompts the furthest value after the difference", () => {
  const rows = Array.from({ length: 4 }, (_, row) => pairs.tokens.slice(8 * row, 8 * row + 8));
  const alone = rows.map((ids) => nodeActivations(model, nodes, [{ ids, tokens: { batch: 1, length: 8 } }], pairs));
  for (const [i, { node, text, sides }] of found.entries()) {
    expect(text).toHaveLength(32);
    expect(text.reduce((a, b) => a + b, 0) / 32).toBeCloseTo(node.meanActivation, 5);
    for (const row of [0, 1, 2, 3]) {
      const values = [...alone[row]![i]!.text.subarray(FIRST[row], pairs.last[row]! + 1)];
      const far = values.map((value) => Math.abs(value - node.meanActivation));
      expect(sides[row % 2]![row >> 1]).toBeCloseTo(values[far.indexOf(Math.max(...far))]!, 5);
    }
  }
});

it("the figure has a panel for each node whose bars sum to one, the table every value once", () => {
  const { figure, csv } = activationFigure(exampleCircuit(), found, ["left", "right"], 3);
  expect(figure.panels.map(({ title }) => title)).toEqual(nodes.map(({ id }) => id));
  expect(figure.caption.join(" ")).toContain("3 others are not shown");
  for (const { series, place } of figure.panels) {
    expect(series.map(({ name }) => name)).toEqual(["tokens of held-out text", "left", "right"]);
    for (const { points } of series) expect(points.slice(0, -1).reduce((sum, { y }) => sum + y, 0)).toBeCloseTo(1, 9);
    expect(place).toBeTypeOf("number");
  }
  const rows = csv
    .trimEnd()
    .split("\r\n")
    .slice(1)
    .map((row) => row.split(","));
  expect(rows.reduce((sum, row) => sum + Number(row[4]), 0)).toBe(nodes.length * (32 + 4));
  const constant = found.map((each) => ({
    ...each,
    text: new Float32Array(4),
    sides: [new Float32Array(2), new Float32Array(2)] as const,
  }));
  const { panels } = activationFigure(exampleCircuit(), constant, ["left", "right"], 0).figure;
  expect(panels[0]!.series[0]!.points.map(({ y }) => y).filter((y) => y > 0)).toEqual([1]);
});

it("draws circuits without their run but for activations, and refuses what is none", async () => {
  fs.writeFileSync(temp("circuit.json"), serializeCircuit(withCurve({ 0.5: 2, 0.1: 4 })));
  const { code, stdout, stderr } = await runCircuit("plot", temp(), "--format", "svg,pdf");
  expect(code).toBe(0);
  expect(stderr).toContain("activations are not drawn");
  const files = ["curves.json", "curves.csv", "curves.svg", "curves.pdf"].map((name) => temp(name));
  expect(stdout).toBe(`  written ${files.join(", ")}\n`);
  expect(fs.readFileSync(temp("curves.pdf"), "latin1")).toMatch(/^%PDF-1\.4\n.*%%EOF\n$/s);
  const refused = await runCircuit("plot", temp("nothing"));
  expect(refused).toMatchObject({ code: 2, stdout: "" });
  expect(refused.stderr).toMatch(/^error: .+\nhint: .+\n$/);
});
