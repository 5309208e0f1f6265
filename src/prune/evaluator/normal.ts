import { exponential } from "./exponential.ts";

/** Standard normal distribution function by erfc's expansion fitted to 9e-8 relative (as in the native kernels). */
export function normalCdf(x: number): number {
  const z = Math.abs(x) * Math.SQRT1_2;
  const t = 1 / (1 + 0.33 * z);
  let r = -0.13593029 * t + 0.46269421;
  r = r * t - 0.35544854;
  r = r * t + 0.41254938;
  r = r * t + 0.04500741;
  r = r * t + 0.20192438;
  r = r * t + 0.18283725;
  r = r * t + 0.1863661;
  const half = 0.5 * r * t * exponential(-z * z);
  return x < 0 ? half : 1 - half;
}
