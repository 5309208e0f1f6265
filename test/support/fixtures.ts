/**
 * The parity fixtures: numbers from an independent PyTorch reference. Another set of the same layout can be run through
 * the tests by naming its folder in FIXTURES_DIR.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect } from "vitest";

export const FIXTURES = resolve(process.env.FIXTURES_DIR ?? join(import.meta.dirname, "../fixtures/parity"));

export interface Tensor {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

interface PackHeader {
  readonly file: string;
  readonly tensors: readonly { name: string; shape: number[]; offset: number; count: number }[];
}

export function readJson<T>(...path: string[]): T {
  return JSON.parse(readFileSync(join(FIXTURES, ...path), "utf8")) as T;
}

/** Tensors of `X.json` + `X.bin`, by name. */
export function readPack(...path: string[]): Map<string, Tensor> {
  const file = join(FIXTURES, ...path);
  const header = JSON.parse(readFileSync(`${file}.json`, "utf8")) as PackHeader;
  const bytes = readFileSync(join(file, "..", header.file));
  return new Map(
    header.tensors.map(({ name, shape, offset, count }) => {
      const copy = bytes.subarray(offset, offset + 4 * count);
      return [name, { shape, values: new Float32Array(new Uint8Array(copy).buffer) }];
    }),
  );
}

export function hasFixture(...path: string[]): boolean {
  return existsSync(join(FIXTURES, ...path));
}

/** Sub-folders of the fixtures whose name starts with `prefix`. */
export function folders(prefix: string, ...path: string[]): string[] {
  return readdirSync(join(FIXTURES, ...path), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name.startsWith(prefix))
    .map((entry) => entry.name)
    .sort();
}

/** [B][T] token ids, flat. */
export function flatTokens(rows: readonly (readonly number[])[]): Int32Array {
  return Int32Array.from(rows.flat());
}

export interface Tolerance {
  readonly abs: number;
  readonly rel: number;
}

const README = hasFixture("README.md") ? readFileSync(join(FIXTURES, "README.md"), "utf8").replace(/\s+/g, " ") : "";

/** A number of the README that follows `words`, or the default. */
function stated(words: RegExp, fallback: readonly number[]): number[] {
  return README.match(words)?.slice(1).map(Number) ?? [...fallback];
}

const NUMBER = "([0-9.]+(?:e-?[0-9]+)?)";
const [actAbs, actRel] = stated(new RegExp(`logits/activations .*?<= ${NUMBER} \\+ ${NUMBER}\\*`), [2e-5, 1e-4]);
const [gradAbs, gradRel] = stated(new RegExp(`gradients \`?${NUMBER} \\+ ${NUMBER}\\*`), [1e-6, 1e-3]);
const [loss] = stated(new RegExp(`losses ${NUMBER}`), [1e-5]);
const [weights] = stated(new RegExp(`weights of a trajectory ${NUMBER}`), [1e-4]);
const [schedule] = stated(new RegExp(`lr and L0 fractions ${NUMBER}`), [1e-9]);

/** The tolerances that the fixtures' README names. */
export const TOLERANCE = {
  activation: { abs: actAbs!, rel: actRel! },
  gradient: { abs: gradAbs!, rel: gradRel! },
  loss: { abs: loss!, rel: 0 },
  finalWeight: { abs: weights!, rel: 0 },
  schedule: { abs: 0, rel: schedule! },
} satisfies Record<string, Tolerance>;

/** |actual - expected| <= abs + rel * |expected| for every entry; fails with the worst one. */
export function expectWithin(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: Tolerance,
  what: string,
): void {
  expect(actual.length, `${what}: length`).toBe(expected.length);
  let worst = 0;
  let at = -1;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(actual[i]! - expected[i]!);
    const ratio = difference === 0 ? 0 : difference / (tolerance.abs + tolerance.rel * Math.abs(expected[i]!));
    if (!(ratio <= worst)) [worst, at] = [ratio, i];
  }
  if (!(worst <= 1)) {
    expect.fail(`${what}[${at}] is ${actual[at]}, expected ${expected[at]}: ${worst.toFixed(2)} times the tolerance`);
  }
}
