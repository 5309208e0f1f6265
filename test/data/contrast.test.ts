import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { differences } from "../../src/data/contrast.ts";
import { checkProperty } from "../support/property.ts";

describe("differences", () => {
  const few = fc.array(fc.constantFrom("a", "b", "c"), { maxLength: 12 });

  it("leave the same on either side, as much as possible", () => {
    checkProperty(fc.tuple(few, few), 500, ([a, b]) => {
      const [inA, inB] = differences(a, b);
      const shared = a.filter((_, i) => !inA[i]);
      expect(b.filter((_, i) => !inB[i])).toEqual(shared);
      expect(shared.length).toBe(longest(a, b));
    });
  });

  it("are none between equals, and everything between strangers", () => {
    expect(differences(["a", "b"], ["a", "b"])).toEqual([
      [false, false],
      [false, false],
    ]);
    expect(differences(["a"], ["b", "c"])).toEqual([[true], [true, true]]);
  });
});

/** Length of the longest common subsequence, by trying everything. */
function longest(a: readonly string[], b: readonly string[]): number {
  if (a.length === 0 || b.length === 0) return 0;
  if (a[0] === b[0]) return 1 + longest(a.slice(1), b.slice(1));
  return Math.max(longest(a.slice(1), b), longest(a, b.slice(1)));
}
