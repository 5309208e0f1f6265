/** Does the circuit depend on what stands in the place of ablated nodes? */
import type { Figure } from "../../circuits/verification.ts";
import type { Ablation } from "../../prune/ablation.ts";
import { below, type Check, nats, type Verdict, worst } from "../check.ts";

/** Loss allowed under each: targets. */
const [PASS, WEAK] = [2, 4];

export const otherAblations: Check = {
  name: "other ablations",
  question: "Does it matter what ablated nodes are replaced by?",
  definition:
    "Task loss of the circuit when nodes outside carry their mean over text; zero; what they were at some token of text (several draws, " +
    "all nodes from the same token); and under its own ablation when norms divide by what they divide by in the full model.",
  threshold:
    `Passes when every loss is within ${PASS} targets, weak within ${WEAK}. Zero alone makes it weak at most, unless the circuit was found ` +
    "under it: it takes away constants too, nodes without a path from the input, which are no part of a circuit by rule. A circuit that works " +
    "under one ablation only has its behaviour from the constants, or from the norms.",
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
    const figures: Figure[] = [];
    for (const [i, [name, make]] of kinds.entries()) {
      await lab.breathe(i, kinds.length);
      const isOwn = name === ablation.kind;
      figures.push({
        ...lab.loss(`task loss, ${name}`, lab.pruned(lab.pairs, isOwn ? ablation : make()).score()),
        name,
      });
    }
    const verdictOf = ({ name, value }: Figure): Verdict => {
      const verdict = below(value!, PASS * target, WEAK * target);
      return verdict === "fail" && name === "zero" && ablation.kind !== "zero" ? "weak" : verdict;
    };
    const verdict = worst(...figures.map(verdictOf));
    const highest = figures.filter((figure) => verdictOf(figure) === verdict).sort((x, y) => y.value! - x.value!)[0]!;
    return {
      verdict,
      brief: `loss ${nats(highest.value!)} under ${highest.name}`,
      reason: figures.map(({ name, value }) => `${name} ${nats(value!)}`).join("; "),
      figures: figures.map((figure) => ({ ...figure, name: `task loss, ${figure.name}` })),
    };
  },
};
