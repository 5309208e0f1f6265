/** Does the circuit depend on what stands in the place of ablated nodes? */
import type { Ablation } from "../../prune/ablation.ts";
import { type Check, nats } from "../check.ts";

/** Loss allowed under each: targets. */
const [PASS, WEAK] = [2, 4];

export const otherAblations: Check = {
  name: "other ablations",
  question: "Does it matter what ablated nodes are replaced by?",
  definition:
    "Task loss of the circuit when nodes outside carry their mean over text; zero; what they were at some token of text (several draws, " +
    "all nodes from the same token); and under its own ablation when norms divide by what they divide by in the full model.",
  threshold:
    `Passes when every loss is within ${PASS} targets, weak within ${WEAK}. Zero is reported but does not decide unless the circuit was found ` +
    "under it: it takes away constants too, nodes without a path from the input, which are no part of a circuit by rule. A circuit that works under one ablation only has its " +
    "behaviour from the constants, or from the norms.",
  source: "Chan et al. 2022 (causal scrubbing) for resampling; Drori 2026 for frozen norms",
  praise: "does the task under other ablations",
  searches: false,
  async run(lab) {
    const { ablation, ablate, target } = lab.subject;
    const kinds: readonly [name: string, make: () => Ablation][] = [
      ["mean", () => ablate("mean", ablation.frozenNorm)],
      ["zero", () => ablate("zero", ablation.frozenNorm)],
      ["resample", () => ablate("resample", ablation.frozenNorm)],
      [
        `${ablation.kind}, ${ablation.frozenNorm ? "free" : "frozen"} norms`,
        () => ({ ...ablation, frozenNorm: !ablation.frozenNorm }),
      ],
    ];
    const figures = [];
    for (const [i, [name, make]] of kinds.entries()) {
      await lab.breathe(i, kinds.length);
      const isOwn = name === ablation.kind;
      figures.push({
        ...lab.loss(`task loss, ${name}`, lab.pruned(lab.pairs, isOwn ? ablation : make()).score()),
        name,
      });
    }
    const judged = figures.filter(({ name }) => name !== "zero" || ablation.kind === "zero");
    const worst = judged.reduce((a, b) => (b.value! > a.value! ? b : a));
    return {
      verdict: worst.value! <= PASS * target ? "pass" : worst.value! <= WEAK * target ? "weak" : "fail",
      brief: `loss ${nats(worst.value!)} under ${worst.name}`,
      reason: figures.map(({ name, value }) => `${name} ${nats(value!)}`).join("; "),
      figures: figures.map((figure) => ({ ...figure, name: `task loss, ${figure.name}` })),
    };
  },
};
