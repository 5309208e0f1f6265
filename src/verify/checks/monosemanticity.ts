/** Do nodes mean on the whole corpus what they mean on the task? */
import type { PairBatch } from "../../data/pairs.ts";
import { mean, median, rankCorrelation } from "../../util/statistics.ts";
import { above, type Check, type Finding } from "../check.ts";
import { fullValues } from "../full-values.ts";
import type { Lab } from "../lab.ts";
import { Pruned } from "../pruned.ts";

const TOKENS = { short: 4096, thorough: 16_384 };
/** Median over nodes of the rank correlation. */
const CORRELATION = [0.7, 0.4] as const;
/** Tokens listed for a node, and occurrences that they need. */
const LISTED = 4;
const SEEN = 3;

export const monosemanticity: Check = {
  name: "monosemanticity",
  question: "Do nodes carry on all text what the circuit says they carry?",
  definition:
    "On text of the corpus that the model was not trained on: the rank correlation (Spearman) of each node's value in the full model with " +
    "what the circuit predicts for it, its value in the pruned run on the same text. Beside it, what the token alone predicts: the " +
    "node's mean at that token on the task's prompts, on the tokens that occur there. The tables list the tokens at which a node " +
    "stands out most, on the task and on the corpus.",
  threshold:
    `Passes when the median correlation over nodes is at least ${CORRELATION[0]}, weak from ${CORRELATION[1]}. A node that does something else ` +
    "elsewhere has another meaning besides the one that the circuit shows.",
  source: "Gao et al. 2025, section 3.1 (activations on the pretraining distribution)",
  praise: "means the same on all text",
  searches: false,
  async run(lab): Promise<Finding> {
    const { heldOut, model, stored, circuit, ablation } = lab.subject;
    if (!heldOut)
      return {
        verdict: "not applicable",
        brief: "there is no text of the corpus",
        reason: "there is no text of the corpus",
        figures: [],
      };
    if (lab.nodes.length === 0)
      return {
        verdict: "not applicable",
        brief: "the circuit has no nodes",
        reason: "the circuit has no nodes",
        figures: [],
      };
    const { ids, tokens } = heldOut(TOKENS[lab.options.form]);
    const none = new Int32Array(tokens.batch);
    const text: PairBatch = {
      tokens: ids,
      rows: tokens.batch,
      length: tokens.length,
      last: none.map(() => tokens.length - 1),
      right: none,
      wrong: none,
    };
    const onText = new Pruned(stored, circuit, { ...ablation, draws: [ablation.draws[0]!] }, text, true);
    const [part] = onText.parts;
    await lab.breathe(1, 4);
    const predicted = onText.values(part!);
    await lab.breathe(2, 4);
    const actual = fullValues(model, text, part!.prefixes, lab.nodes);
    const task = taskValues(lab);
    await lab.breathe(3, 4);
    const corpus = byToken(part!.prefixes.ids, actual);
    const rows = lab.nodes.map((n) => {
      const values = actual.get(n)!;
      const known = [...part!.prefixes.ids.keys()].filter((i) => task.get(n)!.has(part!.prefixes.ids[i]!));
      return {
        node: n,
        circuit: rankCorrelation(predicted.get(n)?.values ?? [], values),
        token: rankCorrelation(
          known.map((i) => mean(task.get(n)!.get(part!.prefixes.ids[i]!)!)),
          known.map((i) => values[i]!),
        ),
        onTask: standingOut(lab, task.get(n)!),
        onCorpus: standingOut(lab, corpus.get(n)!),
      };
    });
    const middle = median(rows.map((r) => r.circuit));
    return {
      verdict: above(middle, ...CORRELATION),
      brief: `correlation ${middle.toFixed(2)}`,
      reason: `the circuit's values and the model's have a median rank correlation of ${middle.toFixed(2)} over nodes, on ${part!.prefixes.size} tokens of text`,
      figures: [
        { name: "rank correlation with the circuit's prediction, median", value: middle },
        {
          name: "rank correlation with the circuit's prediction, least",
          value: Math.min(...rows.map((r) => r.circuit)),
        },
        { name: "rank correlation with the token's mean on the task, median", value: median(rows.map((r) => r.token)) },
      ],
      tables: [
        {
          title: "Nodes on the corpus",
          columns: ["node", "by the circuit", "by the token", "tokens on the task", "tokens on the corpus"],
          rows: rows.map((r) => [lab.nameOf(r.node), r.circuit, r.token, r.onTask, r.onCorpus]),
        },
      ],
    };
  },
};

type ByToken = ReadonlyMap<number, readonly number[]>;

/** The model's values of each node on the task's training prompts, by token. */
function taskValues(lab: Lab): Map<number, ByToken> {
  const { model, subject } = { model: lab.subject.model, subject: lab.subject };
  const { train } = subject.pairs(subject.seed);
  const [part] = new Pruned(
    subject.stored,
    subject.circuit,
    { ...subject.ablation, draws: [subject.ablation.draws[0]!] },
    train,
  ).parts;
  return byToken(part!.prefixes.ids, fullValues(model, train, part!.prefixes, lab.nodes));
}

function byToken(ids: Int32Array, values: ReadonlyMap<number, Float32Array>): Map<number, ByToken> {
  return new Map(
    [...values].map(([node, list]) => {
      const groups = new Map<number, number[]>();
      for (const [i, id] of ids.entries()) {
        const group = groups.get(id);
        if (group) group.push(list[i]!);
        else groups.set(id, [list[i]!]);
      }
      return [node, groups];
    }),
  );
}

/** The tokens whose mean value is farthest from the mean over tokens, most first. */
function standingOut(lab: Lab, groups: ByToken): string {
  const means = [...groups].filter(([, list]) => list.length >= SEEN).map(([id, list]) => ({ id, value: mean(list) }));
  const middle = mean([...groups.values()].flat());
  return means
    .sort((a, b) => Math.abs(b.value - middle) - Math.abs(a.value - middle) || a.id - b.id)
    .slice(0, LISTED)
    .map(({ id }) => JSON.stringify(lab.subject.tokenText(id)))
    .join(" ");
}
