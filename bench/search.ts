/** Ways to search for the circuits of trained runs, side by side: `npm run bench -- search --run runs/quotes`. */
import { Wiring } from "../src/circuits/wiring.ts";
import { runSource } from "../src/cli/extract-source.ts";
import { createEngine } from "../src/engine/select.ts";
import { Model } from "../src/model/model.ts";
import { countKept } from "../src/prune/kept.ts";
import { measureAblation } from "../src/prune/means.ts";
import { inputError } from "../src/util/errors.ts";
import { ablatedTask, FINDERS } from "./ground-truth/methods.ts";
import type { Finding, Problem } from "./ground-truth/problem.ts";
import { prune } from "./ground-truth/pruner.ts";
import type { Options } from "./options.ts";

const WAYS: Record<string, (problem: Problem) => Promise<Finding | undefined>> = {
  default: (problem) => prune(problem),
  "two runs of gates": (problem) => prune(problem, { gateRuns: 2 }),
  "no gates": (problem) => prune(problem, { gateRuns: 0 }),
  "no local search": (problem) => prune(problem, { kicks: 0 }),
  "tied queries and keys": (problem) => prune(problem, { tiedQk: true }),
  "attribution alone": FINDERS.attribution,
  "the paper's masks": FINDERS.paper,
};

export interface SearchResult {
  readonly run: string;
  readonly task: string;
  readonly seed: number;
  readonly way: string;
  /** Null where nothing was found. */
  readonly nodes: number | null;
  readonly edges: number | null;
  /** Task loss on the pairs that it was fitted to, and on others. */
  readonly train: number | null;
  readonly val: number | null;
  readonly seconds: number;
}

const TARGET = 0.15;

export async function* compareSearches(
  options: Pick<Options, "runs" | "task" | "seeds" | "threads" | "maskSteps">,
  say: (text: string) => void,
): AsyncGenerator<SearchResult> {
  const { runs, task: typed, seeds, threads, maskSteps } = options;
  if (runs.length === 0) throw inputError("option-value", "--run: no run was given", "Such as --run runs/quotes.");
  const { engine } = await createEngine({ engine: "native", threads });
  for (const run of runs) {
    const source = await runSource(run, typed);
    const model = new Model(engine, source.stored);
    const wiring = new Wiring(source.stored.config, source.stored.params);
    const text = source.text();
    const { draws } = measureAblation(model, text, { kind: "mean", frozenNorm: false, seed: 0 });
    for (const task of source.tasks) {
      for (let seed = 0; seed < seeds; seed++) {
        const truth = { pairs: task.pairs(seed), wiring, nodes: new Uint8Array(wiring.nodes) };
        const problem = { truth, model, means: draws[0]!, target: TARGET, seed, maskSteps };
        for (const [way, find] of Object.entries(WAYS)) {
          say(`${run}, ${task.name}, seed ${seed}: ${way} ...`);
          const started = performance.now();
          const found = await find(problem);
          const seconds = (performance.now() - started) / 1000;
          const lossOn = (split: "train" | "val"): number | null =>
            found ? ablatedTask(problem).evaluator(truth.pairs[split]).score(found.kept).loss : null;
          yield {
            run,
            task: task.name,
            seed,
            way,
            nodes: found ? countKept(found.kept) : null,
            edges: found ? wiring.countEdges(found.kept) : null,
            train: lossOn("train"),
            val: lossOn("val"),
            seconds,
          };
        }
      }
    }
  }
  engine.dispose();
}
