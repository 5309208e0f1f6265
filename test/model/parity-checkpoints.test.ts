/** Logits, losses, activations and gradients of released-format checkpoints against PyTorch's, on every engine. */
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import type { Activation } from "../../src/engine/engine.ts";
import { Tape } from "../../src/engine/tape.ts";
import { forwardLogits, nextTokenLoss } from "../../src/model/forward.ts";
import { importRelease } from "../../src/model/import/release.ts";
import { Model } from "../../src/model/model.ts";
import { engines } from "../support/engines.ts";
import {
  expectWithin,
  FIXTURES,
  flatTokens,
  folders,
  hasFixture,
  readJson,
  readPack,
  TOLERANCE,
} from "../support/fixtures.ts";

interface IoMeta {
  readonly tokens: number[][];
  readonly loss: number;
}

/** Next token of each position; the last of each sequence has none. */
function targetsOf(rows: readonly (readonly number[])[]): Int32Array {
  return Int32Array.from(rows.flatMap((row) => [...row.slice(1), -1]));
}

describe.each(engines)("$name", (engineCase) => {
  const engine = engineCase.open();
  afterAll(() => engine.dispose());

  describe.each(folders("", "checkpoints"))("%s", (name) => {
    const model = new Model(engine, importRelease(join(FIXTURES, "checkpoints", name)));
    const meta = readJson<IoMeta>("checkpoints", name, "io_meta.json");
    const ids = flatTokens(meta.tokens);
    const tokens = { batch: meta.tokens.length, length: meta.tokens[0]!.length };

    it("gives the logits", () => {
      const expected = readPack("checkpoints", name, "io").get("logits")!;
      expectWithin(forwardLogits(model, ids, tokens), expected.values, TOLERANCE.activation, "logits");
    });

    it("gives the loss", () => {
      const tape = new Tape(engine, "nothing");
      const loss = nextTokenLoss(tape, model, ids, targetsOf(meta.tokens), tokens);
      tape.free();
      expectWithin([loss], [meta.loss], TOLERANCE.loss, "loss");
    });

    if (hasFixture("checkpoints", name, "activations.json"))
      it("gives every recorded activation", () => {
        const expected = readPack("checkpoints", name, "activations");
        const recorded = new Map<string, Float32Array>();
        const record = (hook: string, x: Activation) => recorded.set(hook, engine.read(x));
        forwardLogits(model, ids, tokens, { record });
        expect([...recorded.keys()].sort()).toEqual([...expected.keys()].sort());
        for (const [hook, { values }] of expected) {
          expectWithin(recorded.get(hook)!, values, TOLERANCE.activation, hook);
        }
      });

    if (hasFixture("checkpoints", name, "grads.json"))
      it("gives every gradient", () => {
        const expected = readPack("checkpoints", name, "grads");
        engine.clearGrads([...model.params.values()]);
        const tape = new Tape(engine, "weights");
        nextTokenLoss(tape, model, ids, targetsOf(meta.tokens), tokens);
        tape.backward();
        tape.free();
        expect(expected.size).toBeGreaterThan(0);
        for (const [param, { values }] of expected) {
          expectWithin(engine.readParam(model.params.get(param)!, "grad"), values, TOLERANCE.gradient, param);
        }
      });
  });
});
