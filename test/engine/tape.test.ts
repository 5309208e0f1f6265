/** The tape's three shortcuts (in place, views, shared buffers) against plain arithmetic. */
import { describe, expect, test } from "vitest";
import type { Activation } from "../../src/engine/engine.ts";
import * as ops from "../../src/engine/ops/index.ts";
import { ReferenceEngine } from "../../src/engine/reference.ts";
import { Tape } from "../../src/engine/tape.ts";
import { dotLoss, duplicate } from "../support/evaluate.ts";

const TOKENS = { batch: 1, length: 1 };

function setup(frozen = false) {
  const engine = new ReferenceEngine({ poison: true });
  const w = engine.sparse("w", [2, 2], null);
  engine.writeParam(w, "value", Float32Array.of(2, 0, 0, 3));
  const tape = new Tape(engine, "weights", frozen ? [w] : []);
  const leaf = (...values: number[]): Activation => {
    const x = tape.keep(tape.alloc(TOKENS, values.length));
    engine.write(x, Float32Array.from(values));
    return x;
  };
  const grad = (x: Activation) => Array.from(engine.read(tape.grad(x)));
  return { engine, tape, w, leaf, grad };
}

describe("residualAdd", () => {
  test("an in-place cut of delta leaves the gradient of x alone", () => {
    const { tape, w, leaf, grad } = setup();
    const x = leaf(1, 1);
    const input = leaf(5, 1);
    const delta = ops.absTopK(tape, ops.linear(tape, input, w, null), 1, { inPlace: true });
    const y = ops.residualAdd(tape, x, delta);
    dotLoss(tape, y, Float32Array.of(10, 20));
    tape.backward();
    expect(grad(x)).toEqual([10, 20]);
    expect(grad(input)).toEqual([20, 0]);
  });

  test("x read by delta's own branch gets both gradients", () => {
    const { tape, w, leaf, grad } = setup();
    const x = leaf(1, 1);
    const y = ops.residualAdd(tape, x, ops.linear(tape, x, w, null));
    const z = ops.residualAdd(tape, y, ops.linear(tape, y, w, null));
    dotLoss(tape, z, Float32Array.of(1, 1));
    tape.backward();
    expect(grad(x)).toEqual([9, 16]);
  });

  test("delta used before and after as well", () => {
    const { tape, leaf, grad } = setup();
    const x = leaf(1, 1);
    const delta = tape.keep(duplicate(tape, leaf(0, 0)));
    dotLoss(tape, delta, Float32Array.of(1, 2));
    const y = ops.residualAdd(tape, x, delta);
    dotLoss(tape, delta, Float32Array.of(100, 200));
    dotLoss(tape, y, Float32Array.of(10, 20));
    tape.backward();
    expect(grad(delta)).toEqual([111, 222]);
    expect(grad(x)).toEqual([10, 20]);
  });

  test("delta used before only: its write does not reach x", () => {
    const { tape, leaf, grad } = setup();
    const x = leaf(1, 1);
    const delta = tape.keep(duplicate(tape, leaf(0, 0)));
    dotLoss(tape, delta, Float32Array.of(1, 2));
    dotLoss(tape, ops.residualAdd(tape, x, delta), Float32Array.of(10, 20));
    tape.backward();
    expect(grad(delta)).toEqual([11, 22]);
    expect(grad(x)).toEqual([10, 20]);
  });

  test("x used after as well", () => {
    const { tape, leaf, grad } = setup();
    const x = leaf(1, 1);
    const delta = leaf(0, 0);
    const y = ops.residualAdd(tape, x, delta);
    dotLoss(tape, x, Float32Array.of(1, 2));
    dotLoss(tape, y, Float32Array.of(10, 20));
    tape.backward();
    expect(grad(x)).toEqual([11, 22]);
    expect(grad(delta)).toEqual([10, 20]);
  });

  test("delta that is a view of a whole", () => {
    const { tape, leaf, grad } = setup();
    const x = leaf(1, 1);
    const whole = tape.keep(duplicate(tape, leaf(1, 2, 3, 4)));
    const [left, right] = ops.views(tape, whole, [2, 2]);
    const y = ops.residualAdd(tape, x, right!);
    dotLoss(tape, y, Float32Array.of(10, 20));
    dotLoss(tape, left!, Float32Array.of(1, 2));
    tape.backward();
    expect(grad(whole)).toEqual([1, 2, 10, 20]);
  });
});

describe("views", () => {
  test("a part that the loss does not use has zero gradient", () => {
    const { tape, leaf, grad } = setup();
    const whole = tape.keep(duplicate(tape, leaf(1, 2, 3)));
    const [, middle] = ops.views(tape, whole, [1, 1, 1]);
    dotLoss(tape, middle!, Float32Array.of(7));
    tape.backward();
    expect(grad(whole)).toEqual([0, 7, 0]);
  });

  test("no part used: no gradient at all", () => {
    const { tape, leaf } = setup();
    const whole = tape.keep(duplicate(tape, leaf(1, 2)));
    ops.views(tape, whole, [1, 1]);
    tape.backward();
    expect(tape.hasGrad(whole)).toBe(false);
  });

  test("the whole used before the split and after the parts", () => {
    const { tape, leaf, grad } = setup();
    const whole = tape.keep(duplicate(tape, leaf(1, 2)));
    dotLoss(tape, whole, Float32Array.of(100, 200));
    const [left] = ops.views(tape, whole, [1, 1]);
    dotLoss(tape, left!, Float32Array.of(10));
    dotLoss(tape, whole, Float32Array.of(1, 2));
    tape.backward();
    expect(grad(whole)).toEqual([111, 202]);
  });

  test("the whole used between its parts is refused", () => {
    const { tape, leaf } = setup();
    const whole = tape.keep(duplicate(tape, leaf(1, 2)));
    const [left, right] = ops.views(tape, whole, [1, 1]);
    dotLoss(tape, left!, Float32Array.of(1));
    dotLoss(tape, whole, Float32Array.of(1, 1));
    dotLoss(tape, right!, Float32Array.of(1));
    expect(() => tape.backward()).toThrow(/while its views/);
  });

  test("widths that do not cover the whole are refused", () => {
    const { tape, leaf } = setup();
    expect(() => ops.views(tape, leaf(1, 2, 3), [1, 1])).toThrow(/do not cover/);
  });
});

describe("parameters", () => {
  test("frozen ones get no gradient, others do", () => {
    for (const frozen of [true, false]) {
      const { engine, tape, w, leaf, grad } = setup(frozen);
      const x = leaf(1, 5);
      dotLoss(tape, ops.linear(tape, x, w, null), Float32Array.of(1, 1));
      tape.backward();
      expect(grad(x)).toEqual([2, 3]);
      expect(Array.from(engine.readParam(w, "grad"))).toEqual(frozen ? [0, 0, 0, 0] : [1, 5, 1, 5]);
    }
  });

  test("a tape that wants inputs writes no weight gradients but those of masks", () => {
    const engine = new ReferenceEngine({ poison: true });
    const w = engine.sparse("w", [1, 1], null);
    const mask = engine.dense("mask", [1]);
    const mean = engine.dense("mean", [1]);
    for (const p of [w, mask, mean]) engine.writeParam(p, "value", Float32Array.of(1));
    const tape = new Tape(engine, "inputs");
    const x = tape.alloc(TOKENS, 1);
    engine.write(x, Float32Array.of(3));
    dotLoss(tape, ops.linear(tape, ops.mask(tape, x, mask, mean), w, null), Float32Array.of(1));
    tape.backward();
    expect(engine.readParam(w, "grad")[0]).toBe(0);
    expect(engine.readParam(mask, "grad")[0]).toBe(2);
    expect(engine.readParam(mean, "grad")[0]).toBe(0);
  });
});

describe("memory", () => {
  test("free returns everything; a released handle cannot be used", () => {
    const { engine, tape, w, leaf } = setup();
    const x = leaf(1, 2);
    dotLoss(tape, ops.linear(tape, x, w, null), Float32Array.of(1, 1));
    tape.backward();
    tape.free();
    const bytes = engine.memoryBytes();
    const again = engine.activation(TOKENS, 2);
    expect(engine.memoryBytes()).toBe(bytes);
    expect(() => engine.read(x)).toThrow(/after its release/);
    engine.release(again);
    expect(() => engine.release(again)).toThrow(/twice/);
  });

  test("the reverse of a long chain needs no more than the chain and two gradients", () => {
    const { engine, tape, leaf } = setup();
    const empty = engine.memoryBytes();
    const input = leaf(1, 2);
    const value = engine.memoryBytes() - empty;
    let x = input;
    for (let i = 0; i < 10; i++) x = ops.add(tape, x, x);
    dotLoss(tape, x, Float32Array.of(1, 1));
    tape.backward();
    expect(Array.from(engine.read(tape.grad(input)))).toEqual([2 ** 10, 2 ** 10]);
    expect(engine.memoryBytes() - empty).toBe(13 * value);
  });

  test("results are gone after the reverse, kept ones and their gradients are not", () => {
    const { engine, tape, w, leaf, grad } = setup();
    const hidden = tape.keep(ops.linear(tape, leaf(1, 2), w, null));
    const out = ops.linear(tape, hidden, w, null);
    dotLoss(tape, out, Float32Array.of(1, 1));
    tape.backward();
    expect(Array.from(engine.read(hidden))).toEqual([2, 6]);
    expect(grad(hidden)).toEqual([2, 3]);
    expect(tape.hasGrad(out)).toBe(false);
    expect(() => engine.read(out)).toThrow(/after its release/);
  });

  test("forward only keeps nothing for a reverse", () => {
    const engine = new ReferenceEngine();
    const tape = new Tape(engine, "nothing");
    const x = tape.alloc(TOKENS, 2);
    const [left] = ops.views(tape, ops.add(tape, x, x), [1, 1]);
    tape.backward();
    expect(tape.hasGrad(left!)).toBe(false);
  });
});
