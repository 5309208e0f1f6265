/** Does the circuit still work when some of what was ablated comes back? */
import type { Score } from "../../prune/evaluator.ts";
import { mean } from "../../util/statistics.ts";
import { type Check, nats } from "../check.ts";
import type { Lab } from "../lab.ts";
import { ON_FEW_PAIRS, ON_NODE_DRAWS } from "../lab.ts";

const FRACTIONS = [0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95];
/** Of the nodes outside, those that the worst case may bring back. */
const ADVERSARIAL = [0.001, 0.01, 0.05, 0.2, 0.5];
/** Rounds in which the worst case is chosen again. */
const ROUNDS = 4;

export const relaxation: Check = {
  name: "relaxation",
  question: "Does the circuit depend on everything else being off?",
  definition:
    `Random fractions of the ablated nodes are left as they are: the mean task loss at each fraction over ${ON_NODE_DRAWS}. And the worst case: ` +
    "for these pairs together, the fraction of the ablated nodes whose return raises the loss most by its gradient, chosen again " +
    `${ROUNDS} times from where the last choice led.` +
    ` On ${ON_FEW_PAIRS}.`,
  threshold:
    "Passes when the mean loss is never above the target, nor the worst case above chance (ln 2); weak when only the worst case is, " +
    "or the mean up to twice the target. A worst case within chance is hard: it may use what the model computes for other tasks.",
  source: "Drori 2026; adversarial subsets in the manner of projected gradient attacks (Madry et al. 2018)",
  praise: "survives relaxation",
  searches: false,
  async run(lab) {
    const { target } = lab.subject;
    const { outside } = lab;
    const draws = lab.nodeDraws;
    const random = [pointOf(0, [lab.score(lab.subject.circuit.kept, lab.few)])];
    for (const [i, fraction] of FRACTIONS.entries()) {
      const scores: Score[] = [];
      for (let draw = 0; draw < draws; draw++) {
        await lab.breathe(i, FRACTIONS.length + ADVERSARIAL.length);
        const some = lab.rng("relaxation", fraction, draw).sample(outside, Math.round(fraction * outside.length));
        scores.push(lab.score(lab.with(some), lab.few));
      }
      random.push(pointOf(fraction, scores));
    }
    random.push(pointOf(1, [lab.score(lab.with(outside), lab.few)]));
    const adversarial: { x: number; y: number }[] = [];
    for (const [i, fraction] of ADVERSARIAL.entries()) {
      await lab.breathe(FRACTIONS.length + i, FRACTIONS.length + ADVERSARIAL.length);
      adversarial.push({ x: fraction, y: worstCase(lab, Math.max(1, Math.round(fraction * outside.length))) });
    }
    const highest = random.reduce((a, b) => (b.y > a.y ? b : a));
    const attack = adversarial.reduce((a, b) => (b.y > a.y ? b : a));
    const verdict = highest.y > 2 * target ? "fail" : highest.y > target || attack.y > Math.LN2 ? "weak" : "pass";
    return {
      verdict,
      brief:
        highest.y > target
          ? `loss ${nats(highest.y)} with ${100 * highest.x}% back`
          : `loss ${nats(attack.y)} at worst`,
      reason:
        `highest mean loss ${nats(highest.y)} with ${100 * highest.x}% of the rest back, target ${target}; worst case ` +
        `${nats(attack.y)} with ${100 * attack.x}% back`,
      figures: [
        lab.loss("highest mean loss", ...highest.scores),
        { name: "highest loss of a draw", value: Math.max(...random.map(({ high }) => high)), unit: "nats" },
        { name: "worst case", value: attack.y, unit: "nats" },
      ],
      plots: [
        {
          title: `Random nodes back (mean and range of ${draws} draws), and the worst`,
          x: { label: "fraction of the ablated nodes left as they are" },
          y: { label: "task loss, nats" },
          level: target,
          series: [
            { name: "random", points: random.map(({ scores: _, ...point }) => point) },
            { name: "worst case", points: adversarial },
          ],
        },
      ],
    };
  },
};

/** Mean loss and range of some draws. */
function pointOf(x: number, scores: readonly Score[]) {
  const losses = scores.map(({ loss }) => loss);
  return { x, y: mean(losses), low: Math.min(...losses), high: Math.max(...losses), scores };
}

/** Highest loss met with `count` of the nodes outside brought back, each round chosen by the gradient at the last choice. */
function worstCase(lab: Lab, count: number): number {
  let kept = lab.subject.circuit.kept;
  let highest = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const { gradient } = lab.ablated.gradient(lab.few, Float32Array.from(kept));
    const harmful = lab.outside
      .filter((n) => gradient[n]! > 0)
      .sort((a, b) => gradient[b]! - gradient[a]! || a - b)
      .slice(0, count);
    kept = lab.with(harmful);
    highest = Math.max(highest, lab.score(kept, lab.few).loss);
  }
  return highest;
}
