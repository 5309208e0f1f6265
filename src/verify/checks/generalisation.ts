/** Does the circuit do what the model does on other prompts of the task? */

import { pairAccuracy } from "../../prune/pair-scores.ts";
import { type Check, nats, notApplicable } from "../check.ts";
import { ON_PLACES } from "../lab.ts";

/** Loss of the circuit where the model's is within the target: so many targets. */
const [PASS, WEAK] = [2, 4];

export const generalisation: Check = {
  name: "generalisation",
  question: "Does the circuit do the task's harder prompts that the model does?",
  definition:
    "Task loss of circuit and full model on held-out pairs of every variant of the task and every value of its probes. Only those " +
    "that the model does (task loss within the target) count." +
    ` On ${ON_PLACES}, of each.`,
  threshold:
    `Passes when the circuit's loss is within ${PASS} targets wherever the model's is within one; weak when within ${WEAK}. The circuit was ` +
    "found on the base prompts alone, with its loss just below the target.",
  source: "Gao et al. 2025, section 3 (generalisation of circuits)",
  praise: "generalises",
  searches: false,
  async run(lab) {
    const { target } = lab.subject;
    const places = await lab.places();
    const done = places.filter(({ full }) => full.loss <= target);
    const tables = [
      {
        title: "Other prompts of the task",
        columns: ["prompts", "pairs", "loss of C", "loss of M", "pairs right in C", "pairs right in M"],
        rows: places.map(({ name, pairs, circuit, full }) => [
          name,
          pairs,
          circuit.loss,
          full.loss,
          pairAccuracy(circuit),
          pairAccuracy(full),
        ]),
      },
    ];
    if (done.length === 0) {
      const reason = places.length === 0 ? "the task has no other prompts" : "the model does none of the other prompts";
      return notApplicable(reason, tables);
    }
    const worst = done.reduce((a, b) => (b.circuit.loss > a.circuit.loss ? b : a));
    const within = done.filter(({ circuit }) => circuit.loss <= PASS * target).length;
    const verdict =
      worst.circuit.loss <= PASS * target ? "pass" : worst.circuit.loss <= WEAK * target ? "weak" : "fail";
    return {
      verdict,
      brief: `loss ${nats(worst.circuit.loss)} on ${worst.name}`,
      reason:
        `within ${PASS} targets on ${within} of the ${done.length} kinds of prompts that the model does; ` +
        `worst ${worst.name}, ${nats(worst.circuit.loss)} (model ${nats(worst.full.loss)})`,
      figures: [
        { name: "share of prompts within the limit", value: within / done.length },
        { name: `worst loss (${worst.name})`, value: worst.circuit.loss, unit: "nats" },
        { name: "kinds of prompts that the model does", value: done.length },
        { name: "kinds of prompts", value: places.length },
      ],
      tables,
    };
  },
};
