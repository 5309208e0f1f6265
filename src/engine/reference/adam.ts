/** One optimizer step of one parameter: Adam with bias correction, projection, decoupled decay. */
import { assert } from "../../util/errors.ts";
import type { AdamStep } from "../engine.ts";
import { keepLargest } from "./projection.ts";
import { type StoredDense, StoredSparse } from "./storage.ts";

/** A `protect` that is left out is the parameter's own. */
export function adamKernel(p: StoredDense | StoredSparse, step: AdamStep): void {
  const { gradScale, lr, beta1, beta2, eps, correction1, correction2, weightDecay, keep, gap = 1, keptOnly } = step;
  assert(keep === undefined || keep >= 0, `keep is ${keep}`);
  const { value, size } = p;
  const grad = p.hasGrad() ? p.field("grad") : null;
  const m = p.field("m");
  const v = p.field("v");
  const rate = lr / correction1;
  const root = Math.sqrt(correction2);
  const gap1 = beta1 ** gap;
  const gap2 = beta2 ** gap;
  const isKept = keptOnly ? value.map((w) => (w === 0 ? 0 : 1)) : null;
  for (let i = 0; i < size; i++) {
    if (isKept?.[i] === 0) continue;
    const g = grad ? grad[i]! * gradScale : 0;
    const b1 = value[i] === 0 ? gap1 : beta1;
    const b2 = value[i] === 0 ? gap2 : beta2;
    m[i] = b1 * m[i]! + (1 - b1) * g;
    v[i] = b2 * v[i]! + (1 - b2) * g * g;
    value[i]! -= (rate * m[i]!) / (Math.sqrt(v[i]!) / root + eps);
  }
  if (keep !== undefined && keep < size) {
    const protect = step.protect === undefined && p instanceof StoredSparse ? p.protect : (step.protect ?? null);
    const kept = keepLargest(value, p.shape, keep, protect, step.minPerNeuron ?? 0);
    for (let i = 0; i < size; i++) if (!kept[i]) value[i] = 0;
  }
  if (isKept && keptOnly) {
    for (let i = 0; i < size; i++) {
      if (isKept[i] === 0 || value[i] !== 0) continue;
      m[i]! *= keptOnly.droppedM;
      v[i]! *= keptOnly.droppedV;
    }
  }
  if (weightDecay !== 0) for (let i = 0; i < size; i++) value[i]! -= weightDecay * lr * value[i]!;
  p.changed();
}
