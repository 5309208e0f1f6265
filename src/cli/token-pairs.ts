/** Contrast pairs of any model, read from a JSON file of token ids (docs/FORMATS.md) and checked against the model. */
import { z } from "zod";
import type { PairBatch } from "../data/pairs.ts";
import type { ModelConfig } from "../model/config.ts";
import type { Pairs } from "../prune/extract.ts";
import { pickPairs } from "../prune/pair-scores.ts";
import { inputError } from "../util/errors.ts";
import { readText } from "../util/files.ts";
import { parseJsonObject, parseSchema } from "../util/json.ts";

/** Fewest pairs in a file: half of them are fitted, a quarter verify, and a quarter are reported. */
const FEWEST_PAIRS = 16;

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
 * Of every four pairs two are fitted, one verifies and one is reported. `text`: rows for the ablation values.
 * @throws inputError for a file that is not as said, ids outside the vocabulary and prompts that are too long.
 */
export function readTokenPairs(
  file: string,
  { vocabSize, contextLength }: Pick<ModelConfig, "vocabSize" | "contextLength">,
): { pairs: Pairs; text: readonly (readonly number[])[] } {
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
  const split = (residues: readonly number[]): PairBatch =>
    pickPairs(
      all,
      Array.from({ length: rows / 2 }, (_, pair) => pair).filter((pair) => residues.includes(pair % 4)),
    );
  return { pairs: { train: split([0, 1]), val: split([2]), test: split([3]) }, text };
}
