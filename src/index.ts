/** The public interface: re-exports only. */
export { findTasks, TASKS } from "../tasks/index.ts";
export { circuitEdges } from "./circuits/edges.ts";
export { EXPORT_FORMATS, type ExportFile, exportCircuit, type Layout } from "./circuits/export/index.ts";
export { parseCircuit, readCircuit, serializeCircuit } from "./circuits/file.ts";
export { type CircuitGraph, circuitGraph } from "./circuits/graph.ts";
export { reportPage } from "./circuits/report-page.ts";
export type { Circuit, CircuitEdge, CircuitLink, CircuitNode } from "./circuits/schema.ts";
export { circuitTable } from "./circuits/table.ts";
export { trainBpe } from "./data/bpe/train.ts";
export { checkTask } from "./data/check-task.ts";
export { type BatchMark, CorpusStream, type DocumentSource, proceduralSource } from "./data/corpus.ts";
export { type GrammarOptions, grammarOptions, PROFILES } from "./data/grammar.ts";
export { mixSources } from "./data/mix.ts";
export { pairListTask } from "./data/pair-list.ts";
export { batchPairs, type PairBatch, PairSource } from "./data/pairs.ts";
export {
  type ContrastPair,
  type Draft,
  defineTask,
  drawName,
  drawNames,
  type EncodedPair,
  type Probe,
  type Side,
  type TaskEnv,
  type TaskSpec,
} from "./data/task.ts";
export { tiktokenRanks } from "./data/tiktoken.ts";
export { type CorpusRecord, openCorpus, type TokenCorpus, type TokenCorpusOptions } from "./data/token-corpus.ts";
export { bpeTokenizer, type Tokenizer } from "./data/tokenizer.ts";
export { tokenizerFromJson, tokenizerToJson } from "./data/tokenizer-json.ts";
export { taskTokenizer } from "./data/vocabulary.ts";
export type { Drawing } from "./drawing/drawing.ts";
export { PICTURE_FORMATS, PICTURES, type PictureFormat } from "./drawing/pictures.ts";
export type { Activation, DenseParam, Engine, EngineInfo, SparseParam, TokenShape } from "./engine/engine.ts";
export { createEngine, type EngineChoice, type EngineOptions, type SelectedEngine } from "./engine/select.ts";
export { Tape } from "./engine/tape.ts";
export { loadModelFolder, saveModelFolder } from "./model/checkpoint.ts";
export type { ModelConfig } from "./model/config.ts";
export { finalHidden, forwardLogits, type Hooks, logitsAt, logitsOf, nextTokenLoss } from "./model/forward.ts";
export { importRelease } from "./model/import/release.ts";
export { Model } from "./model/model.ts";
export { initParams, type ParamSpec, paramSpecs } from "./model/names.ts";
export type { Params, StoredModel } from "./model/params.ts";
export { type NodeId, type NodeRef, nodeCount, nodeId, parseNodeId, type Site, siteSpecs } from "./model/sites.ts";
export { drawPlot } from "./plots/draw.ts";
export { type Figure, lineSpec } from "./plots/lines.ts";
export { renderSvg } from "./plots/svg.ts";
export { CircuitEvaluator, type Evaluator, type Score } from "./prune/evaluator.ts";
export { type Extraction, type ExtractOptions, Extractor, type Pairs } from "./prune/extract.ts";
export { LearnedMasks, type MaskConfig, PAPER_MASKS } from "./prune/learned-masks.ts";
export { MaskedModel } from "./prune/masked-model.ts";
export { meanActivations } from "./prune/means.ts";
export { loadModel, openRun, type Run } from "./runs/open.ts";
export { resolveTrainConfig, TRAIN_DEFAULTS, type TrainConfig, type TrainOverrides } from "./train/config.ts";
export { makeTokenizer } from "./train/corpora.ts";
export { type PairMetrics, pairMetrics, type TextMetrics, textMetrics } from "./train/evaluate.ts";
export { type ProbeCurve, probeCurve } from "./train/probes.ts";
export { densityAt, lrAt, type Schedule } from "./train/schedule.ts";
export { type StepConfig, Stepper, type StepResult } from "./train/step.ts";
export { initialModel, type TrainEvent, TrainingData, type TrainReport, train } from "./train/trainer.ts";
export { type ExitCode, SparseError } from "./util/errors.ts";
export { verify } from "./verify/verify.ts";
