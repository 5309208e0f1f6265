/** One optimizer step of one parameter, on the device (reference/adam.ts is the rule). */
import * as tf from "@tensorflow/tfjs";
import type { AdamStep } from "../engine.ts";
import { projectionMask, type Selection } from "./largest.ts";
import type { TfDense, TfSparse } from "./storage.ts";

export function adam(p: TfDense | TfSparse, step: AdamStep, selection: Selection): void {
  const { gradScale, lr, beta1, beta2, eps, correction1, correction2, weightDecay, keep, gap = 1, keptOnly } = step;
  const next = tf.tidy(() => {
    const before = p.get("value");
    // Only steps that are not exact tell zero weights from others.
    const isZero = keptOnly || gap !== 1 ? tf.equal(before, 0) : null;
    const grad = p.has("grad") ? tf.mul(p.get("grad"), gradScale) : tf.zerosLike(before);
    const moment = (field: "m" | "v", beta: number, toward: tf.Tensor): tf.Tensor => {
      const old = p.get(field);
      const towards = (b: number): tf.Tensor => tf.add(tf.mul(old, b), tf.mul(toward, 1 - b));
      if (!isZero) return towards(beta);
      return tf.where(isZero, keptOnly ? old : towards(beta ** gap), towards(beta));
    };
    let m = moment("m", beta1, grad);
    let v = moment("v", beta2, tf.square(grad));
    const size = tf.add(tf.mul(tf.sqrt(v), 1 / Math.sqrt(correction2)), eps);
    let value: tf.Tensor = tf.sub(before, tf.div(tf.mul(m, lr / correction1), size));
    if (keptOnly && isZero) value = tf.where(isZero, before, value);
    if (keep !== undefined && keep < p.size) {
      const protect = step.protect === undefined ? p.protect : step.protect;
      const kept = projectionMask(value, keep, protect, step.minPerNeuron ?? 0, selection);
      value = tf.where(kept, value, tf.zerosLike(value));
    }
    if (keptOnly && isZero) {
      const dropped = tf.logicalAnd(tf.logicalNot(isZero), tf.equal(value, 0));
      m = tf.where(dropped, tf.mul(m, keptOnly.droppedM), m);
      v = tf.where(dropped, tf.mul(v, keptOnly.droppedV), v);
    }
    if (weightDecay !== 0) value = tf.mul(value, 1 - weightDecay * lr);
    return { value, m, v };
  });
  p.set("value", next.value);
  p.set("m", next.m);
  p.set("v", next.v);
}
