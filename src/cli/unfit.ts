/** Prompts that are more than a model or its tokenizer can be asked. */
import { SparseError } from "../util/errors.ts";

/** Why a variant or probe may be more than a model can be asked, by the code of the error. */
const UNFIT: Readonly<Record<string, string>> = {
  "prompt-length": "longer than the context",
  "task-names": "the tokenizer lacks its names",
  "task-target": "the tokenizer lacks its completions",
  "task-padding": "the tokenizer cannot make its prompts equally long",
};

/** Why prompts cannot be asked of a model, if that is what the error says. */
export function unfit(error: unknown): string | undefined {
  return error instanceof SparseError ? UNFIT[error.code] : undefined;
}
