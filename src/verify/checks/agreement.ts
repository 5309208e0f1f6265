/** Does the circuit answer what the model answers, right or wrong? */
import type { PairBatch } from "../../data/pairs.ts";
import type { Score } from "../../prune/evaluator.ts";
import { answerLogits, chunks } from "../../prune/pair-scores.ts";
import { mean, meanInterval, rankCorrelation } from "../../util/statistics.ts";
import { above, type Check, type Finding, share, worst } from "../check.ts";
import type { Lab } from "../lab.ts";
import { ON_PLACES } from "../lab.ts";

const AGREE = [0.98, 0.9] as const;
/** Of the prompts that the model gets wrong, the share on which the circuit must be wrong too. */
const ERRORS = [0.8, 0.65] as const;
/** Fewer wrong answers than this say nothing. */
const FEWEST = 10;

export const agreement: Check = {
  name: "agreement",
  question: "Does the circuit answer as the model does, also where the model is wrong?",
  definition:
    "On the task's prompts: how often the circuit C and the model M prefer the same of the two answers, how often their most likely " +
    "tokens of the whole vocabulary agree, and the mean KL divergence of C from M over it. On other prompts of the task too: rank " +
    "correlation of their logit differences, and how often C is wrong where M is, and where M is right." +
    ` Of other prompts ${ON_PLACES}, of each kind.`,
  threshold:
    `Passes with agreement of at least ${share(AGREE[0])} on the two answers and C wrong on at least ${share(ERRORS[0])} of the prompts ` +
    `that M gets wrong, where one that guesses is on half of them; weak down to ${share(AGREE[1])} and ${share(ERRORS[1])}. With fewer than ` +
    `${FEWEST} errors of M the second part is left out.`,
  source: "Gao et al. 2025, section 3 (failures of the model that the circuit predicts)",
  praise: "agrees with the model",
  searches: false,
  async run(lab): Promise<Finding> {
    const alike = (a: Score, b: Score): number[] =>
      Array.from(a.margins, (m, i) => Number(m > 0 === b.margins[i]! > 0));
    const agree = meanInterval(alike(lab.circuit, lab.full), lab.rng("agreement"));
    const { kl, top } = await overVocabulary(lab);
    const places = await lab.places();
    const rows = places.map(({ name, circuit, full }) => {
      const wrong = conditional(circuit, full);
      return [name, mean(alike(circuit, full)), full.margins.length, wrong.errors, wrong.shared, wrong.elsewhere];
    });
    const margins = (of: (p: { circuit: Score; full: Score }) => Score): number[] =>
      [lab, ...places].flatMap((p) => [...of(p).margins]);
    const [c, m] = [margins((p) => p.circuit), margins((p) => p.full)];
    const all = conditional({ loss: 0, margins: Float64Array.from(c) }, { loss: 0, margins: Float64Array.from(m) });
    const tested = all.errors >= FEWEST;
    return {
      verdict: worst(above(agree.value, ...AGREE), tested ? above(all.shared!, ...ERRORS) : "not applicable"),
      brief: tested ? `${share(all.shared!)} of errors shared` : `same answer on ${share(agree.value)}`,
      reason:
        `same answer on ${share(agree.value)} of the prompts; ` +
        (tested
          ? `wrong on ${share(all.shared!)} of the ${all.errors} prompts that the model gets wrong, and on ${share(all.elsewhere!)} of the others`
          : `the model is wrong on ${all.errors} of ${m.length} prompts, too few to compare errors`),
      figures: [
        { name: "same answer of the two", ...agree },
        { name: "same most likely token", value: top },
        { name: "KL of the circuit from the model", value: kl, unit: "nats" },
        { name: "rank correlation of logit differences, all prompts", value: rankCorrelation(c, m) },
        { name: "errors of the model", value: all.errors },
        { name: "circuit wrong where the model is", value: all.shared },
        { name: "circuit wrong where the model is right", value: all.elsewhere },
      ],
      tables: [
        {
          title: "Other prompts of the task",
          columns: ["prompts", "same answer", "number", "wrong in M", "C wrong there", "C wrong elsewhere"],
          rows,
        },
      ],
    };
  },
};

/** How often the circuit is wrong where the model is, and elsewhere; null where there is no such prompt. */
function conditional(circuit: Score, full: Score) {
  const wrong = (of: "both" | "right"): number | null => {
    const at = [...full.margins.keys()].filter((i) => full.margins[i]! > 0 === (of === "right"));
    return at.length === 0 ? null : at.filter((i) => circuit.margins[i]! <= 0).length / at.length;
  };
  return {
    errors: full.margins.filter((margin) => margin <= 0).length,
    shared: wrong("both"),
    elsewhere: wrong("right"),
  };
}

async function overVocabulary(lab: Lab): Promise<{ kl: number; top: number }> {
  const V = lab.subject.stored.config.vocabSize;
  const logits = lab.pruned(lab.few).logits(V);
  const kl: number[] = [];
  const top: number[] = [];
  let at = 0;
  for (const chunk of chunks(lab.few) as Iterable<PairBatch>) {
    await lab.breathe(at, lab.few.rows);
    const full = answerLogits(lab.subject.model, chunk);
    for (let row = 0; row < chunk.rows; row++, at++) {
      const p = logSoftmax(full.subarray(row * V, (row + 1) * V));
      const q = logSoftmax(logits.subarray(at * V, (at + 1) * V));
      kl.push(p.reduce((sum, lp, v) => sum + Math.exp(lp) * (lp - q[v]!), 0));
      top.push(Number(p.indexOf(Math.max(...p)) === q.indexOf(Math.max(...q))));
    }
  }
  return { kl: mean(kl), top: mean(top) };
}

function logSoftmax(logits: Float32Array): Float64Array {
  const most = Math.max(...logits);
  let sum = 0;
  for (const x of logits) sum += Math.exp(x - most);
  const total = most + Math.log(sum);
  return Float64Array.from(logits, (x) => x - total);
}
