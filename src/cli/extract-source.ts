/** What circuits are extracted from: a finished run and its tasks, or any model with a file of token pairs. */
import * as path from "node:path";
import type { PairBatch } from "../data/pairs.ts";
import { drawOf, probeVariants, type TaskSpec, variantNames } from "../data/task.ts";
import type { Model } from "../model/model.ts";
import type { StoredModel } from "../model/params.ts";
import type { Pairs } from "../prune/extract.ts";
import type { TokenBatch } from "../prune/means.ts";
import { scorePairs } from "../prune/pair-scores.ts";
import { loadModel } from "../runs/open.ts";
import { inputsAndTargets } from "../train/evaluate.ts";
import type { Place } from "../verify/subject.ts";
import { readTokenPairs } from "./token-pairs.ts";
import { openTrainedRun, type TrainedRun, tasksOfRun } from "./trained-run.ts";
import { unfit } from "./unfit.ts";

export interface ExtractableTask {
  readonly name: string;
  readonly variant: string;
  /** Of its folder among circuits. */
  readonly folder: string;
  /** Other prompts of the task: its other variants, and its probes at each of their values. */
  readonly places: readonly Place[];
  /** Pairs of a search with a seed: training pairs depend on it where there are enough to draw from. */
  pairs(seed: number): Pairs;
}

export interface ExtractSource {
  /** Name of the run or the model's folder. */
  readonly name: string;
  readonly stored: StoredModel;
  readonly tokenText: (token: number) => string;
  readonly tasks: readonly ExtractableTask[];
  /** Text that ablation values are over. Of a run with a real corpus: after `prepareText`. */
  text(): TokenBatch[];
  /** About so many tokens of text that the model was not trained on; undefined where there is none. */
  readonly heldOut: ((tokens: number) => TokenBatch) | undefined;
  /** Names of the tasks that the model does at a task loss. */
  doesTasks(model: Model, target: number): string[];
  readonly trained: TrainedRun | undefined;
}

/** Pairs that the search fits: fewer than 16 overfit, more cost time. */
const TRAIN_PAIRS = 128;
/** Validation pairs by which the tasks are found that a model does. */
const GLANCE_PAIRS = 64;
/** Corpus tokens that the ablation means are over, and how many go through the model at once. */
const ABLATION_TOKENS = 65_536;
export const CHUNK_TOKENS = 2048;

/**
 * The tasks of a finished run that a name stands for; `all` or undefined: every one.
 * @param variant of the tasks' prompts, or a probe with its value
 */
export async function runSource(dir: string, typed: string | undefined, variant = "base"): Promise<ExtractSource> {
  const trained = await openTrainedRun(dir);
  const { data } = trained;
  const extractable = (task: TaskSpec): ExtractableTask => {
    const source = data.pairs(task);
    drawOf(task, variant);
    const pairsOf =
      (name: string) =>
      (seed: number): Pairs => {
        const whole = (split: "val" | "test"): PairBatch => source.batch(split, source.size(split), name);
        const train = Math.min(TRAIN_PAIRS, source.size("train"));
        return {
          train: source.batch("train", train, name, seed * TRAIN_PAIRS),
          val: whole("val"),
          test: whole("test"),
        };
      };
    const variants = variantNames(task).filter((name) => name !== variant);
    const placeOf = (name: string): Place => ({
      name,
      pairs: (count) => fitting(() => source.batch("test", Math.min(count, source.size("test")), name)),
      searchable: variants.includes(name) ? (seed) => fitting(() => pairsOf(name)(seed)) : undefined,
    });
    return {
      name: task.name,
      variant,
      folder: variant === "base" ? task.name : `${task.name}.${variant}`,
      places: [...variants, ...probeVariants(task)].map(placeOf),
      pairs: pairsOf(variant),
    };
  };
  return {
    name: trained.name,
    stored: trained.model,
    tokenText: (token) => trained.tokenizer.decode([token]),
    tasks: tasksOfRun(trained, typed === "all" ? undefined : typed).map(extractable),
    text: () => ablationText(trained),
    heldOut: (tokens) => {
      const { rows, contextLength, ...text } = data.sample("val", tokens);
      const { ids } = inputsAndTargets({ rows, contextLength, ...text });
      const batch = Math.min(rows, Math.max(1, Math.floor(tokens / contextLength)));
      return { ids: ids.subarray(0, batch * contextLength), tokens: { batch, length: contextLength } };
    },
    doesTasks: (model, target) =>
      data.tasks
        .filter((task) => scorePairs(model, data.pairs(task).batch("val", GLANCE_PAIRS)).loss <= target)
        .map((task) => task.name),
    trained,
  };
}

/** Pairs, unless they are more than the model or its tokenizer can be asked. */
function fitting<T>(make: () => T): T | undefined {
  try {
    return make();
  } catch (error) {
    if (unfit(error) === undefined) throw error;
    return undefined;
  }
}

/** Text for the ablation values, in pieces whose activations stay in the caches. */
function ablationText({ data }: TrainedRun): TokenBatch[] {
  const text = data.sample("calib", ABLATION_TOKENS);
  const { ids } = inputsAndTargets(text);
  return pieces(ids, text.rows, text.contextLength);
}

function pieces(ids: Int32Array, rows: number, length: number): TokenBatch[] {
  const step = Math.max(1, Math.floor(CHUNK_TOKENS / length));
  return Array.from({ length: Math.ceil(rows / step) }, (_, i) => {
    const count = Math.min(step, rows - i * step);
    return { ids: ids.subarray(i * step * length, (i * step + count) * length), tokens: { batch: count, length } };
  });
}

/** Any model, with pairs from a file of token ids. Throws what `readTokenPairs` does. */
export function pairsSource(dir: string, file: string): ExtractSource {
  const stored = loadModel(dir);
  const { pairs, text } = readTokenPairs(file, stored.config);
  const name = path.basename(file, ".json");
  return {
    name: path.basename(path.resolve(dir)),
    stored,
    tokenText: (token) => `<${token}>`,
    tasks: [{ name, variant: "base", folder: name, places: [], pairs: () => pairs }],
    text: () => pieces(Int32Array.from(text.flat()), text.length, text[0]!.length),
    heldOut: undefined,
    doesTasks: () => [],
    trained: undefined,
  };
}
