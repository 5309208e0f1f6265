/** Comparison of float arrays: absolute plus relative, the absolute part in units of the largest expected value. */
import { expect } from "vitest";

export function expectClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  what: string,
  tolerance: { abs: number; rel: number },
): void {
  expect(actual.length, `${what}: length`).toBe(expected.length);
  let scale = 1;
  for (let i = 0; i < expected.length; i++) scale = Math.max(scale, Math.abs(expected[i]!));
  for (let i = 0; i < expected.length; i++) {
    const allowed = tolerance.abs * scale + tolerance.rel * Math.abs(expected[i]!);
    // The negation also catches NaN.
    if (!(Math.abs(actual[i]! - expected[i]!) <= allowed)) {
      expect.fail(`${what}[${i}] is ${actual[i]}, expected ${expected[i]} within ${allowed}`);
    }
  }
}

export function expectSameBytes(actual: Float32Array, expected: Float32Array, what: string): void {
  expect(actual.length, `${what}: length`).toBe(expected.length);
  const a = new Uint32Array(actual.buffer, actual.byteOffset, actual.length);
  const b = new Uint32Array(expected.buffer, expected.byteOffset, expected.length);
  for (let i = 0; i < a.length; i++) {
    if (a[i] !== b[i]) expect.fail(`${what}[${i}] is ${actual[i]}, expected exactly ${expected[i]}`);
  }
}
