/** What circuits are extracted from: a finished run and its tasks, or any model with a file of token pairs. */
import * as path from "node:path";
import { z } from "zod";
import type { PairBatch } from "../data/pairs.ts";
import { drawOf, type TaskSpec } from "../data/task.ts";
import type { Model } from "../model/model.ts";
import type { StoredModel } from "../model/params.ts";
import type { Pairs } from "../prune/extract.ts";
import type { TokenBatch } from "../prune/means.ts";
import { rowsOf, scorePairs } from "../prune/pair-scores.ts";
import { loadModel } from "../runs/open.ts";
import { inputsAndTargets } from "../train/evaluate.ts";
import { inputError } from "../util/errors.ts";
import { readText } from "../util/files.ts";
import { parseJsonObject, parseSchema } from "../util/json.ts";
import { openTrainedRun, type TrainedRun, tasksOfRun } from "./trained-run.ts";

export interface ExtractableTask {
  readonly name: string;
  readonly variant: string;
  /** Of its folder among circuits. */
  readonly folder: string;
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
/** Fewest pairs in a file: half of them are fitted, a quarter verify, and a quarter are reported. */
const FEWEST_PAIRS = 16;

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
    const whole = (split: "val" | "test"): PairBatch => source.batch(split, source.size(split), variant);
    return {
      name: task.name,
      variant,
      folder: variant === "base" ? task.name : `${task.name}.${variant}`,
      pairs: (seed) => ({
        train: source.batch("train", Math.min(TRAIN_PAIRS, source.size("train")), variant, seed * TRAIN_PAIRS),
        val: whole("val"),
        test: whole("test"),
      }),
    };
  };
  return {
    name: trained.name,
    stored: trained.model,
    tokenText: (token) => trained.tokenizer.decode([token]),
    tasks: tasksOfRun(trained, typed === "all" ? undefined : typed).map(extractable),
    text: () => ablationText(trained),
    doesTasks: (model, target) =>
      data.tasks
        .filter((task) => scorePairs(model, data.pairs(task).batch("val", GLANCE_PAIRS)).loss <= target)
        .map((task) => task.name),
    trained,
  };
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

const id = z.int().min(0);
const pairsSchema = z.looseObject({
  /** Rows 2i and 2i + 1 are the two prompts of pair i, padded on the right to one length. */
  tokens: z.array(z.array(id)),
  /** Position of the last token of each prompt. */
  last: z.array(id),
  right: z.array(id),
  wrong: z.array(id),
  /** Text that ablation values are over. */
  mean_batch_tokens: z.array(z.array(id)).min(1),
});

/**
 * Any model, with pairs from a JSON file of token ids. Of every four pairs two are fitted, one verifies and one is
 * reported.
 * @throws inputError for a file that is not as said, ids outside the vocabulary and prompts that are too long.
 */
export function pairsSource(dir: string, file: string): ExtractSource {
  const stored = loadModel(dir);
  const fields = Object.keys(pairsSchema.shape);
  const {
    tokens,
    last,
    right,
    wrong,
    mean_batch_tokens: text,
  } = parseSchema(pairsSchema, parseJsonObject(readText(file), file), file, fields);
  const refuse = (what: string, hint: string): never => {
    throw inputError("pairs-file", `${file}: ${what}`, hint);
  };
  const rows = tokens.length;
  const { vocabSize, contextLength } = stored.config;
  for (const [name, list] of Object.entries({ last, right, wrong })) {
    if (list.length !== rows)
      refuse(`${name} has ${list.length} entries, tokens has ${rows} rows`, "Give one for each row.");
  }
  if (rows % 2 === 1) refuse(`tokens has ${rows} rows`, "Rows 2i and 2i + 1 are a pair: give an even number.");
  if (rows < 2 * FEWEST_PAIRS) {
    refuse(
      `${rows / 2} pairs are too few: at least ${FEWEST_PAIRS} are needed`,
      "Half of them are fitted, a quarter verifies and a quarter is reported; with 128 or more the numbers get reliable.",
    );
  }
  for (const [name, list] of [
    ["tokens", tokens],
    ["mean_batch_tokens", text],
  ] as const) {
    const width = list[0]!.length;
    list.forEach((row, i) => {
      if (row.length !== width || width === 0)
        refuse(`${name}[${i}] has ${row.length} tokens, the first row ${width}`, "Pad the rows to one length.");
      if (row.length > contextLength)
        refuse(`${name}[${i}] has ${row.length} tokens, the model's context ${contextLength}`, "Shorten it.");
      const wide = row.find((token) => token >= vocabSize);
      if (wide !== undefined)
        refuse(
          `${name}[${i}] has token ${wide}, the model knows 0 to ${vocabSize - 1}`,
          "Use the model's own tokenizer.",
        );
    });
  }
  for (let row = 0; row < rows; row++) {
    if (last[row]! >= tokens[row]!.length)
      refuse(
        `last[${row}] is ${last[row]}, the row has ${tokens[row]!.length} tokens`,
        "Give the position of the prompt's last token.",
      );
    for (const answer of [right[row]!, wrong[row]!]) {
      if (answer >= vocabSize)
        refuse(
          `row ${row} has the answer ${answer}, the model knows 0 to ${vocabSize - 1}`,
          "Use the model's own tokenizer.",
        );
    }
    if (right[row] === wrong[row]) refuse(`right and wrong of row ${row} are both ${right[row]}`, "They must differ.");
  }
  const all: PairBatch = {
    tokens: Int32Array.from(tokens.flat()),
    rows,
    length: tokens[0]!.length,
    last: Int32Array.from(last),
    right: Int32Array.from(right),
    wrong: Int32Array.from(wrong),
  };
  const pairs = splitPairs(all);
  const name = path.basename(file, ".json");
  return {
    name: path.basename(path.resolve(dir)),
    stored,
    tokenText: (token) => `<${token}>`,
    tasks: [{ name, variant: "base", folder: name, pairs: () => pairs }],
    text: () => pieces(Int32Array.from(text.flat()), text.length, text[0]!.length),
    doesTasks: () => [],
    trained: undefined,
  };
}

function splitPairs(all: PairBatch): Pairs {
  const some = (keep: (pair: number) => boolean): PairBatch => {
    const parts = Array.from({ length: all.rows / 2 }, (_, pair) => pair)
      .filter(keep)
      .map((pair) => rowsOf(all, 2 * pair, 2 * pair + 2));
    const joined = (of: (part: PairBatch) => Int32Array): Int32Array =>
      Int32Array.from(parts.flatMap((part) => [...of(part)]));
    return {
      tokens: joined((p) => p.tokens),
      rows: 2 * parts.length,
      length: all.length,
      last: joined((p) => p.last),
      right: joined((p) => p.right),
      wrong: joined((p) => p.wrong),
    };
  };
  return { train: some((i) => i % 4 < 2), val: some((i) => i % 4 === 2), test: some((i) => i % 4 === 3) };
}
