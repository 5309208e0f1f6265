/** Does the model fail at the task without the circuit? */
import { mean } from "../../util/statistics.ts";
import { type Check, nats } from "../check.ts";
import { ON_FEW_PAIRS } from "../lab.ts";
import { CHANCE, needed, RISE } from "../needed.ts";

const RANDOM = 20;

export const necessity: Check = {
  name: "necessity",
  question: "Does the full model fail without the circuit?",
  definition:
    `Task loss of the full model with the circuit's nodes ablated and all others left, and with as many random nodes of ` +
    `the same sites outside the circuit ablated (mean of ${RANDOM} draws).` +
    ` Random nodes on ${ON_FEW_PAIRS}.`,
  threshold:
    `Passes when the loss without the circuit is at least ${CHANCE.pass} ln 2 (nearly chance) while without random nodes it rises by less ` +
    `than ${RISE.pass}; weak from ${CHANCE.weak} ln 2, or when random nodes cost up to ${RISE.weak}. A model that still does the ` +
    `task has another way to do it; one whose own loss is ${CHANCE.weak} ln 2 or more has nothing to lose, and the check fails.`,
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
    const { verdict, brief } = needed({ full: lab.full.loss, without: without.loss, rise }, "it", "random nodes");
    return {
      verdict,
      brief,
      reason:
        `without it task loss ${nats(without.loss)} (chance ${nats(Math.LN2)}, with it ${nats(lab.full.loss)}); ` +
        `without as many random nodes ${nats(base + rise)}`,
      figures: [
        lab.loss("task loss without the circuit", without),
        { name: "the same, as a share of ln 2", value: without.loss / Math.LN2 },
        { name: "rise of the loss without random nodes, mean", value: rise, unit: "nats" },
        { name: "rise of the loss without random nodes, worst", value: Math.max(...losses) - base, unit: "nats" },
      ],
    };
  },
};
