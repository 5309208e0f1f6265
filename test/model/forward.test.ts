/** Recording, masking and patching at every place of the forward pass, and what it refuses to read. */
import { describe, expect, it } from "vitest";
import type { Activation } from "../../src/engine/engine.ts";
import { ReferenceEngine } from "../../src/engine/reference.ts";
import { Tape } from "../../src/engine/tape.ts";
import { forwardLogits, logitsAt } from "../../src/model/forward.ts";
import { Model } from "../../src/model/model.ts";
import { initParams } from "../../src/model/names.ts";
import { nodeId, parseNodeId, siteSpecs } from "../../src/model/sites.ts";
import { modelOf, TRAIN_DEFAULTS } from "../../src/train/config.ts";
import { SparseError } from "../../src/util/errors.ts";

const config = modelOf(
  {
    ...TRAIN_DEFAULTS,
    model: { ...TRAIN_DEFAULTS.model, width: 16, headWidth: 4, contextLength: 9, neurons: 20, sink: true },
  },
  13,
);
const params = initParams(config, 5);
for (const values of params.values()) for (let i = 0; i < values.length; i++) values[i]! *= 10;
const engine = new ReferenceEngine();
const model = new Model(engine, { config, params });
const tokens = { batch: 2, length: 7 };
const ids = Int32Array.from({ length: 14 }, (_, i) => (i * 5) % 13);
const logits = forwardLogits(model, ids, tokens);

function recorded(hooks: Parameters<typeof forwardLogits>[3] = {}): Map<string, Float32Array> {
  const out = new Map<string, Float32Array>();
  const record = (name: string, x: Activation) => out.set(name, engine.read(x));
  out.set("logits", forwardLogits(model, ids, tokens, { ...hooks, record }));
  return out;
}

function siteMask(width: number, keep: number) {
  const mask = engine.dense("mask", [width]);
  const mean = engine.dense("mean", [width]);
  engine.writeParam(mask, "value", new Float32Array(width).fill(keep));
  engine.writeParam(mean, "value", new Float32Array(width).fill(0.75));
  return { mask, mean };
}

it("records every node site and place, and changes nothing by it", () => {
  const places = recorded();
  for (const { name, width } of siteSpecs(config)) expect(places.get(name)?.length).toBe(14 * width);
  for (const name of ["0.resid_in", "0.attn.y", "1.resid_mid", "final_resid"]) expect(places.has(name)).toBe(true);
  expect(places.get("logits")).toEqual(logits);
});

describe.each(siteSpecs(config))("$name", ({ name, width }) => {
  it("is left alone by a mask of ones", () => {
    expect(recorded({ masks: new Map([[name, siteMask(width, 1)]]) }).get("logits")).toEqual(logits);
  });

  it("holds its mean everywhere under a mask of zeros", () => {
    const places = recorded({ masks: new Map([[name, siteMask(width, 0)]]) });
    expect(places.get(name)!.every((x) => x === 0.75)).toBe(true);
  });

  it("holds patched values where they are asked for, and only there", () => {
    const values = engine.activation(tokens, width);
    const where = engine.activation(tokens, width);
    engine.fill(values, -3);
    const at = Float32Array.from({ length: 14 * width }, (_, i) => (i % 3 === 0 ? 1 : 0));
    engine.write(where, at);
    const before = recorded().get(name)!;
    const patched = recorded({ patches: new Map([[name, { values, where }]]) });
    expect(patched.get(name)).toEqual(before.map((x, i) => (at[i] ? -3 : x)));
    engine.release(values);
    engine.release(where);
  });
});

it("refuses a patch of other tokens or channels than what it patches", () => {
  const shapes = [
    [{ batch: 1, length: 7 }, 16],
    [{ batch: 7, length: 2 }, 16],
    [tokens, 15],
  ] as const;
  for (const [shape, width] of shapes) {
    const patch = { values: engine.activation(shape, width), where: engine.activation(shape, width) };
    expect(() => forwardLogits(model, ids, tokens, { patches: new Map([["0.attn.act_in", patch]]) })).toThrow(
      /another shape/,
    );
  }
});

it("gives the same logits at single positions as of whole prompts, recorded or not", () => {
  const at = Int32Array.of(13, 2, 7, 2);
  const rows = [...at].flatMap((n) => [...logits.subarray(n * 13, (n + 1) * 13)]);
  for (const hooks of [{}, { record: () => {} }]) {
    const tape = new Tape(engine, "nothing");
    expect([...engine.read(logitsAt(tape, model, ids, tokens, at, hooks))]).toEqual(rows);
    tape.free();
  }
});

it("refuses ids out of range and prompts longer than the context", () => {
  const refusal = (run: () => unknown): SparseError => {
    try {
      run();
    } catch (error) {
      return error as SparseError;
    }
    throw new Error("was accepted");
  };
  const bad = Int32Array.from(ids);
  bad[9] = 13;
  const range = refusal(() => forwardLogits(model, bad, tokens));
  expect([range.exitCode, range.message]).toEqual([2, "token id 13 at sequence 1, position 2 is out of range"]);
  const long = refusal(() => forwardLogits(model, new Int32Array(10), { batch: 1, length: 10 }));
  expect([long.exitCode, long.code]).toEqual([2, "context-length"]);
});

it("names nodes so that they can be read back", () => {
  for (const { layer, site, width } of siteSpecs(config)) {
    const node = { layer, site, channel: width - 1 };
    expect(parseNodeId(nodeId(node))).toEqual(node);
  }
  expect(() => parseNodeId("1.mlp.neuron:3")).toThrow(SparseError);
});
