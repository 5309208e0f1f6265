/** Curves of one circuit and of several tasks: which points there are, and where a mean is undefined. */
import { describe, expect, it } from "vitest";
import { curveOf, isSolved, pooledPoint, targetsOf } from "../../src/circuits/curves.ts";
import { withCurve } from "./support.ts";

describe("curveOf", () => {
  it("has the circuit itself among its points if it meets its target", () => {
    const circuit = withCurve({ 0.05: 20, 0.5: 2 });
    expect(isSolved(circuit)).toBe(true);
    expect(curveOf(circuit).map(({ target, edges }) => [target, edges])).toEqual([
      [0.5, 2],
      [0.15, circuit.counts.edges],
      [0.05, 20],
    ]);
    const missed = { ...circuit, taskLoss: { ...circuit.taskLoss, val: 0.16 } };
    expect(isSolved(missed)).toBe(false);
    expect(curveOf(missed).map(({ target }) => target)).toEqual([0.5, 0.05]);
  });

  it("counts the circuit itself at its own target, never another of that target", () => {
    const circuit = withCurve({ 0.15: 5 });
    expect(curveOf(circuit).map(({ edges }) => edges)).toEqual([circuit.counts.edges]);
    expect(curveOf({ ...circuit, taskLoss: { ...circuit.taskLoss, val: 0.16 } })).toEqual([]);
  });
});

describe("a circuit that meets its target", () => {
  it("is the point at looser targets too where nothing smaller was found", () => {
    const { nodes, edges } = withCurve({}).counts;
    const curve = curveOf(withCurve({ 0.5: 2, 0.35: edges + 3, 0.05: edges + 9 }));
    expect(curve.map((point) => [point.target, point.nodes, point.edges])).toEqual([
      [0.5, 3, 2],
      [0.35, nodes, edges],
      [0.15, nodes, edges],
      [0.05, edges + 10, edges + 9],
    ]);
  });
});

describe("pooledPoint", () => {
  const a = { task: "a", circuit: withCurve({ 0.5: 2, 0.1: 4, 0.05: 9 }) };
  const b = { task: "b", circuit: withCurve({ 0.5: 8, 0.1: 25 }) };
  const none = { task: "c", circuit: undefined };

  it("is the geometric mean over tasks where all have a circuit", () => {
    expect(targetsOf([a, b])).toEqual([0.5, 0.15, 0.1, 0.05]);
    expect(pooledPoint([a, b], 0.5)).toMatchObject({ target: 0.5, edges: expect.closeTo(4, 9), missing: [] });
    expect(pooledPoint([a, b], 0.1).edges).toBeCloseTo(10, 9);
  });

  it("is undefined where one has none, and names it", () => {
    expect(pooledPoint([a, b], 0.05)).toEqual({ target: 0.05, nodes: null, edges: null, missing: ["b"] });
    expect(pooledPoint([a, none], 0.5)).toEqual({ target: 0.5, nodes: null, edges: null, missing: ["c"] });
  });
});
