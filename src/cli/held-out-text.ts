/**
 * What a run's held-out text follows from: two runs have comparable held-out losses only where all of it is the same. The
 * text itself is not needed to tell.
 */
import { readRecord } from "../data/token-corpus.ts";
import { tokenizerFromJson } from "../data/tokenizer-json.ts";
import { type Run, readReport } from "../runs/open.ts";
import { resolveTrainConfig, type TrainConfig, type TrainOverrides } from "../train/config.ts";
import type { TrainingData } from "../train/trainer.ts";
import { readText } from "../util/files.ts";

/** By the name of a setting, in the order in which differences are told. */
export type HeldOutText = Readonly<Record<string, unknown>>;

/** What is known before the corpus is read. `tasks`: their names, as documents with their held-out pairs are left out. */
export function textSettings({ seed, model, data }: TrainConfig, tasks: readonly string[]): HeldOutText {
  const { procedural, profile, docStmts, maxDepth, quoteNoise, weights } = data;
  const grammar = Object.entries({ procedural, profile, docStmts, maxDepth, quoteNoise, weights });
  return {
    task: [...tasks].sort().join(","),
    seed,
    "model.contextLength": model.contextLength,
    ...Object.fromEntries(grammar.map(([key, value]) => [`data.${key}`, value])),
  };
}

/** Of a run that is being made. */
export function textOfData({ config, tasks, tokenizer, corpus }: TrainingData): HeldOutText {
  const names = tasks.map((task) => task.name);
  return { ...textSettings(config, names), ...made(tokenizer.hash, corpus?.record.content) };
}

/** Of a finished run. */
export function textOfRun(run: Run): HeldOutText {
  const config = resolveTrainConfig([run.config as TrainOverrides]);
  const { hash } = tokenizerFromJson(readText(run.paths.tokenizer), run.paths.tokenizer);
  const content = config.data.corpus.length > 0 ? readRecord(run.paths.corpus).content : undefined;
  return { ...textSettings(config, Object.keys(readReport(run).tasks ?? {})), ...made(hash, content) };
}

function made(tokenizer: string, content: string | undefined): HeldOutText {
  const short = (hash: string): string => hash.slice(0, 16);
  return { tokenizer: short(tokenizer), corpus: content === undefined ? "procedural" : short(content) };
}

/** The first setting of `a` in which `b` is not the same: `seed is 0 here and 1 there`. */
export function textDifference(a: HeldOutText, b: HeldOutText, [here, there]: readonly [string, string]) {
  const key = Object.keys(a).find((name) => JSON.stringify(a[name]) !== JSON.stringify(b[name]));
  return key && `${key} is ${JSON.stringify(a[key])} ${here} and ${JSON.stringify(b[key])} ${there}`;
}
