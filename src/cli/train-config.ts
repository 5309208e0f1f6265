/**
 * The settings of a training run from a command line: defaults, the preset of the tasks, --config, --set, flags; later
 * ones win. Everything is checked before anything is written.
 */
import type { TaskLoss, TaskSpec } from "../data/task.ts";
import { RUN_FORMAT } from "../runs/layout.ts";
import { resolveTrainConfig, settingKeys, type TrainConfig, type TrainOverrides } from "../train/config.ts";
import { DENSE, PRESETS, type PresetName, presetOf } from "../train/presets.ts";
import { inputError } from "../util/errors.ts";
import { readJsonObject } from "../util/json.ts";
import { nearest } from "../util/nearest.ts";
import { type CorpusFlags, corpusSettings } from "./corpus-options.ts";
import { parseNumber } from "./options.ts";
import { type TaskSource, taskSource } from "./task-source.ts";

export interface ConfigFlags extends CorpusFlags {
  readonly corpus?: readonly string[];
  readonly task?: string;
  readonly taskLoss?: TaskLoss;
  readonly preset?: PresetName;
  readonly config?: string;
  readonly set?: readonly string[];
  readonly seed?: number;
  readonly steps?: number;
  readonly density?: number;
  readonly denseGradEvery?: number;
}

export interface TrainSettings extends TaskSource {
  readonly config: TrainConfig;
}

/** @throws inputError for anything that is not a setting, names it or gives its value wrong. */
export async function trainSettings(flags: ConfigFlags): Promise<TrainSettings> {
  const own = [flags.config === undefined ? {} : readSettings(flags.config), ...(flags.set ?? []).map(parseSetting)];
  const top = flagSettings(flags);
  const task = [...own, top].reduce<unknown>((found, layer) => layer.task ?? found, undefined);
  if (typeof task !== "string") {
    throw inputError(
      "missing-task",
      "no task was given",
      "Name one, such as --task quotes; `sparse tasks` lists them.",
    );
  }
  const source = await taskSource(task);
  const given = [...own, top];
  const layers = [...taskSettings(source, flags.preset), ...denseSettings(given), ...given];
  return { ...source, config: resolveTrainConfig(layers) };
}

/** The rates of presets and defaults are for sparse weights: a dense model has its own, if the user gives none. */
function denseSettings(given: readonly TrainOverrides[]): TrainOverrides[] {
  const last = (key: "density" | "lr") =>
    given.reduce<number | undefined>((found, { training }) => training?.[key] ?? found, undefined);
  return last("lr") === undefined && (last("density") ?? 0) >= DENSE.from ? [{ training: { lr: DENSE.lr } }] : [];
}

/** What tasks ask for: the preset of their group if no other is named, and the corpus of the user's own. */
export function taskSettings({ tasks, file }: TaskSource, preset = presetOf(tasks)): TrainOverrides[] {
  const weights = Object.assign({}, ...tasks.map((task) => task.focus)) as TaskSpec["focus"];
  const ofFile = file === undefined || Object.keys(weights).length === 0 ? {} : { data: { weights } };
  return [PRESETS[preset], ofFile];
}

/** A settings file: nested like the configuration; the config.json of a run serves too. */
function readSettings(file: string): TrainOverrides {
  const value = readJsonObject(file);
  const settings = value.format === RUN_FORMAT.format ? value.config : value;
  return settings as TrainOverrides;
}

/** `training.lr=0.03` as a layer of settings. The value is JSON, a fraction such as 1/64, or else text. */
function parseSetting(text: string): TrainOverrides {
  const at = text.indexOf("=");
  if (at < 0) {
    throw inputError(
      "bad-setting",
      `--set: expected key=value, but received "${text}"`,
      "For example --set training.lr=0.03.",
    );
  }
  const key = text.slice(0, at).trim();
  const keys = settingKeys();
  if (!keys.includes(key)) {
    throw inputError(
      "unknown-setting",
      `There is no setting "${key}"`,
      `Did you mean "${nearest(key, keys)}"? See \`sparse train --help\`.`,
    );
  }
  return key
    .split(".")
    .reduceRight<unknown>((inner, part) => ({ [part]: inner }), parseValue(text.slice(at + 1))) as TrainOverrides;
}

function parseValue(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return parseNumber(text) ?? text;
  }
}

function flagSettings({ task, taskLoss, seed, ...flags }: ConfigFlags): TrainOverrides {
  const { steps, density, denseGradEvery } = flags;
  const given = Object.entries({ steps, density, denseGradEvery }).filter(([, value]) => value !== undefined);
  const training = Object.fromEntries(given);
  const data = corpusSettings(flags, flags.corpus);
  return {
    ...(task && { task }),
    ...(taskLoss && { taskLoss }),
    ...(seed === undefined ? {} : { seed }),
    data,
    training,
  };
}
