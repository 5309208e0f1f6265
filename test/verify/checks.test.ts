/** What single checks find where it is known, beyond their verdicts (matrix.test.ts). */
import { describe, expect, it } from "vitest";
import type { CheckName } from "../../src/circuits/verification.ts";
import { CircuitEvaluator } from "../../src/prune/evaluator.ts";
import { fullValues } from "../../src/prune/full-values.ts";
import { maskOf } from "../../src/prune/kept.ts";
import { scorePairs } from "../../src/prune/pair-scores.ts";
import { Rng } from "../../src/util/rng.ts";
import type { Finding } from "../../src/verify/check.ts";
import type { Lab } from "../../src/verify/lab.ts";
import type { Subject } from "../../src/verify/subject.ts";
import { ALL_CHECKS } from "../../src/verify/verify.ts";
import { fastest } from "../support/engines.ts";
import { FAULTS } from "./faults.ts";
import { labOf } from "./subject.ts";

const engine = fastest.open();

async function madeOf(name: string): Promise<Subject> {
  return FAULTS.find((fault) => fault.name === name)!.make(engine);
}

async function labFor(name: string, change: (subject: Subject) => Partial<Subject> = () => ({})): Promise<Lab> {
  const subject = await madeOf(name);
  return labOf({ ...subject, ...change(subject) });
}

function keeping(subject: Subject, nodes: readonly number[]): Pick<Subject, "circuit"> {
  return { circuit: { ...subject.circuit, kept: maskOf(nodes, subject.wiring.nodes) } };
}

function all(subject: Subject): Pick<Subject, "circuit"> {
  return keeping(subject, [...Array(subject.wiring.nodes).keys()]);
}

async function figuresOf(lab: Lab, check: CheckName): Promise<Finding & { figure: (name: string) => number }> {
  const finding = await ALL_CHECKS[check].run(lab);
  const figure = (name: string): number => finding.figures.find((f) => f.name === name)!.value!;
  return { ...finding, figure };
}

describe("the whole model as the circuit", () => {
  it("carries exactly what the model carries, is as faithful, agrees with it and survives every check of values", async () => {
    const lab = await labFor("one of two copies", all);
    const fidelity = await figuresOf(lab, "value fidelity");
    expect(fidelity.figure("variance unexplained, worst node")).toBeLessThan(1e-6);
    expect(fidelity.figure("Jensen-Shannon divergence of attention, mean over heads")).toBeLessThan(1e-6);
    expect((await figuresOf(lab, "sufficiency")).figure("faithfulness, by task loss")).toBeCloseTo(1, 5);
    const agreement = await figuresOf(lab, "agreement");
    expect(agreement.figure("same answer of the two")).toBe(1);
    expect(agreement.figure("same most likely token")).toBe(1);
    expect(agreement.figure("KL of the circuit from the model")).toBeLessThan(1e-6);
    const interchange = await figuresOf(lab, "interchange");
    expect(interchange.figure("loss at p = 1")).toBeCloseTo(scorePairs(lab.subject.model, lab.few).loss, 6);
    expect((await figuresOf(lab, "completeness")).figure("worst difference found")).toBeLessThan(1e-4);
  });
});

describe("interchange", () => {
  it.each(["two that cancel", "through the norm", "random nodes"])(
    "at p = 1 is the model's writes of the circuit: %s",
    async (name) => {
      const lab = await labFor(name);
      const { model, stored, ablation } = lab.subject;
      const writes = lab.nodes.filter((n) => lab.nameOf(n).includes("resid_delta"));
      const pruned = lab.pruned(lab.few);
      const [part] = pruned.parts;
      // Only writes reach the answer: all other nodes ablated, and writes given what the model's are.
      const values = fullValues(model, part!.batch, part!.prefixes, writes);
      const evaluator = new CircuitEvaluator(stored.config, stored.params, ablation.draws[0]!, lab.few);
      const interventions = new Map(writes.map((n) => [n, (_: number, prefix: number) => values.get(n)![prefix]!]));
      const expected = evaluator.run(maskOf(writes, lab.subject.wiring.nodes), { interventions });
      expect((await figuresOf(lab, "interchange")).figure("loss at p = 1")).toBeCloseTo(expected.loss, 6);
    },
  );
});

describe("value fidelity", () => {
  it("sees the node that the model holds constant, and the one that lost an input", async () => {
    const lab = await labFor("two that cancel");
    const { tables, figure } = await figuresOf(lab, "value fidelity");
    const wrong = tables![0]!.rows.filter(([, value]) => (value as number) > 0.5).map(([node]) => String(node));
    expect(wrong.map((id) => id.split(":")[0])).toEqual(["1.mlp.post_act", "1.mlp.resid_delta"]);
    expect(figure("variance unexplained, worst node")).toBe(1);
  });
});

describe("curve", () => {
  it("is full for the planted circuit: as large as the grid lets it be", async () => {
    const { figure } = await figuresOf(await labFor("none"), "curve");
    expect(figure("CPR")).toBeGreaterThan(0.99);
    // Where no circuit is better than the model, the two areas are all there is.
    expect(figure("CPR") + figure("CMD")).toBeCloseTo(1, 3);
  });

  it("says nothing of a model that does not do the task", async () => {
    const finding = await figuresOf(await labFor("nonsense task"), "curve");
    expect(finding).toMatchObject({ verdict: "not applicable", figures: [] });
  });
});

describe("minimality", () => {
  it("names the spare nodes, and none but those", async () => {
    const [planted, spare] = [await madeOf("none"), await madeOf("spare nodes")];
    const lab = labOf(spare);
    const { tables } = await figuresOf(lab, "minimality");
    const named = tables![0]!.rows.filter(([, , isSpare]) => isSpare === "yes").map(([id]) => String(id));
    const expected = lab.nodes.filter((n) => !planted.circuit.kept[n]).map((n) => lab.nameOf(n));
    expect(named.sort()).toEqual(expected.sort());
  });

  it("says nothing of a circuit that misses the target", async () => {
    expect(await figuresOf(await labFor("random nodes"), "minimality")).toMatchObject({ verdict: "not applicable" });
  });
});

describe("necessity", () => {
  it("fails where the model has nothing to lose", async () => {
    for (const check of ["necessity", "weight necessity"] as const) {
      const finding = await figuresOf(await labFor("nonsense task"), check);
      expect(finding).toMatchObject({ verdict: "fail", brief: "the model fails anyway" });
    }
  });
});

describe("completeness", () => {
  it("finds the copy: without the circuit's nodes only the circuit is at chance", async () => {
    const [one, two] = [await labFor("none"), await labFor("one of two copies")];
    expect((await figuresOf(one, "completeness")).figure("worst difference found")).toBeLessThan(0.001);
    expect((await figuresOf(two, "completeness")).figure("worst difference found")).toBeGreaterThan(0.4);
  });
});

describe("monosemanticity", () => {
  it("is 1 where nodes mean one thing, and lower the more of them fire elsewhere", async () => {
    const MEDIAN = "rank correlation with the circuit's prediction, median";
    const [one, two] = [await labFor("none"), await labFor("two meanings")];
    expect((await figuresOf(one, "monosemanticity")).figure(MEDIAN)).toBeGreaterThan(0.99);
    expect((await figuresOf(two, "monosemanticity")).figure(MEDIAN)).toBeLessThan(0.5);
  });
});

describe("binarisation", () => {
  it("does not move nodes that are on or off, and moves a count", async () => {
    const TASK_LOSS = "task loss with all nodes binarised";
    const [bits, count] = [await labFor("none"), await labFor("graded")];
    expect((await figuresOf(bits, "binarisation")).figure(TASK_LOSS)).toBeLessThan(0.01);
    expect((await figuresOf(count, "binarisation")).figure(TASK_LOSS)).toBeGreaterThan(0.5);
  });
});

describe("a circuit without nodes", () => {
  it("is insufficient and unnecessary, and what is about nodes does not apply", async () => {
    const lab = await labFor("none", (subject) => keeping(subject, []));
    const verdicts = new Map<CheckName, string>();
    for (const check of ["sufficiency", "necessity", "completeness", "value fidelity", "monosemanticity"] as const) {
      verdicts.set(check, (await figuresOf(lab, check)).verdict);
    }
    expect(Object.fromEntries(verdicts)).toEqual({
      sufficiency: "fail",
      necessity: "fail",
      completeness: "not applicable",
      "value fidelity": "not applicable",
      monosemanticity: "not applicable",
    });
  });
});

describe("a prompt that the model gets wrong", () => {
  it("counts for agreement where the circuit gets it right", async () => {
    // Elsewhere the model's answers are reversed as far as the labels go: it errs on all of them, and the circuit with it.
    const elsewhere = (subject: Subject): Partial<Subject> => {
      const [place] = subject.places;
      const pairs = (count: number) => {
        const batch = place!.pairs(count)!;
        return { ...batch, right: batch.wrong, wrong: batch.right };
      };
      return { places: [{ name: "reversed", pairs }] };
    };
    const both = await figuresOf(await labFor("none", elsewhere), "agreement");
    expect(both.verdict).toBe("pass");
    expect(both.figure("circuit wrong where the model is")).toBe(1);
    const random = await labFor("none", (subject) => ({
      ...elsewhere(subject),
      ...keeping(subject, Rng.of("some").sample([...Array(subject.wiring.nodes).keys()], 10)),
    }));
    expect((await figuresOf(random, "agreement")).figure("circuit wrong where the model is")).toBeLessThan(0.6);
  });
});
