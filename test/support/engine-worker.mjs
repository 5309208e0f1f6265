/** A worker thread that takes optimizer steps on an engine of its own; posts the bytes of the weight. */
import { parentPort, workerData } from "node:worker_threads";
import { register } from "tsx/esm/api";

register();
const { loadNativeEngine } = await import("../../src/engine/native/engine.ts");

const { threads, steps, size } = workerData;
const engine = loadNativeEngine({ threads });
const p = engine.sparse("w", [size, size], "row");
const values = new Float32Array(size * size).map((_, i) => Math.sin(i));
engine.writeParam(p, "value", values);
const tokens = { batch: 2, length: 64 };
const [x, y] = [engine.activation(tokens, size), engine.activation(tokens, size)];
engine.write(
  x,
  new Float32Array(2 * 64 * size).map((_, i) => Math.cos(i)),
);
for (let i = 1; i <= steps; i++) {
  engine.clearGrads([p]);
  engine.linear(x, p, null, y);
  engine.linearBackwardWeight(x, y, p);
  engine.adam(p, {
    ...{ gradScale: 1e-3, lr: 1e-3, beta1: 0.9, beta2: 0.95, eps: 0.1, weightDecay: 0 },
    ...{ correction1: 1 - 0.9 ** i, correction2: 1 - 0.95 ** i },
    ...{ keep: (size * size) / 16, protect: "row", minPerNeuron: 4 },
  });
}
parentPort.postMessage(Buffer.from(engine.readParam(p, "value").buffer).toString("base64"));
