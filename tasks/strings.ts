/**
 * Group `strings`: is it a formatted string? (Gao et al. 2025, Table 1.)
 *
 *     fstring_brace        print(f"each world output         completes with   {
 *                          print("each world output          completes with  ",
 */
import { pickQuote } from "../src/data/grammar/strings.ts";
import { PROFILES } from "../src/data/grammar.ts";
import {
  type Draft,
  defineTask,
  drawName,
  type Side,
  sideText,
  type TaskEnv,
  type TaskSpec,
} from "../src/data/task.ts";
import type { Rng } from "../src/util/rng.ts";
import { wordList } from "./lines.ts";

/** A call of `print` whose string goes on with a name in braces, or ends before it. */
function printed(rng: Rng, env: TaskEnv): Record<"pos" | "neg", Required<Side>> {
  const quote = pickQuote(rng);
  const text = wordList(rng, env, rng.int(2, 4)).join(" ");
  const name = drawName(rng, env, "ints");
  return {
    pos: { prompt: `print(f${quote}${text}`, target: " {", tail: `${name}}${quote})\n` },
    neg: { prompt: `print(${quote}${text}`, target: `${quote},`, tail: ` ${name})\n` },
  };
}

function formattedOrPlain(rng: Rng, env: TaskEnv, earlier = 0): Draft {
  const calls = Array.from({ length: earlier }, () => printed(rng, env));
  const before = (which: "pos" | "neg"): string => calls.map((call) => sideText(call[which])).join("");
  const { pos, neg } = printed(rng, env);
  return {
    pos: { ...pos, prompt: before("neg") + pos.prompt },
    neg: { ...neg, prompt: before("pos") + neg.prompt },
  };
}

const fstringBrace = defineTask({
  name: "fstring_brace",
  group: "strings",
  doc: "a brace in a formatted string, the end of a plain one",
  draft: (rng, env) => formattedOrPlain(rng, env),
  probes: {
    prints: {
      doc: "earlier strings of the other kind",
      values: [0, 1, 2, 3],
      draw: (rng, env, x) => formattedOrPlain(rng, env, x),
    },
  },
  focus: PROFILES.strings.weights,
});

export const STRING_TASKS: readonly TaskSpec[] = [fstringBrace];
