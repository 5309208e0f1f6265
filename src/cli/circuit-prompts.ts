/** The prompts that `circuit export --prompt` and `--pair` ask for, on the model of a stored circuit. */
import { createHash } from "node:crypto";
import * as path from "node:path";
import type { Circuit } from "../circuits/schema.ts";
import type { Trace } from "../circuits/trace.ts";
import type { PairBatch } from "../data/pairs.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import type { ModelConfig } from "../model/config.ts";
import { Model } from "../model/model.ts";
import { supports } from "../prune/evaluator.ts";
import { measureAblation } from "../prune/means.ts";
import { answerLogits, pickPairs } from "../prune/pair-scores.ts";
import { inputError } from "../util/errors.ts";
import { pathExists } from "../util/files.ts";
import type { StoredCircuit } from "./circuit-files.ts";
import { circuitsOf } from "./circuit-source.ts";
import { type EngineFlags, openEngine } from "./engine.ts";
import { type ExtractSource, pairsSource, runSource } from "./extract-source.ts";
import type { Output } from "./output.ts";
import { tracePair } from "./trace-prompts.ts";
import { prepareText, type TrainedRun } from "./trained-run.ts";

export interface PromptFlags extends EngineFlags {
  readonly prompt?: string;
  /** Index of a test pair. */
  readonly pair?: number;
  /** The file of token pairs that the circuit was extracted for, of a model without a run. */
  readonly pairs?: string;
  /** With `pairs`: the folder of the circuits. */
  readonly circuits?: string;
}

/**
 * Traces of a run's circuit: of one prompt, or of the two of a pair.
 * @throws input error when the run cannot be opened or has other weights, or for a prompt or pair that it cannot have
 */
export async function tracesOf(
  dir: string,
  { circuit }: StoredCircuit,
  flags: PromptFlags,
  out: Output,
  signal: AbortSignal,
): Promise<Trace[]> {
  const source = await sourceOf(dir, circuit, flags);
  circuitsOf(dir, source, flags);
  const { trained } = source;
  if (!supports(source.stored.config)) {
    throw inputError(
      "prompt-unsupported",
      "models with AbsTopK or ReLU on the residual stream are not computed node by node",
      "Leave --prompt and --pair out: the structure view shows such circuits.",
    );
  }
  const ids =
    flags.prompt === undefined
      ? undefined
      : trained
        ? promptIds(flags.prompt, trained)
        : typedIds(flags.prompt, source.stored.config);
  const pair = testPair(source, flags.pair ?? 0);
  if (trained) await prepareText(trained.run, trained.data, out, signal);
  const engine = await openEngine(flags, out);
  try {
    const model = new Model(engine, source.stored);
    const { kind, frozenNorm } = circuit.ablation;
    const [seed = circuit.provenance.seed] = circuit.search.seeds;
    out.live(`tracing ${circuit.task.name}: ablation values`);
    const values = {
      ablation: measureAblation(model, source.text(), { kind, frozenNorm, seed }),
      tokenText: source.tokenText,
    };
    const [right, wrong] = [pair.right[0]!, pair.wrong[0]!];
    if (ids === undefined) {
      const answers = [right, wrong];
      const prompts = ["a", "b"].map((side, i) => ({
        name: `pair-${flags.pair}-${side}`,
        answers,
        right: answers[i]!,
      }));
      return tracePair(model, source.stored, circuit, values, pair, prompts);
    }
    const answers = likeliest(model, alone(ids, [right, wrong]), candidates(circuit, [right, wrong]));
    return tracePair(model, source.stored, circuit, values, alone(ids, answers), [
      { name: promptName(flags.prompt!), answers },
    ]);
  } finally {
    engine.dispose();
  }
}

async function sourceOf(dir: string, { task }: Circuit, { pairs }: PromptFlags): Promise<ExtractSource> {
  if (pairs !== undefined) return pairsSource(dir, pairs);
  if (pathExists(path.join(dir, "config.json"))) return runSource(dir, task.name, task.variant);
  throw inputError(
    "prompt-run",
    `${dir} is a circuit without its run: the model is needed for --prompt and --pair`,
    "Give the run that the circuit is of; of a model trained elsewhere its folder, --pairs FILE.json and --circuits DIR.",
  );
}

/** The same for the same text. */
function promptName(text: string): string {
  return `prompt-${createHash("sha256").update(text).digest("hex").slice(0, 8)}`;
}

/** The task's answers that are known: of a pair, and those that the circuit file names. */
function candidates({ unembedding }: Circuit, pair: readonly number[]): number[] {
  return [...new Set([...pair, ...unembedding.filter((e) => e.answer).map((e) => e.token)])];
}

/** The two that the full model finds likeliest. */
function likeliest(model: Model, batch: PairBatch, tokens: readonly number[]): number[] {
  const logits = answerLogits(model, batch);
  return [...tokens].sort((a, b) => logits[b]! - logits[a]! || a - b).slice(0, 2);
}

/** A pair of a prompt and itself. */
function alone(ids: readonly number[], [right, wrong]: readonly number[]): PairBatch {
  return {
    tokens: Int32Array.from([...ids, ...ids]),
    rows: 2,
    length: ids.length,
    last: new Int32Array(2).fill(ids.length - 1),
    right: Int32Array.of(right!, wrong!),
    wrong: Int32Array.of(wrong!, right!),
  };
}

function testPair({ tasks }: ExtractSource, index: number): PairBatch {
  const { test } = tasks[0]!.pairs(0);
  const pairs = test.rows / 2;
  if (index < pairs) return pickPairs(test, [index]);
  throw inputError(
    "pair-index",
    `--pair ${index}: the task has ${pairs} test pairs`,
    `Give a number from 0 to ${pairs - 1}.`,
  );
}

/** A prompt as the model is asked: after end-of-text. */
function promptIds(prompt: string, { tokenizer, config }: TrainedRun): number[] {
  const ids = tokenizer.encode(prompt, [tokenizer.eot]);
  const { contextLength } = config.model;
  if (ids.length === 1) {
    throw inputError("prompt-empty", "--prompt is empty", 'Give text, such as --prompt "x = [1, 2".');
  }
  if (ids.length >= contextLength) {
    throw inputError(
      "prompt-length",
      `--prompt has ${ids.length} tokens with end-of-text before it; a context of ${contextLength} holds ` +
        `${contextLength - 1} and the answer`,
      "Shorten it.",
    );
  }
  const unknown = unknownCharacters(prompt, tokenizer);
  if (unknown.length === 0) return ids;
  throw inputError(
    "prompt-token",
    `--prompt has ${unknown.map((c) => JSON.stringify(c)).join(", ")}, which the run's ${tokenizer.kind} tokenizer does not know`,
    "Leave it out: the model has seen no such text.",
  );
}

/** A prompt of a model without a tokenizer: its token ids. */
function typedIds(prompt: string, { vocabSize, contextLength }: ModelConfig): number[] {
  const words = prompt.split(/[\s,]+/).filter((word) => word !== "");
  const wrong = words.find((word) => !/^\d+$/.test(word) || Number(word) >= vocabSize);
  if (wrong !== undefined || words.length === 0) {
    throw inputError(
      "prompt-ids",
      `--prompt: expected token ids, since the model has no tokenizer, but received ${JSON.stringify(wrong ?? prompt)}`,
      `Give numbers from 0 to ${vocabSize - 1}, such as --prompt "5 17 3".`,
    );
  }
  if (words.length <= contextLength) return words.map(Number);
  throw inputError(
    "prompt-length",
    `--prompt has ${words.length} tokens, the model's context ${contextLength}`,
    "Shorten it.",
  );
}

function unknownCharacters(text: string, tokenizer: Tokenizer): string[] {
  const { unk } = tokenizer;
  if (unk === undefined || !tokenizer.encode(text).includes(unk)) return [];
  return [...new Set(text)].filter((char) => tokenizer.encode(char).includes(unk));
}
