/** Does the model fail at the task without the circuit? */
import { measureCosts, type NodeCosts } from "../../prune/node-costs.ts";
import { mean } from "../../util/statistics.ts";
import { type Check, nats } from "../check.ts";
import { type Lab, ON_FEW_PAIRS } from "../lab.ts";
import { CHANCE, needed, RISE } from "../needed.ts";

const RANDOM = 20;
/** Nodes outside that the table has at most. */
const LISTED = 20;

export const necessity: Check = {
  name: "necessity",
  question: "Does the full model fail without the circuit?",
  definition:
    `Task loss of the full model with the circuit's nodes ablated and all others left, and with as many random nodes of ` +
    `the same sites outside the circuit ablated (mean of ${RANDOM} draws).` +
    ` Random nodes on ${ON_FEW_PAIRS}. Where these cost the model too much, the nodes outside are listed that cost it most alone.`,
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
    const dearest = rise < RISE.pass ? [] : await dearestOutside(lab);
    return {
      verdict,
      brief,
      reason:
        `without it task loss ${nats(without.loss)} (chance ${nats(Math.LN2)}, with it ${nats(lab.full.loss)}); ` +
        `without as many random nodes ${nats(base + rise)}` +
        (dearest[0] ? `; without ${lab.nameOf(dearest[0][0])} alone ${nats(base + dearest[0][1])}` : ""),
      figures: [
        lab.loss("task loss without the circuit", without),
        { name: "the same, as a share of ln 2", value: without.loss / Math.LN2 },
        { name: "rise of the loss without random nodes, mean", value: rise, unit: "nats" },
        { name: "rise of the loss without random nodes, worst", value: Math.max(...losses) - base, unit: "nats" },
      ],
      ...(dearest.length > 0 && {
        tables: [
          {
            title: "Nodes outside without which the full model does worse, each alone",
            columns: ["node", "rise, nats"],
            rows: dearest.map(([node, rise]) => [lab.nameOf(node), rise]),
          },
        ],
      }),
    };
  },
};

/** The nodes outside of the circuit that cost the model most alone. */
async function dearestOutside(lab: Lab): Promise<NodeCosts["dearest"]> {
  const measuring = measureCosts(lab.most(lab.few), lab.specs);
  for (;;) {
    const { done, value } = measuring.next();
    if (done) return value.dearest.filter(([node]) => !lab.subject.circuit.kept[node]).slice(0, LISTED);
    await lab.breathe(RANDOM, RANDOM);
  }
}
