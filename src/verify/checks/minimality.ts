/** Is each node and each edge needed? */
import { siteSpecs } from "../../model/sites.ts";
import { holdsWithin, pairStandardError, SAFETY } from "../../prune/candidate.ts";
import type { Score } from "../../prune/evaluator.ts";
import { without } from "../../prune/kept.ts";
import { standing } from "../../prune/stays.ts";
import { type Check, nats } from "../check.ts";

/** Nodes and edges that are left out; of more, as many are drawn at random. */
const MOST = 200;

export const minimality: Check = {
  name: "minimality",
  question: "Is every node and every edge needed?",
  definition:
    "Task loss of the circuit without one node, for each; and with one edge that carries only what its ablated source would send, " +
    `for each; of more than ${MOST}, for as many drawn at random.`,
  threshold:
    "A node or edge is spare when the loss without it is surely within the target: two standard errors below it. For a circuit that was " +
    "searched for as a faithful one, the loss is that of the condition it meets least, as the search had it, on 256 pairs in either form. Passes when none " +
    "is spare; weak when only edges are, which the search removes on request (--prune-edges); fails when a node is; not applicable " +
    "when none is because the circuit itself surely misses the target.",
  source: "Wang et al. 2022, section 4 (minimality); the search's own rule for held-out pairs",
  praise: "minimal",
  searches: false,
  async run(lab) {
    const { circuit, wiring, target, stored, sites } = lab.subject;
    const score = lab.objective({});
    const base = score.loss;
    const rng = lab.rng("minimality");
    const some = (items: readonly number[]): readonly number[] =>
      items.length <= MOST ? items : rng.sample(items, MOST).sort((a, b) => a - b);
    const stays = standing(siteSpecs(stored.config), sites);
    const [ownNodes, ownEdges] = [some(lab.nodes.filter((n) => !stays?.[n])), some(lab.edges)];
    const total = ownNodes.length + ownEdges.length;
    const leaveOut = async (items: readonly number[], done: number, scored: (item: number) => Score) => {
      const list: { item: number; rise: number; spare: boolean }[] = [];
      for (const item of items) {
        await lab.breathe(done + list.length, total);
        const left = scored(item);
        list.push({ item, rise: left.loss - base, spare: holdsWithin(left, target) });
      }
      return list.sort((a, b) => b.rise - a.rise);
    };
    const nodes = await leaveOut(ownNodes, 0, (n) => lab.objective({ kept: without(circuit.kept, [n]) }));
    const edges = await leaveOut(ownEdges, ownNodes.length, (e) =>
      lab.objective({ removed: new Set([...circuit.removed, e]) }),
    );
    const spareNodes = nodes.filter(({ spare }) => spare).length;
    const spareEdges = edges.filter(({ spare }) => spare).length;
    const least = nodes.at(-1);
    // Of a circuit that misses the target nothing is spare, as a rule, and that says nothing.
    const missed = base - SAFETY * pairStandardError(score) > target;
    return {
      verdict: spareNodes > 0 ? "fail" : spareEdges > 0 ? "weak" : missed ? "not applicable" : "pass",
      brief: missed ? "the circuit misses the target" : `${spareNodes} nodes and ${spareEdges} edges to spare`,
      reason:
        (missed ? `the circuit misses the target, with a loss of ${nats(base)}; ` : "") +
        `${spareNodes} of ${nodes.length} nodes and ${spareEdges} of ${edges.length} edges are spare` +
        (least ? `; the node that matters least is worth ${nats(least.rise)} nats` : ""),
      figures: [
        { name: "spare nodes", value: spareNodes },
        { name: "spare edges", value: spareEdges },
        { name: "least effect of a node", value: least?.rise ?? null, unit: "nats" },
        { name: "least effect of an edge", value: edges.at(-1)?.rise ?? null, unit: "nats" },
      ],
      tables: [
        {
          title: "Rise of the task loss without one node",
          columns: ["node", "rise, nats", "spare"],
          rows: nodes.map(({ item, rise, spare }) => [lab.nameOf(item), rise, spare ? "yes" : "no"]),
        },
        {
          title: "Rise of the task loss without one edge",
          columns: ["from", "to", "weight", "rise, nats", "spare"],
          rows: edges.map(({ item, rise, spare }) => [
            lab.nameOf(wiring.sources[item]!),
            lab.nameOf(wiring.targets[item]!),
            wiring.weights[item]!,
            rise,
            spare ? "yes" : "no",
          ]),
        },
      ],
    };
  },
};
