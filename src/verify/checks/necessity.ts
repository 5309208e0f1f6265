/** Does the model fail at the task without the circuit? */
import { mean } from "../../util/statistics.ts";
import { type Check, nats, worst } from "../check.ts";
import { ON_FEW_PAIRS } from "../lab.ts";

const RANDOM = 20;
/** Shares of chance, ln 2, that the loss without the circuit must reach. */
const [PASS, WEAK] = [0.9, 0.5];
/** Rise of the loss that random nodes may cause, nats. */
const [RANDOM_PASS, RANDOM_WEAK] = [0.01, 0.05];

export const necessity: Check = {
  name: "necessity",
  question: "Does the full model fail without the circuit?",
  definition:
    `Task loss of the full model with the circuit's nodes ablated and all others left, and with as many random nodes of ` +
    `the same sites outside the circuit ablated (mean of ${RANDOM} draws).` +
    ` Random nodes on ${ON_FEW_PAIRS}.`,
  threshold:
    `Passes when the loss without the circuit is at least ${PASS} ln 2 (nearly chance) while without random nodes it rises by less ` +
    `than ${RANDOM_PASS}; weak from ${WEAK} ln 2, or when random nodes cost up to ${RANDOM_WEAK}. A model that still does the ` +
    `task has another way to do it; one whose own loss is ${WEAK} ln 2 or more has nothing to lose, and the check fails.`,
  source: "Gao et al. 2025, section 3.1 and appendix E (inverse pruning)",
  praise: "necessary",
  searches: false,
  async run(lab) {
    const without = lab.without(lab.nodes, lab.pairs);
    const losses: number[] = [];
    for (let draw = 0; draw < RANDOM; draw++) {
      await lab.breathe(draw, RANDOM);
      losses.push(lab.without(lab.randomNodes(lab.rng("necessity", draw)), lab.few).loss);
    }
    const base = lab.without([], lab.few).loss;
    const rise = mean(losses) - base;
    const chance = without.loss / Math.LN2;
    // Without anything to lose, a model fails without any nodes.
    const fails = lab.full.loss >= WEAK * Math.LN2;
    const verdict = worst(
      fails ? "fail" : "pass",
      chance >= PASS ? "pass" : chance >= WEAK ? "weak" : "fail",
      rise < RANDOM_PASS ? "pass" : rise < RANDOM_WEAK ? "weak" : "fail",
    );
    return {
      verdict,
      brief: fails
        ? "the model fails anyway"
        : chance < PASS
          ? `loss ${nats(without.loss)} without it`
          : `random nodes cost ${nats(rise)}`,
      reason:
        `without it task loss ${nats(without.loss)} (chance ${nats(Math.LN2)}, with it ${nats(lab.full.loss)}); ` +
        `without as many random nodes ${nats(base + rise)}`,
      figures: [
        lab.loss("task loss without the circuit", without),
        { name: "the same, as a share of ln 2", value: chance },
        { name: "rise of the loss without random nodes, mean", value: rise, unit: "nats" },
        { name: "rise of the loss without random nodes, worst", value: Math.max(...losses) - base, unit: "nats" },
      ],
    };
  },
};
