/**
 * Ways to find a circuit, each with a score for every node by which it ranks them. An edge has the lower score of its two
 * nodes: it leaves with the first of them.
 *
 *   pruner       this tool's search; its scores: pruner.ts
 *   attribution  integrated gradients of the mask, as EAP-IG has them for edges: the smallest top k that meets the target
 *   paper        learned masks with the centre of the paper's hyperparameters, then bisection for k
 *   random       a seeded shuffle: the smallest top k that meets the target
 *
 * The last three drop the nodes without a path and see the training pairs alone.
 */
import { AblatedTask } from "../../src/prune/ablated-task.ts";
import { attributionOrders } from "../../src/prune/attribution.ts";
import { bisectSize, descending, LearnedMasks, PAPER_MASKS, topNodes } from "../../src/prune/learned-masks.ts";
import { Rng } from "../../src/util/rng.ts";
import { ablationOf, type Finding, type Problem } from "./problem.ts";
import { prune } from "./pruner.ts";

export const METHODS = ["pruner", "attribution", "paper", "random"] as const;
export type Method = (typeof METHODS)[number];

/** Steps from the ablated to the full model. */
const GRADIENT_STEPS = 5;
/** Growth of k between tries. */
const GRID = 1.12;

/** Undefined: nothing that meets the target was found. */
export const FINDERS: Record<Method, (problem: Problem) => Promise<Finding | undefined>> = {
  pruner: (problem) => prune(problem),
  attribution: async (problem) => {
    const [order] = await attributionOrders(ablatedTask(problem), problem.truth.pairs.train, [GRADIENT_STEPS]);
    return smallestTop(problem, order!);
  },
  paper: async (problem) => {
    const { truth, seed, maskSteps: steps, target } = problem;
    const ablated = ablatedTask(problem);
    const { train } = truth.pairs;
    const masks = new LearnedMasks(ablated, { ...PAPER_MASKS, steps }, seed);
    for (let i = 0; i < steps; i++) masks.step(train);
    const order = descending(masks.tau);
    const evaluator = ablated.evaluator(train);
    const { k } = bisectSize(order, (kept) => evaluator.score(kept).loss, target);
    return k === undefined ? undefined : finding(problem, order, k);
  },
  random: async (problem) => {
    const { truth, seed } = problem;
    const nodes = Array.from({ length: truth.nodes.length }, (_, n) => n);
    return smallestTop(problem, Int32Array.from(Rng.of(seed, "random order").shuffle(nodes)));
  },
};

export function ablatedTask(problem: Pick<Problem, "model" | "means">): AblatedTask {
  return new AblatedTask(problem.model, ablationOf(problem));
}

/** The first k of a grid to meet the target, then bisection between it and the one before. */
function smallestTop(problem: Problem, order: Int32Array): Finding | undefined {
  const { truth, target } = problem;
  const evaluator = ablatedTask(problem).evaluator(truth.pairs.train);
  const meets = (k: number): boolean => evaluator.score(truth.wiring.connected(topNodes(order, k))).loss <= target;
  let [fails, k] = [0, 1];
  while (!meets(k)) {
    if (k === order.length) return undefined;
    [fails, k] = [k, Math.min(order.length, Math.max(k + 1, Math.round(k * GRID)))];
  }
  while (k - fails > 1) {
    const middle = Math.floor((fails + k) / 2);
    if (meets(middle)) k = middle;
    else fails = middle;
  }
  return finding(problem, order, k);
}

function finding({ truth }: Problem, order: Int32Array, k: number): Finding {
  const scores = new Float64Array(order.length);
  for (const [i, n] of order.entries()) scores[n] = order.length - i;
  return { kept: truth.wiring.connected(topNodes(order, k)), scores };
}
