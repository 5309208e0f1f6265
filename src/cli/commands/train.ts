/** `sparse train`: trains a weight-sparse transformer on a task and writes the run. */
import * as path from "node:path";
import { type Command, Option } from "commander";
import { checkTask } from "../../data/check-task.ts";
import { type CorpusRecord, recordText } from "../../data/token-corpus.ts";
import { tokenizerFromJson, tokenizerToJson } from "../../data/tokenizer-json.ts";
import type { Engine } from "../../engine/engine.ts";
import { LapSum, type ProfileReport, Profiler } from "../../engine/profile.ts";
import { Model } from "../../model/model.ts";
import { paramSpecs, shapeSize } from "../../model/names.ts";
import type { Checkpoint } from "../../runs/checkpoints.ts";
import { describeEnv } from "../../runs/env.ts";
import { openRun, type Run, readEnv } from "../../runs/open.ts";
import { checkPlace, createRun, type RunWriter, resumeRun } from "../../runs/write.ts";
import {
  modelOf,
  resolveTrainConfig,
  settingKeys,
  stepConfigOf,
  TRAIN_DEFAULTS,
  type TrainOverrides,
} from "../../train/config.ts";
import { makeTokenizer } from "../../train/corpora.ts";
import { isLearned, LEARNED_LOSS, promptShape } from "../../train/evaluate.ts";
import { trainingMemory } from "../../train/memory.ts";
import { DENSE, PRESET_NAMES } from "../../train/presets.ts";
import { DENSE_ABOVE } from "../../train/step.ts";
import {
  type EvalEvent,
  evaluationPlan,
  initialModel,
  promptTokens,
  type ResumePoint,
  readMoments,
  type StepEvent,
  TrainingData,
  type TrainReport,
  train,
  writeMoments,
} from "../../train/trainer.ts";
import { goalError, interruptError, type SparseError } from "../../util/errors.ts";
import { ensureWritableDir, pathExists, readText } from "../../util/files.ts";
import { mean } from "../../util/statistics.ts";
import { CORPUS_HELP, corpusText, documentOptions, mixOptions, readingProgress } from "../corpus-options.ts";
import { type EngineFlags, engineOptions, openEngine } from "../engine.ts";
import { breathe, interruptible } from "../interrupt.ts";
import { LossToMatch } from "../match-loss.ts";
import { checkMemory, PROBED_PAIRS } from "../memory.ts";
import { collect, joined, jsonOption, oneOf, realNumber, taskLossOption, wholeNumber } from "../options.ts";
import type { Output } from "../output.ts";
import { examplesText } from "../program.ts";
import { count, fraction, nats, plural } from "../render.ts";
import { TASK_HELP, tasksOf } from "../task-source.ts";
import { type ConfigFlags, type TrainSettings, trainSettings } from "../train-config.ts";
import { headText, Pace, profileText, reportText, TrainLog } from "../train-log.ts";
import { checkTokenizer, prepareText } from "../trained-run.ts";

interface Flags extends ConfigFlags, EngineFlags {
  readonly out?: string;
  readonly force?: boolean;
  readonly resume?: string;
  readonly profile?: boolean;
  readonly matchLoss?: string;
}

export function register(command: Command, out: Output): void {
  const { seed, training } = TRAIN_DEFAULTS;
  command
    .usage("--task <name> [options]")
    .addOption(new Option("--task <name>", TASK_HELP).argParser(joined))
    .addOption(taskLossOption())
    .addOption(
      new Option(
        "--preset <name>",
        `settings that learned a group of tasks: ${PRESET_NAMES.join(", ")} (default: that of the task's group)`,
      ).argParser(oneOf("--preset", PRESET_NAMES)),
    )
    .addOption(new Option("--out <dir>", "run directory (default: runs/<task>)"))
    .addOption(new Option("--corpus <path...>", `train on real text: ${CORPUS_HELP}`));
  documentOptions(mixOptions(command))
    .addOption(
      new Option("--seed <n>", `seed of corpus, pairs and weights (default: ${seed})`).argParser(wholeNumber("--seed")),
    )
    .addOption(
      new Option("--steps <n>", `training steps (default: the task's, else ${training.steps})`).argParser(
        wholeNumber("--steps", 1),
      ),
    )
    .addOption(
      new Option(
        "--density <x>",
        `fraction of weights that stay, such as 1/64 (default: the task's, else ${fraction(training.density)}); ` +
          `from ${fraction(DENSE.from)} on training.lr is ${DENSE.lr} unless it is given`,
      ).argParser(realNumber("--density")),
    )
    .addOption(
      new Option(
        "--dense-grad-every <n>",
        `gradients of all weights every n steps, between them of nonzero ones alone: faster, an approximation (default: ${training.denseGradEvery}, exact)`,
      ).argParser(wholeNumber("--dense-grad-every", 1)),
    )
    .addOption(
      new Option(
        "--match-loss <run>",
        "end at the first evaluation whose held-out loss is at most that of a run of the same text; it ends at once, " +
          "whatever the learning rate is there, and not before annealing is over (how close: --set logging.evalEvery=20)",
      ),
    )
    .addOption(new Option("--config <file>", "settings as JSON, nested like the config.json of a run"))
    .addOption(new Option("--set <key=value>", "one setting; may be given several times").argParser(collect));
  engineOptions(command);
  jsonOption(command)
    .addOption(
      new Option(
        "--profile",
        "print in the end where the training steps spent their time; slower, as kernels then run one by one",
      ),
    )
    .addOption(new Option("--force", "replace the run that is there"))
    .addOption(
      new Option("--resume <dir>", "continue an unfinished run, exactly as if it had not stopped").conflicts([
        ...["task", "taskLoss", "preset", "corpus", "mix", "tokenizer", "textField", "separator"],
        ...["out", "config", "set", "seed", "steps", "density", "denseGradEvery", "matchLoss", "force"],
      ]),
    )
    .addHelpText("after", `${EXAMPLES}\n\n${settingsHelp()}`)
    .action((flags: Flags) => run(flags, out));
}

const EXAMPLES = examplesText([
  ["sparse train --task quotes", "into runs/quotes, with the task's preset"],
  ["sparse train --task quotes --density 1/16 --out runs/denser", "more weights"],
  ["sparse train --task quotes --density 1 --match-loss runs/quotes --out runs/dense", "its dense peer"],
  ["sparse train --task quotes --set model.layers=1 --set model.width=64", "a smaller model"],
  ["sparse train --task ./my-task.ts", "a task of your own, into runs/<its name>"],
  ["sparse train --task quotes --corpus ~/code --mix procedural=0.3", "on the Python files of a folder"],
  ["sparse train --resume runs/quotes", "go on after Ctrl-C"],
]);

function settingsHelp(): string {
  const values = settingKeys().map((key) => {
    const value = key.split(".").reduce<unknown>((v, part) => (v as Record<string, unknown>)[part], TRAIN_DEFAULTS);
    return `  ${key}=${JSON.stringify(value)}`;
  });
  return ["Settings (--set, --config) and their defaults, which the preset of a task changes:", ...values].join("\n");
}

interface Job extends TrainSettings {
  readonly dir: string;
  readonly data: TrainingData;
  readonly engine: Engine;
  /** Of `engine`, when a profile is wanted. */
  readonly profiler: Profiler | undefined;
  readonly out: Output;
  readonly started: number;
}

async function run(flags: Flags, out: Output): Promise<void> {
  const started = performance.now();
  const resumed = flags.resume === undefined ? undefined : openRun(flags.resume, { allowUnfinished: true });
  const match = flags.matchLoss === undefined ? undefined : new LossToMatch(flags.matchLoss);
  const given = resumed === undefined ? await trainSettings(flags) : await storedSettings(resumed);
  const settings = match?.applyTo(given) ?? given;
  const dir =
    flags.resume ??
    flags.out ??
    `runs/${settings.file ? settings.tasks[0]!.name : settings.config.task.replaceAll(",", "+")}`;
  // Before a corpus is read, which may take minutes.
  if (resumed === undefined) checkPlace(dir, flags.force ?? false);
  await interruptible(out, async (signal) => {
    const opened = await openEngine(flags, out);
    const profiler = flags.profile ? new Profiler(opened) : undefined;
    const engine = profiler?.engine ?? opened;
    try {
      const data = await openData(settings, resumed, out, signal);
      match?.check(data);
      const job: Job = { ...settings, dir, data, engine, profiler, out, started };
      if (settings.file) for (const task of settings.tasks) checkTask(data.pairs(task));
      tellGivenPairs(job);
      checkSizes(job);
      await breathe(signal);
      if (resumed === undefined) {
        const env = describeEnv(settings.config.seed, engine.info);
        const model = initialModel(engine, data);
        await breathe(signal);
        ensureWritableDir(path.dirname(path.resolve(dir)));
        const { config, file } = settings;
        const writer = createRun(dir, { config, env, force: flags.force ?? false, ...(file && { task: file }) });
        if (data.corpus !== undefined) writer.corpus(recordText(data.corpus.record));
        await work(job, model, writer, signal);
      } else {
        tellOtherEngine(readEnv(resumed).engine, engine, out);
        const { writer, checkpoint } = resumeRun(dir);
        checkTokenizer(resumed.paths.tokenizer, data.tokenizer, checkpoint.state);
        await work(job, new Model(engine, checkpoint.model), writer, signal, checkpoint);
      }
    } finally {
      engine.dispose();
    }
  });
}

/** Tokenizer and text: made for a new run, the run's own for one that goes on. */
async function openData({ config, tasks }: TrainSettings, resumed: Run | undefined, out: Output, signal: AbortSignal) {
  if (resumed !== undefined && pathExists(resumed.paths.tokenizer)) {
    const { tokenizer: file } = resumed.paths;
    const data = new TrainingData(config, tasks, tokenizerFromJson(readText(file), file));
    await prepareText(resumed, data, out, signal);
    return data;
  }
  const tokenizer = await makeTokenizer(config, tasks, readingProgress(out, signal, "training the tokenizer"));
  const data = new TrainingData(config, tasks, tokenizer);
  await data.prepare({ onProgress: readingProgress(out, signal, "reading the corpus") });
  return data;
}

/** Refuses what cannot be indexed, and what the machine has no memory for. */
function checkSizes({ config, data, tasks, out }: Job): void {
  const { contextLength: length } = config.model;
  const prompts = tasks.flatMap((task) => data.pairs(task).pairs("val", PROBED_PAIRS));
  const longest = Math.max(...prompts.map(({ pos, neg }) => Math.max(pos.length, neg.length)));
  const model = modelOf(config, data.tokenizer.vocabSize);
  const estimate = trainingMemory({
    model,
    step: stepConfigOf(config),
    tokens: { batch: config.training.batch, length },
    prompts: promptShape(model, longest, promptTokens(config)),
  });
  const lower = {
    weights: "model.width, model.neurons or model.layers",
    activations: "training.batch, model.contextLength, model.width or model.layers",
  };
  checkMemory({ name: "Training", estimate, lower }, (text) => out.notice(text));
}

/** With fewer pairs in a split an accuracy is known to a tenth at best. */
const FEW_PAIRS = 64;

/** Pairs say nothing of the text that teaches them, and a few say little of a model. */
function tellGivenPairs({ tasks, config, data, out }: Job): void {
  const given = tasks.find((task) => task.pairs);
  if (given === undefined) return;
  const [val, test] = (["val", "test"] as const).map((split) => data.pairs(given).size(split)) as [number, number];
  if (Math.min(val, test) < FEW_PAIRS) {
    out.notice(
      `${given.name} has ${plural(val, "pair")} for validation and ${plural(test, "pair")} for the test, too few for exact figures; ` +
        'give more, or move some there by their "split" (without one, 1 in 10 goes to each)',
    );
  }
  if (config.data.corpus.length > 0) return;
  out.notice(
    `the model learns from the corpus (profile ${config.data.profile}), not from the pairs of ${given.name}: ` +
      "it can learn them only if the corpus holds what they ask for",
  );
}

/** What an unfinished run was started with. */
async function storedSettings(run: Run): Promise<TrainSettings> {
  const config = resolveTrainConfig([run.config as TrainOverrides]);
  return { config, tasks: await tasksOf(run, config.task) };
}

/** Engines and instruction sets round differently. */
function tellOtherEngine(before: unknown, { info }: Engine, out: Output): void {
  const { name, isa } = (before ?? {}) as Record<string, unknown>;
  if (name === info.name && isa === info.isa) return;
  out.notice(
    `the run began on ${name} (${isa}) and goes on on ${info.name} (${info.isa}): not the same bytes as on one`,
  );
}

/** Trains, writes everything, and closes the run whatever happens. */
async function work(job: Job, model: Model, writer: RunWriter, signal: AbortSignal, from?: Checkpoint): Promise<void> {
  const { dir, data, engine, profiler, out, config, started } = job;
  const { every } = config.logging;
  const pace = new Pace();
  const tasks = job.tasks.length;
  const log = new TrainLog(out, pace, { evalEvery: evaluationPlan(config, tasks).every, tasks });
  let scoring = 0;
  try {
    if (from === undefined) writer.tokenizer(JSON.parse(tokenizerToJson(data.tokenizer)) as object);
    else writeMoments(model, from.moments);
    const resume = from && ({ ...from.state, step: from.step } as unknown as ResumePoint);
    tellStart(job, model, from?.step ?? 0);
    let kept = from?.step ?? 0;
    let report: TrainReport | undefined;
    const laps = new LapSum();
    let asked = performance.now();
    profiler?.lap();
    for await (const event of train(model, data, { signal, ...(resume === undefined ? {} : { resume }) })) {
      const lap = profiler?.lap();
      switch (event.event) {
        case "step":
          if (lap) laps.add(lap);
          pace.add((performance.now() - asked) / 1000, config.training.batch * config.model.contextLength);
          if (event.step % every === 0 || event.step === event.steps) {
            writer.log(stepRow(event));
            const { tokensPerSecond } = pace;
            out.event({ ...event, tokensPerSecond, secondsLeft: pace.secondsLeft(event.steps - event.step) });
          }
          log.step(event);
          break;
        case "eval":
          scoring += performance.now() - asked;
          writer.log(evalRow(event));
          out.event(event);
          log.eval(event);
          break;
        case "checkpoint": {
          const { step, cursor, stepper } = event;
          const state = {
            cursor: { ...cursor },
            tokenizer: data.tokenizer.hash,
            ...(stepper && { stepper: { ...stepper } }),
          };
          const ref = writer.checkpoint({ step, model: model.store(), moments: readMoments(model), state });
          out.event({ event: "checkpoint", step, path: ref.dir });
          kept = step;
          break;
        }
        case "end":
          report = event.report;
          break;
        default:
          event satisfies never;
      }
      asked = performance.now();
      profiler?.lap();
    }
    if (report === undefined) {
      throw interruptError(
        `interrupted: ${plural(kept, "step")} of ${config.training.steps} are done and kept in ${dir}`,
        `Continue with \`sparse train --resume ${dir}\`.`,
      );
    }
    writer.report({ ...report, engine: engine.info });
    writer.finish();
    const seconds = (performance.now() - started) / 1000;
    if (profiler && laps.steps > 0) tellProfile(laps.report(), out);
    finish(job, report, { tokensPerSecond: pace.tokensPerSecond, evalSeconds: scoring / 1000, seconds });
  } finally {
    writer.close();
    out.clear();
  }
}

function tellProfile(report: ProfileReport, out: Output): void {
  out.event({ event: "profile", ...report });
  out.line();
  out.line(profileText(report, out.style));
}

function tellStart({ dir, tasks, config, data, engine, out }: Job, model: Model, from: number): void {
  const parameters = paramSpecs(model.config).reduce((sum, spec) => sum + shapeSize(spec.shape), 0);
  const names = tasks.map((task) => task.name);
  const { steps, density } = config.training;
  const { seed } = config;
  out.event({ event: "start", run: dir, tasks: names, from, steps, density, seed, parameters, engine: engine.info });
  tellUnusedCycle(config.training, out);
  if (data.corpus !== undefined) tellCorpus(data.corpus.record, out);
  out.line(headText({ dir, tasks, config, model: model.config, parameters, engine: engine.info, from }, out.style));
  out.line();
}

function tellCorpus(record: CorpusRecord, out: Output): void {
  const { files, options, ...facts } = record;
  out.event({ event: "corpus", ...facts, files: files.length, paths: options.paths });
  out.line(`${out.style.dim("corpus")}  ${corpusText(record)}`);
}

/** Says so when the run is too dense for steps without the gradients of zero weights. */
function tellUnusedCycle({ density, denseGradEvery }: TrainSettings["config"]["training"], out: Output): void {
  if (denseGradEvery === 1 || density <= DENSE_ABOVE) return;
  const most = fraction(DENSE_ABOVE);
  out.notice(
    `--dense-grad-every ${denseGradEvery} changes nothing: it is for densities of ${most} and less, and this run ends at ${fraction(density)}`,
  );
}

/** No times: the same seed gives the same file. */
function stepRow({ step, loss, lr, density, gradRms, tokens }: StepEvent) {
  return { step, loss, lr, density, gradRms, tokens };
}

function evalRow({ step, valLoss, tasks, decisions }: EvalEvent) {
  const scores = Object.entries(tasks).flatMap(([name, { taskLoss, fullLoss, accuracy, pairAccuracy }]) => [
    [`taskLoss/${name}`, taskLoss],
    [`fullLoss/${name}`, fullLoss],
    [`accuracy/${name}`, accuracy],
    [`pairAccuracy/${name}`, pairAccuracy],
    ...(decisions[name] ? [[`decisionAccuracy/${name}`, decisions[name].accuracy]] : []),
  ]);
  return { step, valLoss, ...(Object.fromEntries(scores) as Record<string, number>) };
}

function finish(
  job: Job,
  report: TrainReport,
  time: { tokensPerSecond: number; evalSeconds: number; seconds: number },
): void {
  const { dir, engine, out } = job;
  const scores = Object.values(report.tasks);
  const { density, nonzeros: l0 } = report.weights;
  const failure = notLearned(job, report);
  out.line();
  out.line(reportText(report, out.style));
  out.line();
  const { seconds, evalSeconds } = time;
  out.line(`Trained in ${seconds.toFixed(1)} s (${evalSeconds.toFixed(1)} s of it in evaluations) into ${dir}`);
  tellMatch(job, report);
  if (failure === undefined) out.line(`Next: ${out.style.bold(`circuit extract ${dir}`)}`);
  out.done(
    {
      taskLoss: mean(scores.map((s) => s.taskLoss)),
      pairAccuracy: mean(scores.map((s) => s.pairAccuracy)),
      learned: failure === undefined,
      tasks: Object.fromEntries(
        Object.entries(report.tasks).map(([name, s]) => [name, { ...s, learned: isLearned(s) }]),
      ),
      valLoss: report.valLoss,
      ...(report.matchLoss && { matchLoss: report.matchLoss }),
      density,
      l0,
      ...time,
      engine: engine.info.name,
      isa: engine.info.isa,
      threads: engine.info.threads,
      run: dir,
    },
    failure,
  );
}

/** Whether a run with a loss to match came down to it. */
function tellMatch({ config, out }: Job, { valLoss, matchLoss }: TrainReport): void {
  if (matchLoss === undefined) return;
  const { loss, reached, step } = matchLoss;
  const { steps } = config.training;
  if (reached) out.line(`The held-out loss matches ${nats(loss)} after ${count(step)} of ${plural(steps, "step")}`);
  else {
    out.notice(
      `the held-out loss ${nats(valLoss)} did not come down to ${nats(loss)} in ${plural(steps, "step")}: ` +
        "try more steps, or another training.lr",
    );
  }
}

/** The goal that was missed, if one was, and what to try. */
function notLearned({ dir, config }: Job, report: TrainReport): SparseError | undefined {
  const missed = Object.entries(report.tasks).filter(([, scores]) => !isLearned(scores));
  if (missed.length === 0) return undefined;
  const names = missed.map(([name, { taskLoss }]) => `${name} (test task loss ${nats(taskLoss)})`);
  const { steps, density } = config.training;
  const longer = report.matchLoss?.reached
    ? "training to the end (without --match-loss)"
    : `more steps (--steps ${2 * steps})`;
  const denser = density < 1 ? ` or a higher density (--density ${fraction(Math.min(1, 4 * density))})` : "";
  return goalError(
    "not-learned",
    `not learned: ${names.join(", ")}; a task is learned below ${LEARNED_LOSS}. The run is complete in ${dir}`,
    `Try ${longer}${denser}, with --force or another --out.`,
  );
}
