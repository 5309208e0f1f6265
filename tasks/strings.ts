/**
 * Group `strings`: is it a formatted string? (Gao et al. 2025, Table 1.)
 *
 *     fstring_brace        print(f"each world output         completes with   {
 *                          print("each world output          completes with  ",
 */
import { pickQuote } from "../src/data/grammar/strings.ts";
import { PROFILES } from "../src/data/grammar.ts";
import { type Draft, defineTask, drawName, type TaskEnv, type TaskSpec } from "../src/data/task.ts";
import type { Rng } from "../src/util/rng.ts";
import { afterOthers, wordList } from "./lines.ts";

/** A call of `print` whose string goes on with a name in braces, or ends before it. */
function printed(rng: Rng, env: TaskEnv): Draft {
  const quote = pickQuote(rng);
  const text = wordList(rng, env, rng.int(2, 4)).join(" ");
  const name = drawName(rng, env, "ints");
  return {
    pos: { prompt: `print(f${quote}${text}`, target: " {", tail: `${name}}${quote})\n` },
    neg: { prompt: `print(${quote}${text}`, target: `${quote},`, tail: ` ${name})\n` },
  };
}

const fstringBrace = defineTask({
  name: "fstring_brace",
  group: "strings",
  doc: "a brace in a formatted string, the end of a plain one",
  draft: printed,
  probes: {
    prints: {
      doc: "earlier strings of the other kind",
      values: [0, 1, 2, 3],
      draw: (rng, env, x) => afterOthers(x, () => printed(rng, env)),
    },
  },
  focus: PROFILES.strings.weights,
});

export const STRING_TASKS: readonly TaskSpec[] = [fstringBrace];
