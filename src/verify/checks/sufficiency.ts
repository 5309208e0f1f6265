/** Does the circuit do the task with everything else ablated? */

import { pairAccuracy } from "../../prune/pair-scores.ts";
import { mean } from "../../util/statistics.ts";
import { type Check, faithfulness, nats, share } from "../check.ts";

export const sufficiency: Check = {
  name: "sufficiency",
  question: "Does the circuit do the task alone?",
  definition:
    "Task loss and pair accuracy with every node outside the circuit ablated. Faithfulness is (m(C) - m(empty)) / (m(M) - " +
    "m(empty)) for the circuit C, the full model M and the model with every node ablated; m is minus the task loss, or the " +
    "mean logit difference.",
  threshold:
    "Passes when the task loss is at most the target on pairs that the search never saw; weak when only the lower end of its " +
    "95% interval is.",
  source: "Gao et al. 2025, section 2.2 (task loss under mean ablation); Wang et al. 2022 (faithfulness)",
  praise: "sufficient",
  searches: false,
  async run(lab) {
    const { circuit, full, empty } = lab;
    const { target } = lab.subject;
    const loss = lab.loss("task loss of the circuit", circuit);
    const by = (m: (score: typeof circuit) => number): number | null => faithfulness(m(circuit), m(empty), m(full));
    const byLoss = by((score) => -score.loss);
    const verdict = circuit.loss <= target ? "pass" : loss.low! <= target ? "weak" : "fail";
    return {
      verdict,
      brief: `loss ${nats(circuit.loss)}`,
      reason: `task loss ${nats(circuit.loss)}, target ${target}; full model ${nats(full.loss)}; ${told(byLoss)}`,
      figures: [
        loss,
        lab.loss("task loss of the full model", full),
        lab.loss("task loss with every node ablated", empty),
        { name: "pair accuracy of the circuit", value: pairAccuracy(circuit) },
        { name: "pair accuracy of the full model", value: pairAccuracy(full) },
        { name: "faithfulness, by task loss", value: byLoss },
        { name: "faithfulness, by logit difference", value: by((score) => mean(score.margins)) },
      ],
    };
  },
};

function told(byLoss: number | null): string {
  return byLoss === null ? "the model is no better than with every node ablated" : `faithfulness ${share(byLoss)}`;
}
