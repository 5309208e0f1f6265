/**
 * A task given as a list of pairs, JSON Lines: `{"pos": {"prompt", "target", "tail"?}, "neg": {...}, "split"?}` a line.
 * Contract: every line is checked and errors name it; lines without a split are put into one by the hash of their text,
 * as drafts are; no pair is in two splits; no split is empty.
 */
import { z } from "zod";
import { inputError } from "../util/errors.ts";
import { parseJsonObject, parseSchema } from "../util/json.ts";
import { splitOf } from "./pairs.ts";
import { type Draft, SPLITS, type Split, type TaskSpec } from "./task.ts";

const sideSchema = z.strictObject({
  prompt: z.string().min(1),
  target: z.string().min(1),
  tail: z.string().exactOptional(),
});
const lineSchema = z.strictObject({ pos: sideSchema, neg: sideSchema, split: z.enum(SPLITS).exactOptional() });
const FIELDS = ["pos", "neg", "split", "prompt", "target", "tail"];

/** @param file what errors call the text. */
export function pairListTask(text: string, file: string, name: string): TaskSpec {
  const pairs: Record<Split, Draft[]> = { train: [], val: [], test: [] };
  const seen = new Map<string, { readonly split: Split; readonly where: string }>();
  text
    .replace(/^\uFEFF/, "")
    .split(/\r?\n/)
    .forEach((line, i) => {
      if (line.trim() === "") return;
      const where = `${file}, line ${i + 1}`;
      const { pos, neg, split: given } = parseSchema(lineSchema, parseJsonObject(line, where), where, FIELDS);
      const split = given ?? splitOf({ pos, neg });
      const key = `${pos.prompt}\u0000${neg.prompt}`;
      const before = seen.get(key);
      if (before !== undefined && before.split !== split) {
        throw inputError(
          "pair-in-two-splits",
          `${where}: the pair is in split ${split}, and in ${before.split} on ${before.where}`,
          "Leave one of the two out, or give both the same split.",
        );
      }
      seen.set(key, { split, where });
      pairs[split].push({ pos, neg, where });
    });
  const empty = SPLITS.find((split) => pairs[split].length === 0);
  if (empty !== undefined) {
    const counts = SPLITS.map((split) => `${pairs[split].length} ${split}`).join(", ");
    throw inputError(
      "pair-list-split",
      `${file}: no pair is in split ${empty} (${counts})`,
      'Add pairs, or say where they belong: "split": "train", "val" or "test" on each line.',
    );
  }
  const all = [...SPLITS.flatMap((split) => pairs[split])];
  return {
    name,
    group: name,
    doc: `pairs of ${file}`,
    sameLength: false,
    draft: (rng) => rng.pick(all),
    pairs,
    focus: {},
  };
}
