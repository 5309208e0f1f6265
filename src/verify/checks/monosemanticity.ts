/** Do nodes mean on the whole corpus what they mean on the task? */
import type { PairBatch } from "../../data/pairs.ts";
import { PrefixTree } from "../../prune/evaluator/prefix-tree.ts";
import { fullValues } from "../../prune/full-values.ts";
import { Pruned } from "../../prune/pruned.ts";
import { median, rankCorrelation } from "../../util/statistics.ts";
import { above, type Check, type Finding, notApplicable } from "../check.ts";
import type { Lab } from "../lab.ts";

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
    if (!heldOut) return notApplicable("there is no text of the corpus");
    if (lab.nodes.length === 0) return notApplicable("the circuit has no nodes");
    const { ids: tokenIds, tokens } = heldOut(TOKENS[lab.options.form]);
    const none = new Int32Array(tokens.batch);
    const text: PairBatch = {
      tokens: tokenIds,
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
    const { ids } = part!.prefixes;
    const corpus = byToken(ids, actual);
    const rows = lab.nodes.map((n) => {
      const values = actual.get(n)!;
      const onTask = task.get(n)!;
      const known = [...ids.keys()].filter((i) => onTask.has(ids[i]!));
      return {
        node: n,
        circuit: rankCorrelation(predicted.get(n)?.values ?? [], values),
        token: rankCorrelation(
          known.map((i) => onTask.get(ids[i]!)!.value),
          known.map((i) => values[i]!),
        ),
        onTask: standingOut(lab, onTask),
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

/** By token: how often it occurred, and the mean value there. */
type ByToken = ReadonlyMap<number, { readonly count: number; readonly value: number }>;

/** The model's values of each node on the task's training prompts, by token. */
function taskValues(lab: Lab): Map<number, ByToken> {
  const { model, pairs, seed } = lab.subject;
  const { train } = pairs(seed);
  const prefixes = new PrefixTree(train);
  return byToken(prefixes.ids, fullValues(model, train, prefixes, lab.nodes));
}

function byToken(ids: Int32Array, values: ReadonlyMap<number, Float32Array>): Map<number, ByToken> {
  return new Map(
    [...values].map(([node, list]) => {
      const groups = new Map<number, { count: number; value: number }>();
      for (const [i, id] of ids.entries()) {
        const group = groups.get(id) ?? { count: 0, value: 0 };
        groups.set(id, group);
        group.count++;
        group.value += (list[i]! - group.value) / group.count;
      }
      return [node, groups];
    }),
  );
}

/** The tokens whose mean value is farthest from the mean over tokens, most first. */
function standingOut(lab: Lab, groups: ByToken): string {
  const all = [...groups.values()];
  const middle =
    all.reduce((sum, { count, value }) => sum + count * value, 0) / all.reduce((sum, { count }) => sum + count, 0);
  const far = ({ value }: { readonly value: number }): number => Math.abs(value - middle);
  return [...groups]
    .filter(([, { count }]) => count >= SEEN)
    .sort(([i, a], [j, b]) => far(b) - far(a) || i - j)
    .slice(0, LISTED)
    .map(([id]) => JSON.stringify(lab.subject.tokenText(id)))
    .join(" ");
}
