/** Comparison of models: ratios known by construction, and what is undefined. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type ComparedModel, compareModels } from "../../src/circuits/comparison.ts";
import { withCurve } from "./support.ts";

/** A model with the given edges at targets 0.5 and 0.1 for each task. */
const model = (name: string, ...edges: readonly (readonly [number, number])[]): ComparedModel => ({
  name,
  circuits: edges.map(([loose, strict], i) => ({ task: `t${i}`, circuit: withCurve({ 0.5: loose, 0.1: strict }) })),
});
const at = ({ curves }: ReturnType<typeof compareModels>, target: number) =>
  curves.map((points) => points.find((point) => point.target === target)!);

describe("compareModels", () => {
  it("has the geometric mean of the ratios, with an interval that they span", () => {
    const comparison = compareModels([model("a", [2, 10], [4, 10], [3, 10]), model("b", [4, 20], [8, 40], [6, 80])]);
    expect(comparison).toMatchObject({ tasks: ["t0", "t1", "t2"], target: 0.15 });
    const [first, other] = at(comparison, 0.1);
    expect(first).toMatchObject({ edges: expect.closeTo(10, 9), ratio: null });
    expect(other!.edges).toBeCloseTo(40, 9);
    expect(other!.ratio!.mean).toBeCloseTo(4, 9);
    const [low, high] = other!.ratio!.interval!;
    // All three times the same task has probability 1/27 > 2.5%.
    expect([low, high]).toEqual([expect.closeTo(2, 9), expect.closeTo(8, 9)]);
    expect(at(comparison, 0.5)[1]!.ratio!.mean).toBeCloseTo(2, 9);
  });

  it("has no interval for one task", () => {
    const [, other] = at(compareModels([model("a", [2, 10]), model("b", [4, 30])]), 0.1);
    expect(other!.ratio).toEqual({ mean: expect.closeTo(3, 9), interval: null });
  });

  it("has no ratio where a task has no circuit, or one without edges", () => {
    const a = model("a", [2, 10], [0, 10]);
    const b = { name: "b", circuits: [a.circuits[0]!, { task: "t1", circuit: undefined }] };
    expect(at(compareModels([a, b]), 0.1)[1]).toMatchObject({ edges: null, missing: ["t1"], ratio: null });
    const [zero, other] = at(compareModels([a, model("c", [2, 9], [1, 9])]), 0.5);
    expect([zero!.edges, other!.edges, other!.ratio]).toEqual([0, expect.closeTo(Math.SQRT2, 9), null]);
  });

  it("has no target of its own when the circuits have several", () => {
    const a = model("a", [2, 10]);
    const b = { name: "b", circuits: [{ task: "t0", circuit: withCurve({ 0.5: 3 }, { target: 0.2 }) }] };
    expect(compareModels([a, b]).target).toBeNull();
  });

  it("is 1 of a model with itself, and inverse when the models change places", () => {
    const pairs = fc.array(fc.tuple(fc.integer({ min: 1, max: 500 }), fc.integer({ min: 1, max: 500 })), {
      minLength: 1,
      maxLength: 6,
    });
    fc.assert(
      fc.property(pairs, (edges) => {
        const [a, b] = [0, 1].map((side) => model(String(side), ...edges.map((e) => [e[side]!, e[side]!] as const)));
        expect(
          at(compareModels([a!, model("again", ...edges.map((e) => [e[0], e[0]] as const))]), 0.5)[1]!.ratio!.mean,
        ).toBe(1);
        const [there, back] = [compareModels([a!, b!]), compareModels([b!, a!])].map((c) => at(c, 0.1)[1]!.ratio!.mean);
        expect(there! * back!).toBeCloseTo(1, 9);
      }),
      { seed: 7, numRuns: 10 },
    );
  });
});
