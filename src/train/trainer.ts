/**
 * A training run from its configuration: corpus, tokenizer, model, and the loop, which yields typed events. It prints
 * and writes nothing; whoever iterates decides what to keep. Stopping the iteration stops the run between two steps.
 */
import { bigramLogProbs } from "../data/bigrams.ts";
import {
  type CorpusBatch,
  type CorpusCursor,
  type CorpusSplit,
  CorpusStream,
  type DocumentSource,
  proceduralSource,
  type StreamOptions,
} from "../data/corpus.ts";
import type { DocumentFilter } from "../data/decontaminate.ts";
import { mixSources } from "../data/mix.ts";
import { heldOutFilter, PairSource } from "../data/pairs.ts";
import type { TaskLoss, TaskSpec } from "../data/task.ts";
import { openCorpus, type TokenCorpus } from "../data/token-corpus.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import { taskTokenizer } from "../data/vocabulary.ts";
import type { Engine } from "../engine/engine.ts";
import { Model } from "../model/model.ts";
import { BIGRAM, initParams, paramSpecs } from "../model/names.ts";
import { assert, goalError } from "../util/errors.ts";
import { grammarOf, modelOf, stepConfigOf, type TrainConfig } from "./config.ts";
import { checkSame, type PrepareOptions, realCorpus } from "./corpora.ts";
import { inputsAndTargets, type PairMetrics, pairMetrics, type TextMetrics, textMetrics } from "./evaluate.ts";
import { isAnnealed } from "./schedule.ts";
import {
  activationStatistics,
  deadNeurons,
  type SiteStatistics,
  type WeightSparsity,
  weightSparsity,
} from "./statistics.ts";
import { Stepper, type StepperState, type StepResult } from "./step.ts";

/** Text is sampled in multiples of as many sequences, and the statistics of activations are over so many. */
const SAMPLE_ROWS = 16;

/** When a run is evaluated, on how many validation pairs of each task, and on how many tokens of held-out text. */
export interface EvaluationPlan {
  readonly every: number;
  readonly pairs: number;
  readonly tokens: number;
}

/** Evaluations of a run without a say in it. */
const EVALUATIONS = 40;
/** Tokens that an evaluation may read for each token trained on since the last one; reading costs a quarter or less. */
const READ_SHARE = 0.3;
/** Corpus tokens of the final held-out loss. */
const REPORT_TOKENS = 65_536;
/** Of a usual prompt. */
const PROMPT_TOKENS = 48;

/** Keeps evaluations at a tenth of a run's time or less, by counting tokens, so that it is the same on every machine. */
export function evaluationPlan({ training, model, logging }: TrainConfig, tasks: number): EvaluationPlan {
  const every = logging.evalEvery ?? 100 * Math.ceil(Math.max(1, training.steps / EVALUATIONS / 100));
  const trained = every * training.batch * model.contextLength;
  const fitting = (READ_SHARE * trained - logging.evalTokens) / (2 * PROMPT_TOKENS * tasks);
  const pairs = 2 ** Math.floor(Math.log2(Math.min(128, Math.max(16, fitting))));
  // A loss to match is that of a final report: only on its text is it the same measure.
  const tokens = training.matchLoss === null ? logging.evalTokens : REPORT_TOKENS;
  return { every, pairs: logging.evalPairs ?? pairs, tokens };
}

/** Tokens of a pass over prompts, at most: half those of a step, which keeps its memory meanwhile. */
export function promptTokens({ training, model }: TrainConfig): number {
  return (training.batch * model.contextLength) / 2;
}

/** Corpus, tokenizer and pairs of a run: all that follows from the configuration without a model. */
export class TrainingData {
  readonly config: TrainConfig;
  readonly tasks: readonly TaskSpec[];
  readonly tokenizer: Tokenizer;
  private readonly decontaminator: DocumentFilter;
  private readonly sources = new Map<TaskSpec, PairSource>();
  private prepared: TokenCorpus | undefined;

  /** `tokenizer`: that of the run, made by `makeTokenizer`; without one, the closed tokenizer of corpus and tasks. */
  constructor(config: TrainConfig, tasks: readonly TaskSpec[], tokenizer?: Tokenizer) {
    this.config = config;
    this.tasks = tasks;
    this.tokenizer = tokenizer ?? taskTokenizer(grammarOf(config), tasks);
    this.decontaminator = heldOutFilter(tasks.map((task) => this.pairs(task)));
  }

  pairs(task: TaskSpec): PairSource {
    const { seed, model } = this.config;
    const known = this.sources.get(task);
    if (known !== undefined) return known;
    const made = new PairSource(task, this.tokenizer, { seed, contextLength: model.contextLength });
    this.sources.set(task, made);
    return made;
  }

  /** What the task's loss is over. */
  lossOf(task: TaskSpec): TaskLoss {
    return this.config.taskLoss ?? task.loss ?? "pair";
  }

  /**
   * Opens the real corpus, if the run has one; needed before its text is.
   *
   * @param expected what it was made of when the run began.
   * @throws inputError when the sources cannot be read, or are not those expected.
   */
  async prepare({ expected, ...options }: PrepareOptions = {}): Promise<void> {
    const real = realCorpus(this.config);
    if (real === undefined) return;
    this.prepared = await openCorpus(real, this.tokenizer, { ...options, content: expected?.content });
    if (expected !== undefined) checkSame(this.prepared.record, expected);
  }

  /** The real corpus, once it is prepared. */
  get corpus(): TokenCorpus | undefined {
    return this.prepared;
  }

  private source(split: CorpusSplit): DocumentSource {
    const { data, seed } = this.config;
    const procedural = proceduralSource(grammarOf(this.config), seed, split);
    if (data.corpus.length === 0) return procedural;
    assert(this.prepared !== undefined, "the corpus was not prepared");
    const real = this.prepared.source(split, seed);
    return data.procedural === 0 ? real : mixSources(procedural, data.procedural, real, this.tokenizer);
  }

  stream(split: CorpusSplit, { cursor, marks = false }: Pick<StreamOptions, "cursor" | "marks"> = {}): CorpusStream {
    return new CorpusStream(this.source(split), this.tokenizer, {
      decontaminator: this.decontaminator,
      ...(cursor === undefined ? {} : { cursor }),
      marks,
    });
  }

  /** About `tokens` tokens from the beginning of a split, with the decisions of the run's tasks if `marks`. */
  sample(split: CorpusSplit, tokens: number, { marks = false } = {}): CorpusBatch {
    const { contextLength } = this.config.model;
    const rows = Math.max(1, Math.ceil(tokens / contextLength));
    const whole = rows < SAMPLE_ROWS ? rows : Math.ceil(rows / SAMPLE_ROWS) * SAMPLE_ROWS;
    const text = this.stream(split, { marks }).batch(whole, contextLength);
    const names = new Set(this.tasks.map((task) => task.name));
    return { ...text, marks: text.marks.filter((mark) => names.has(mark.task)) };
  }
}

/** A fresh model for the run's data, the bigram table started from the corpus. */
export function initialModel(engine: Engine, data: TrainingData): Model {
  const { config, tokenizer } = data;
  const modelConfig = modelOf(config, tokenizer.vocabSize);
  const params = initParams(modelConfig, config.seed);
  const { bigramTokens } = config.data;
  if (modelConfig.bigram !== "none" && bigramTokens > 0) {
    params.set(BIGRAM, bigramLogProbs(data.stream("train"), tokenizer.vocabSize, bigramTokens));
  }
  return new Model(engine, { config: modelConfig, params });
}

export interface StepEvent extends StepResult {
  readonly event: "step";
  /** Steps done, counting this one. */
  readonly step: number;
  readonly steps: number;
  readonly tokens: number;
}

export interface EvalEvent {
  readonly event: "eval";
  readonly step: number;
  readonly valLoss: number;
  /** By task name, on validation pairs. */
  readonly tasks: Readonly<Record<string, PairMetrics>>;
  /** By task name, on the held-out text; of tasks whose decisions the corpus marks. */
  readonly decisions: TextMetrics["decisions"];
}

/** The state can be stored now: `cursor` is where the corpus stands. */
interface CheckpointEvent {
  readonly event: "checkpoint";
  readonly step: number;
  readonly cursor: CorpusCursor;
  /** Absent when every step computes all gradients: then there is nothing to remember. */
  readonly stepper?: StepperState;
}

export interface TrainReport {
  readonly valLoss: number;
  /** By task name, on the test split. */
  readonly tasks: Readonly<Record<string, PairMetrics>>;
  readonly decisions: TextMetrics["decisions"];
  readonly weights: WeightSparsity;
  readonly deadNeurons: readonly number[];
  readonly sites: readonly SiteStatistics[];
  readonly droppedDocuments: number;
  /** Of a run with a loss to match: whether `valLoss` came down to it, and after how many steps the run ended. */
  readonly matchLoss?: { readonly loss: number; readonly reached: boolean; readonly step: number };
}

interface EndEvent {
  readonly event: "end";
  readonly report: TrainReport;
}

export type TrainEvent = StepEvent | EvalEvent | CheckpointEvent | EndEvent;

/** Where to go on. */
export interface ResumePoint {
  readonly step: number;
  readonly cursor: CorpusCursor;
  readonly stepper?: StepperState;
}

/** Lets timers, signals and output through between two steps. */
function breathe(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

export interface TrainOptions {
  readonly resume?: ResumePoint;
  /** When it is set, the run ends after the step at hand, with a checkpoint event as the last one. */
  readonly signal?: AbortSignal;
}

export async function* train(
  model: Model,
  data: TrainingData,
  { resume, signal }: TrainOptions = {},
): AsyncGenerator<TrainEvent> {
  const { config } = data;
  const { steps, batch } = config.training;
  const { contextLength } = config.model;
  const stream = data.stream("train", resume === undefined ? {} : { cursor: resume.cursor });
  const stepper = new Stepper(model, stepConfigOf(config), undefined, resume?.stepper);
  const checkpoint = (step: number): CheckpointEvent => {
    const state = config.training.denseGradEvery > 1 ? stepper.state() : undefined;
    return { event: "checkpoint", step, cursor: stream.cursor(), ...(state && { stepper: state }) };
  };
  const evaluation = new Evaluation(model, data);
  let done = resume?.step ?? 0;
  // An unbroken run would have evaluated, and perhaps ended, before the checkpoint that this one goes on from.
  let matched = evaluation.mayEndAfter(done) && evaluation.matches(evaluation.run(done));
  for (let i = done; i < steps && !matched; i++) {
    await breathe();
    if (signal?.aborted) {
      yield checkpoint(i);
      return;
    }
    const { ids, targets } = inputsAndTargets(stream.batch(batch, contextLength));
    const result = stepper.step(i, ids, targets, { batch, length: contextLength });
    if (!Number.isFinite(result.loss) || !Number.isFinite(result.gradRms)) {
      throw goalError(
        "diverged",
        `Training diverged at step ${i}: loss ${result.loss}, gradient RMS ${result.gradRms}`,
        "Lower training.lr; the checkpoints before this step are kept.",
      );
    }
    const step = i + 1;
    done = step;
    yield { event: "step", step, steps, tokens: step * batch * contextLength, ...result };
    if (step % evaluation.plan.every === 0 && step < steps) {
      const event = evaluation.run(step);
      yield event;
      matched = evaluation.mayEndAfter(step) && evaluation.matches(event);
    }
    if (step % config.logging.checkpointEvery === 0 || step === steps || matched) {
      yield checkpoint(step);
    }
  }
  yield { event: "end", report: report(model, data, { step: done, droppedDocuments: stream.droppedDocuments }) };
}

/** On held-out text, made once, and validation pairs, which their source remembers. */
class Evaluation {
  private readonly model: Model;
  private readonly data: TrainingData;
  readonly plan: EvaluationPlan;
  private text: CorpusBatch | undefined;

  constructor(model: Model, data: TrainingData) {
    this.model = model;
    this.data = data;
    this.plan = evaluationPlan(data.config, data.tasks.length);
  }

  run(step: number): EvalEvent {
    const { model, data } = this;
    const { config, tokenizer } = data;
    this.text ??= data.sample("val", this.plan.tokens, { marks: true });
    const most = promptTokens(config);
    const tasks = data.tasks.map((task) => {
      const source = data.pairs(task);
      const pairs = source.pairs("val", Math.min(this.plan.pairs, source.size("val")));
      return [task.name, pairMetrics(model, pairs, tokenizer, { most, loss: data.lossOf(task) })];
    });
    const { loss: valLoss, decisions } = textMetrics(model, this.text, config.training.batch);
    return { event: "eval", step, valLoss, tasks: Object.fromEntries(tasks), decisions };
  }

  /** Whether an evaluation after so many steps can end a run that has a loss to match: not before it is sparse. */
  mayEndAfter(step: number): boolean {
    const { training } = this.data.config;
    const due = step > 0 && step < training.steps && step % this.plan.every === 0;
    return training.matchLoss !== null && due && isAnnealed(training, step - 1);
  }

  matches({ valLoss }: EvalEvent): boolean {
    const { matchLoss } = this.data.config.training;
    return matchLoss !== null && valLoss <= matchLoss;
  }
}

/** The final report: held-out loss, every task on its test split, sparsity. */
function report(
  model: Model,
  data: TrainingData,
  { step, droppedDocuments }: { readonly step: number; readonly droppedDocuments: number },
): TrainReport {
  const tasks = data.tasks.map((task) => {
    const source = data.pairs(task);
    const pairs = source.pairs("test", source.size("test"));
    const options = { most: promptTokens(data.config), loss: data.lossOf(task) };
    return [task.name, pairMetrics(model, pairs, data.tokenizer, options)] as const;
  });
  const text = data.sample("val", REPORT_TOKENS, { marks: true });
  const { batch, matchLoss: loss } = data.config.training;
  const { loss: valLoss, decisions } = textMetrics(model, text, batch);
  return {
    valLoss,
    tasks: Object.fromEntries(tasks),
    decisions,
    weights: weightSparsity(model),
    deadNeurons: deadNeurons(model),
    sites: activationStatistics(model, { ...text, rows: Math.min(text.rows, SAMPLE_ROWS) }, batch),
    droppedDocuments,
    ...(loss !== null && { matchLoss: { loss, reached: valLoss <= loss, step } }),
  };
}

/** Adam's moments of every trained parameter, by name. */
export function readMoments(model: Model): { m: Map<string, Float32Array>; v: Map<string, Float32Array> } {
  const m = new Map<string, Float32Array>();
  const v = new Map<string, Float32Array>();
  for (const spec of paramSpecs(model.config)) {
    if (!spec.trained) continue;
    const param = model.params.get(spec.name)!;
    m.set(spec.name, model.engine.readParam(param, "m"));
    v.set(spec.name, model.engine.readParam(param, "v"));
  }
  return { m, v };
}

/** Puts stored moments back. */
export function writeMoments(
  model: Model,
  moments: { readonly m: ReadonlyMap<string, Float32Array>; readonly v: ReadonlyMap<string, Float32Array> },
): void {
  for (const field of ["m", "v"] as const) {
    for (const [name, values] of moments[field]) model.engine.writeParam(model.params.get(name)!, field, values);
  }
}
