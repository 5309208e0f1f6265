/** Values of every engine against formulas written out here: the optimizer, norms, attention, losses. */
import { describe, expect, test } from "vitest";
import type { Activation } from "../../src/engine/engine.ts";
import { Rng } from "../../src/util/rng.ts";
import { expectClose } from "../support/close.ts";
import { engines, natives } from "../support/engines.ts";
import { checkProperty, drawValues, tokensArbitrary, withEngine } from "../support/property.ts";

const RUNS = 25;

for (const subject of engines) {
  describe(subject.name, () => {
    test.each([8, 16, 32])("attention shows that a key is not a number, heads of %d", (width) => {
      withEngine(subject.open, (engine) => {
        const tokens = { batch: 1, length: 40 };
        const [q, k, v, out] = [1, 2, 3, 4].map(() => engine.activation(tokens, width)) as [
          Activation,
          ...Activation[],
        ];
        const lse = engine.activation(tokens, 1);
        const values = drawValues(5, 40 * width);
        for (const x of [q, k!, v!]) engine.write(x, values);
        values[0] = Number.NaN;
        engine.write(k!, values);
        engine.attention(q, k!, v!, null, 1, out!, lse);
        // The first key is everybody's.
        expect(engine.read(out!).every(Number.isNaN)).toBe(true);
      });
    });

    test.runIf(natives.includes(subject))("an embedding made for protect col is refused", () => {
      withEngine(subject.open, (engine) => {
        const table = engine.sparse("table", [4, 3], "col");
        const x = engine.activation({ batch: 1, length: 2 }, 3);
        const ids = Int32Array.of(1, 2);
        expect(() => engine.embed(table, ids, x)).toThrow(/table/);
        expect(() => engine.embedBackward(x, ids, table)).toThrow(/table/);
        expect(() => engine.embedBackwardKept(x, ids, table)).toThrow(/table/);
        engine.release(x);
      });
    });

    test("adam follows its formula, entry by entry", () => {
      withEngine(subject.open, (engine) => {
        const size = 7;
        const p = engine.dense("p", [size]);
        const value = drawValues(3, size);
        engine.writeParam(p, "value", value);
        const [beta1, beta2, eps, lr, weightDecay, gradScale] = [0.9, 0.95, 0.1, 0.05, 0.1, 0.7];
        const m = new Array<number>(size).fill(0);
        const v = new Array<number>(size).fill(0);
        for (let t = 1; t <= 5; t++) {
          const grad = drawValues(100 + t, size);
          const [correction1, correction2] = [1 - beta1 ** t, 1 - beta2 ** t];
          engine.clearGrads([p]);
          engine.writeParam(p, "grad", grad);
          engine.adam(p, { gradScale, lr, beta1, beta2, eps, correction1, correction2, weightDecay });
          for (let i = 0; i < size; i++) {
            const g = grad[i]! * gradScale;
            m[i] = beta1 * m[i]! + (1 - beta1) * g;
            v[i] = beta2 * v[i]! + (1 - beta2) * g * g;
            const moved = value[i]! - (lr * m[i]!) / correction1 / (Math.sqrt(v[i]! / correction2) + eps);
            value[i] = moved * (1 - weightDecay * lr);
          }
          expectClose(engine.readParam(p, "value"), value, `value after step ${t}`, { abs: 1e-6, rel: 1e-6 });
          expectClose(engine.readParam(p, "m"), m, `m after step ${t}`, { abs: 1e-6, rel: 1e-6 });
          expectClose(engine.readParam(p, "v"), v, `v after step ${t}`, { abs: 1e-6, rel: 1e-6 });
        }
      });
    });

    test("linear maps follow every change of their weight", () => {
      withEngine(subject.open, (engine) => {
        const [rows, cols] = [5, 3];
        const w = engine.sparse("w", [rows, cols], "row");
        const x = engine.activation({ batch: 1, length: cols }, cols);
        const out = engine.activation({ batch: 1, length: cols }, rows);
        engine.write(x, Float32Array.of(1, 0, 0, 0, 1, 0, 0, 0, 1));
        const transposed = () => {
          engine.linear(x, w, null, out);
          return engine.read(out);
        };
        const expected = () => {
          const value = engine.readParam(w, "value");
          return Float32Array.from({ length: rows * cols }, (_, i) => value[(i % rows) * cols + Math.floor(i / rows)]!);
        };
        for (const seed of [1, 2]) {
          engine.writeParam(w, "value", drawValues(seed, rows * cols));
          expectClose(transposed(), expected(), "after a write", { abs: 1e-6, rel: 1e-6 });
          engine.writeParam(w, "grad", drawValues(seed + 10, rows * cols));
          for (const keep of [7, rows * cols]) {
            engine.adam(w, {
              gradScale: 1,
              lr: 0.5,
              beta1: 0,
              beta2: 0,
              eps: 1,
              correction1: 1,
              correction2: 1,
              weightDecay: 0,
              keep,
              protect: null,
            });
            expect(engine.nonzeros(w)).toBe(keep);
            expectClose(transposed(), expected(), `after a step that keeps ${keep}`, { abs: 1e-6, rel: 1e-6 });
          }
        }
      });
    });

    test("norms have the moments that they promise", () => {
      withEngine(subject.open, (engine) => {
        checkProperty(tokensArbitrary, RUNS, ({ seed, batch, length, width }) => {
          const tokens = { batch, length };
          const x = engine.activation(tokens, width);
          const out = engine.activation(tokens, width);
          const stats = engine.activation(tokens, 2);
          const weight = engine.dense("weight", [width]);
          const values = drawValues(seed, batch * length * width).map((value) => 3 * value + 1);
          engine.writeParam(weight, "value", new Float32Array(width).fill(1));
          engine.write(x, values);
          for (const kind of ["rms", "layer"] as const) {
            engine.norm(kind, x, weight, null, out, stats);
            const y = engine.read(out);
            for (let n = 0; n < batch * length; n++) {
              const from = values.subarray(n * width, (n + 1) * width);
              const to = y.subarray(n * width, (n + 1) * width);
              const center = kind === "layer" ? from.reduce((a, b) => a + b, 0) / width : 0;
              const spread = from.reduce((sum, value) => sum + (value - center) ** 2, 0) / width;
              const eps = kind === "layer" ? 1e-5 : 2 ** -23;
              const expected = from.map((value) => (value - center) / Math.sqrt(spread + eps));
              expectClose(to, expected, `${kind} of token ${n}`, { abs: 2e-5, rel: 1e-4 });
            }
          }
          for (const handle of [x, out, stats]) engine.release(handle);
        });
      });
    });

    test("attention over equal keys averages the past, the sink taking its share", () => {
      withEngine(subject.open, (engine) => {
        checkProperty(tokensArbitrary, RUNS, ({ seed, batch, length, width }) => {
          const tokens = { batch, length };
          const [q, k, v, out] = [0, 1, 2, 3].map(() => engine.activation(tokens, width)) as [
            never,
            never,
            never,
            never,
          ];
          const lse = engine.activation(tokens, 1);
          const sink = engine.dense("sink", [1]);
          const values = drawValues(seed, batch * length * width);
          const logit = Rng.of("sink", seed).normal();
          engine.write(q, drawValues(seed + 1, batch * length * width));
          engine.fill(k, 0);
          engine.write(v, values);
          engine.writeParam(sink, "value", Float32Array.of(logit));
          for (const sunk of [false, true]) {
            engine.attention(q, k, v, sunk ? sink : null, 1, out, lse);
            const expected = new Float32Array(values.length);
            for (let n = 0; n < batch * length; n++) {
              const t = n % length;
              const total = t + 1 + (sunk ? Math.exp(logit) : 0);
              for (let c = 0; c < width; c++) {
                for (let s = n - t; s <= n; s++) expected[n * width + c]! += values[s * width + c]! / total;
              }
            }
            expectClose(engine.read(out), expected, "attention", { abs: 1e-5, rel: 1e-4 });
          }
          for (const handle of [q, k, v, out, lse]) engine.release(handle);
        });
      });
    });

    test("a batch in which nothing counts has loss 0 and no gradient", () => {
      withEngine(subject.open, (engine) => {
        const tokens = { batch: 1, length: 3 };
        const x = engine.activation(tokens, 2);
        const dlogits = engine.activation(tokens, 4);
        const unembed = engine.sparse("unembed", [4, 2], null);
        engine.writeParam(unembed, "value", drawValues(1, 8));
        engine.fill(x, 1);
        const ids = new Int32Array(3);
        const targets = new Int32Array(3).fill(-1);
        const loss = engine.unembedLoss({ x, unembed, logitsBias: null, bigram: null, tokens: ids, targets, dlogits });
        expect(loss).toBe(0);
        expect(Array.from(engine.read(dlogits), Math.abs)).toEqual(new Array(12).fill(0));
      });
    });

    test("the loss of equal logits is log V, of hopeless logits large but finite", () => {
      withEngine(subject.open, (engine) => {
        const tokens = { batch: 1, length: 1 };
        const x = engine.activation(tokens, 1);
        const unembed = engine.sparse("unembed", [5, 1], null);
        engine.writeParam(unembed, "value", Float32Array.of(1, 0, 0, 0, 0));
        const one = (value: number, target: number) => {
          engine.fill(x, value);
          const targets = Int32Array.of(target);
          return engine.unembedLoss({
            x,
            unembed,
            logitsBias: null,
            bigram: null,
            tokens: Int32Array.of(0),
            targets,
            dlogits: null,
          });
        };
        expect(one(0, 3)).toBeCloseTo(Math.log(5), 6);
        expect(one(500, 3)).toBeCloseTo(500, 3);
        expect(one(500, 0)).toBeCloseTo(0, 6);
      });
    });
  });
}
