/** Every method on every planted circuit, compared with what was planted. */
import type { Engine } from "../../src/engine/engine.ts";
import { createEngine } from "../../src/engine/select.ts";
import { indices } from "../../src/prune/kept.ts";
import { type CaseOptions, type GroundTruth, generate, meansOf } from "./generate.ts";
import { ablatedTask, FINDERS, type Method } from "./methods.ts";
import { auroc, overlap } from "./metrics.ts";
import type { Finding } from "./problem.ts";
import type { Shape } from "./shapes.ts";

/** Task loss to reach, nats. */
const TARGET = 0.15;

export interface TruthPlan {
  readonly shapes: readonly Shape[];
  readonly widths: readonly number[];
  readonly densities: readonly number[];
  readonly noises: readonly number[];
  /** Seeds 0 to `seeds` - 1, of the model and of the method. */
  readonly seeds: number;
  readonly methods: readonly Method[];
  readonly maskSteps: number;
  readonly threads: number;
}

export interface TruthResult extends CaseOptions {
  readonly method: Method;
  /** Sizes; null when nothing that meets the target was found. */
  readonly nodes: number | null;
  readonly edges: number | null;
  readonly plantedNodes: number;
  readonly plantedEdges: number;
  readonly nodePrecision: number | null;
  readonly nodeRecall: number | null;
  readonly edgePrecision: number | null;
  readonly edgeRecall: number | null;
  readonly nodeAuroc: number | null;
  readonly edgeAuroc: number | null;
  /** Task loss on test pairs. */
  readonly testLoss: number | null;
  /** Found, and neither nodes nor edges are more than planted. */
  readonly plantedOrSmaller: boolean;
  readonly seconds: number;
}

function* casesOf(plan: TruthPlan): Generator<CaseOptions> {
  for (const shape of plan.shapes)
    for (const width of plan.widths)
      for (const density of plan.densities)
        for (const noise of plan.noises)
          for (let seed = 0; seed < plan.seeds; seed++) yield { shape, width, density, noise, seed };
}

/** Results as they are measured; `say` is told what comes next. */
export async function* measureTruth(plan: TruthPlan, say: (text: string) => void): AsyncGenerator<TruthResult> {
  for (const options of casesOf(plan)) {
    const { shape, width, density, noise, seed } = options;
    say(`${shape}, width ${width}, density ${density}, noise ${noise}, seed ${seed} ...`);
    const { engine } = await createEngine({ engine: "auto", threads: plan.threads });
    const truth = generate(options);
    for (const method of plan.methods) yield await measureMethod(truth, method, plan.maskSteps, engine);
    engine.dispose();
  }
}

async function measureMethod(
  truth: GroundTruth,
  method: Method,
  maskSteps: number,
  engine: Engine,
): Promise<TruthResult> {
  const { options } = truth;
  const { model, means } = meansOf(truth, engine);
  const started = performance.now();
  const found = await FINDERS[method]({ truth, model, means, target: TARGET, seed: options.seed, maskSteps });
  const seconds = (performance.now() - started) / 1000;
  const planted = { plantedNodes: indices(truth.nodes).length, plantedEdges: truth.edges.length };
  const measured = found ? compared(truth, found) : NOTHING;
  const testLoss = found ? ablatedTask({ model, means }).evaluator(truth.pairs.test).score(found.kept).loss : null;
  const plantedOrSmaller =
    measured.nodes !== null && measured.nodes <= planted.plantedNodes && measured.edges! <= planted.plantedEdges;
  return { ...options, method, ...planted, ...measured, testLoss, plantedOrSmaller, seconds };
}

const NOTHING = {
  nodes: null,
  edges: null,
  nodePrecision: null,
  nodeRecall: null,
  edgePrecision: null,
  edgeRecall: null,
  nodeAuroc: null,
  edgeAuroc: null,
};

function compared({ wiring, ...truth }: GroundTruth, { kept, scores }: Finding) {
  const [nodes, edges] = [indices(kept), wiring.edgesOf(kept)];
  const [ofNodes, ofEdges] = [overlap(nodes, indices(truth.nodes)), overlap(edges, truth.edges)];
  const planted = new Set(truth.edges);
  const edgeScores = Float64Array.from(wiring.sources, (source, e) =>
    Math.min(scores[source]!, scores[wiring.targets[e]!]!),
  );
  return {
    nodes: nodes.length,
    edges: edges.length,
    nodePrecision: ofNodes.precision,
    nodeRecall: ofNodes.recall,
    edgePrecision: ofEdges.precision,
    edgeRecall: ofEdges.recall,
    nodeAuroc: auroc(scores, truth.nodes),
    edgeAuroc: auroc(
      edgeScores,
      Array.from(edgeScores, (_, e) => planted.has(e)),
    ),
  };
}
